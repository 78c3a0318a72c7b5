//! Nobody floods the feed: what one session, client or user can add to it.

use std::time::Duration;

use serde_json::Value;

use super::{expect_refused, refuses, snapshot};
use crate::support::client::{Answer, Client, FIRST_PARTY, PASSWORD, Send, Tokens};
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(the_eleventh_token_ends_the_session);

async fn try_revoke(client: &Client, token: &str) -> Answer {
    client.form("/oauth2/revoke", &[("token", token), ("client_id", FIRST_PARTY)]).await
}

/// The entries of the statement that have this member.
async fn entries(client: &Client, member: &str) -> Vec<Value> {
    let known = snapshot(client).await.claims;
    let all = known["revocations"].as_array().expect("entries").clone();
    all.into_iter().filter(|entry| entry.get(member).is_some()).collect()
}

async fn the_eleventh_token_ends_the_session(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let other = client.login(&user.email, PASSWORD).await;
    let Tokens { mut refresh_token, access_token, .. } = user.tokens;
    let mut revoked = vec![access_token];
    while revoked.len() < 11 {
        let next = client.refresh(&refresh_token).await.tokens();
        (refresh_token, _) = (next.refresh_token, revoked.push(next.access_token));
    }
    for token in &revoked[..10] {
        try_revoke(&client, token).await.expect(200);
    }
    refresh_token = client.refresh(&refresh_token).await.tokens().refresh_token;
    let dead: Vec<_> = revoked.iter().map(String::as_str).collect();
    expect_refused(&client, &dead[..10], "ten").await;
    assert_eq!((entries(&client, "jti").await.len(), entries(&client, "sid").await.len()), (10, 0));

    try_revoke(&client, dead[10]).await.expect(200);
    client.refresh(&refresh_token).await.expect_oauth_error(400, "invalid_grant");
    expect_refused(&client, &dead, "eleven").await;
    // One entry stands for all, and more of the same adds nothing.
    let seq = snapshot(&client).await.claims["seq"].clone();
    for token in &dead {
        try_revoke(&client, token).await.expect(200);
    }
    let known = snapshot(&client).await.claims;
    let sid = &Jwt::decode(dead[0]).claims["sid"];
    assert_eq!(known["seq"], seq);
    assert_eq!(known["revocations"].as_array().map(Vec::len), Some(1), "{known}");
    assert_eq!(&known["revocations"][0]["sid"], sid);
    assert!(!refuses(&known, &other.access_token));
    client.refresh(&other.refresh_token).await.tokens();
}

#[tokio::test]
async fn who_revokes_in_a_loop_is_slowed_down() {
    let mut signet = Signet::builder()
        .set("revocation_limits.burst", "5")
        .set("revocation_limits.per_second", "1")
        .start();
    let client = Client::new(signet.base());
    let (looping, other) = (client.new_user().await, client.new_user().await);
    let secret = signet.add_confidential("reports", &["--scopes", "orders:read"]);
    let reports = ("reports", secret.as_str());
    // What is not genuine, or another client's, counts against nobody.
    let forged = format!("{}x", looping.tokens.access_token);
    for _ in 0..20 {
        try_revoke(&client, &forged).await.expect(200);
        let strange = client.post("/oauth2/revoke").basic_auth(reports.0, Some(reports.1));
        let strange = strange.form(&[("token", looping.tokens.access_token.as_str())]);
        strange.answer().await.expect_oauth_error(400, "invalid_grant");
    }
    let mut done = 0;
    let limited = loop {
        let answer = try_revoke(&client, &looping.tokens.access_token).await;
        if answer.status != 200 {
            break answer;
        }
        done += 1;
        assert!(done < 200, "nobody stops it");
    };
    assert!(done >= 5, "{done}");
    let limited = limited.expect_oauth_error(429, "temporarily_unavailable");
    assert_eq!(limited.header("retry-after"), Some("1"), "{limited:?}");
    try_revoke(&client, &other.tokens.access_token).await.expect(200);
    let metrics = client.get("/metrics").answer().await.expect(200).body;
    assert!(metrics.contains("\nsignet_revocations_limited_total 1\n"), "{metrics}");
    signet.advance(1);
    try_revoke(&client, &looping.tokens.refresh_token).await.expect(200);

    // A client's own tokens draw on the client's bucket, on either way.
    for path in ["/oauth2/revoke", "/logout"] {
        let mut statuses = Vec::new();
        while statuses.last().is_none_or(|status| *status < 300) {
            let token = client.client_token(reports).await;
            let request = client.post(path);
            let answer = match path {
                "/logout" => request.bearer_auth(&token).answer().await,
                _ => {
                    let request = request.basic_auth(reports.0, Some(reports.1));
                    request.form(&[("token", &token)]).answer().await
                }
            };
            statuses.push(answer.status);
            assert!(statuses.len() < 200, "nobody stops it");
        }
        assert_eq!(statuses.last(), Some(&429), "{path}");
    }
}

#[tokio::test]
async fn the_eleventh_of_a_clients_own_tokens_is_a_cut_off() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let grants = "password,refresh_token,client_credentials";
    let options = ["--grants", grants, "--scopes", "orders:read"];
    let secret = signet.add_confidential("reports", &options);
    let reports = ("reports", secret.as_str());
    let user = client.new_user().await;
    let fields = [("grant_type", "password"), ("username", &user.email), ("password", PASSWORD)];
    let of_user = client.token_as(reports, &fields).await.tokens();
    let mut tokens = Vec::new();
    for _ in 0..12 {
        tokens.push(client.client_token(reports).await);
    }
    for token in &tokens[..11] {
        let request = client.post("/oauth2/revoke").basic_auth(reports.0, Some(reports.1));
        request.form(&[("token", token)]).answer().await.expect(200);
        assert!(!client.is_active(reports, token).await);
    }
    let dead: Vec<_> = tokens.iter().map(String::as_str).collect();
    expect_refused(&client, &dead, "all that it was issued").await;
    let known = snapshot(&client).await.claims;
    assert_eq!(known["revocations"].as_array().map(Vec::len), Some(1), "{known}");
    let entry = &known["revocations"][0];
    assert_eq!(entry["sub"], "reports", "{entry}");
    // Users' tokens of the same client are left alone.
    assert!(!refuses(&known, &of_user.access_token));
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &of_user.refresh_token)];
    client.token_as(reports, &fields).await.tokens();
    // What it is issued from then on is good.
    let before = entry["before"].as_i64().expect("a cut-off");
    loop {
        let token = client.client_token(reports).await;
        if Jwt::decode(&token).claims["iat"].as_i64() >= Some(before) {
            assert!(client.is_active(reports, &token).await);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_user_who_logs_in_and_out_for_ever_takes_a_bounded_place() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let mut dead = Vec::new();
    for number in 0..160 {
        let tokens = client.login(&user.email, PASSWORD).await;
        let ended = match number % 2 {
            0 => client.post("/logout").bearer_auth(&tokens.access_token).answer().await,
            _ => try_revoke(&client, &tokens.refresh_token).await,
        };
        if ended.status == 401 {
            // It was issued in the very second that the cut-off covers.
            assert!(number >= 100, "{number}: {ended:?}");
            try_revoke(&client, &tokens.refresh_token).await.expect(200);
        } else {
            assert!([200, 204].contains(&ended.status), "{ended:?}");
        }
        client.refresh(&tokens.refresh_token).await.expect_oauth_error(400, "invalid_grant");
        dead.push(tokens.access_token);
    }
    let dead: Vec<_> = dead.iter().map(String::as_str).collect();
    expect_refused(&client, &dead, "logged out").await;
    let (sessions, cut_offs) = (entries(&client, "sid").await, entries(&client, "sub").await);
    // What one instance records before it has read it back may come on top.
    assert!((100..120).contains(&sessions.len()), "{}", sessions.len());
    assert_eq!(cut_offs.len(), 1, "{cut_offs:?}");
    assert_eq!(cut_offs[0]["sub"], user.id);
    // The user can go on: a session of then is as good as any.
    let before = cut_offs[0]["before"].as_i64().expect("a cut-off");
    let newest = loop {
        let tokens = client.login(&user.email, PASSWORD).await;
        if Jwt::decode(&tokens.access_token).claims["iat"].as_i64() >= Some(before) {
            break tokens;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    client.me(&newest.access_token).await.expect(200);
    assert!(!refuses(&snapshot(&client).await.claims, &newest.access_token));
}
