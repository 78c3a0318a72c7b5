//! RFC 9700 section 4.14 and RFC 6749 section 6: refresh-token rotation, every case of it that can
//! be seen from outside.

use crate::support::client::{Answer, Client, FIRST_PARTY, PASSWORD, Send, User};
use crate::support::fixtures::{confidential, public};
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

/// The seconds for which a redeemed token gives the same answer again, unless set otherwise.
const RETRY_WINDOW: u64 = 10;

#[track_caller]
fn assert_refused(answer: Answer) {
    answer.expect_oauth_error(400, "invalid_grant");
}

on_every_backend!(
    the_current_token_gives_the_next,
    a_retry_gives_the_same_successor,
    reuse_ends_the_session,
    a_late_retry_recovers_and_displaces,
    two_who_hold_one_token_recover_three_times,
    recovery_can_be_switched_off,
);

async fn the_current_token_gives_the_next(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let User { mut tokens, .. } = client.new_user().await;
    let sid = Jwt::decode(&tokens.access_token).claims["sid"].clone();
    for _ in 0..5 {
        let answer = client.refresh(&tokens.refresh_token).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let next = answer.tokens();
        assert_ne!(next.refresh_token, tokens.refresh_token);
        assert_ne!(next.access_token, tokens.access_token);
        assert_eq!(Jwt::decode(&next.access_token).claims["sid"], sid);
        client.me(&next.access_token).await.expect(200);
        tokens = next;
    }
}

async fn a_retry_gives_the_same_successor(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let User { tokens, .. } = client.new_user().await;
    let successor = client.refresh(&tokens.refresh_token).await.tokens().refresh_token;
    for _ in 0..3 {
        let retried = client.refresh(&tokens.refresh_token).await.tokens();
        assert_eq!(retried.refresh_token, successor);
    }
    client.refresh(&successor).await.tokens();
}

async fn reuse_ends_the_session(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let User { tokens, email, .. } = client.new_user().await;
    let elsewhere = client.login(&email, PASSWORD).await;
    let second = client.refresh(&tokens.refresh_token).await.tokens();
    let third = client.refresh(&second.refresh_token).await.tokens();
    // Two generations back: its successor was redeemed, so two hold the family.
    assert_refused(client.refresh(&tokens.refresh_token).await);
    for dead in [&second, &third] {
        assert_refused(client.refresh(&dead.refresh_token).await);
        client.me(&dead.access_token).await.expect(401);
    }
    client.refresh(&elsewhere.refresh_token).await.tokens();
}

async fn a_late_retry_recovers_and_displaces(backend: Backend) {
    let mut signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let User { tokens, .. } = client.new_user().await;
    let lost = client.refresh(&tokens.refresh_token).await.tokens();
    signet.advance(RETRY_WINDOW + 1);
    let recovered = client.refresh(&tokens.refresh_token).await.tokens();
    assert_ne!(recovered.refresh_token, lost.refresh_token);
    let goes_on = client.refresh(&recovered.refresh_token).await.tokens();
    // Whoever holds the displaced one was not the one that recovered.
    assert_refused(client.refresh(&lost.refresh_token).await);
    assert_refused(client.refresh(&goes_on.refresh_token).await);
}

async fn two_who_hold_one_token_recover_three_times(backend: Backend) {
    let signet = Signet::builder().backend(backend).set("sessions.retry_window", "0s").start();
    let client = Client::new(signet.base());
    let User { tokens, id, .. } = client.new_user().await;
    let mut last = client.refresh(&tokens.refresh_token).await.tokens();
    for number in 0..3 {
        let request =
            client.post("/oauth2/token").header("user-agent", "Mozilla/5.0 Firefox/140.0");
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh_token.as_str()),
            ("client_id", FIRST_PARTY),
        ];
        let recovered = request.form(&fields).answer().await.tokens();
        assert_ne!(recovered.refresh_token, last.refresh_token, "{number}");
        last = recovered;
    }
    assert_refused(client.refresh(&tokens.refresh_token).await);
    assert_refused(client.refresh(&last.refresh_token).await);
    client.me(&last.access_token).await.expect(401);

    let query = ["audit", "list", "--event", "refresh.recovered"];
    let events = signet.cli_json(&query, "");
    let events = events.as_array().or(events["events"].as_array()).expect("events").clone();
    assert_eq!(events.len(), 3, "{events:?}");
    for event in &events {
        assert_eq!(event["subject"], id);
        assert_eq!(event["address"], "127.0.0.1");
        assert!(event["detail"].as_str().is_some_and(|text| text.contains("Firefox")), "{event}");
    }
    let metrics = client.get("/metrics").answer().await.expect(200).body;
    for (outcome, reason, count) in [
        ("advanced", "", 1),
        ("replayed", "", 0),
        ("recovered", "", 3),
        ("healed", "", 0),
        ("reused", "", 1),
        ("refused", "unknown_session", 1),
    ] {
        let line = format!(
            "\nsignet_refreshes_total{{outcome=\"{outcome}\",reason=\"{reason}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

async fn recovery_can_be_switched_off(backend: Backend) {
    let builder = Signet::builder().backend(backend).set("sessions.recovery", "revoke");
    let mut signet = builder.start();
    let client = Client::new(signet.base());
    let User { tokens, .. } = client.new_user().await;
    let next = client.refresh(&tokens.refresh_token).await.tokens();
    signet.advance(RETRY_WINDOW + 1);
    assert_refused(client.refresh(&tokens.refresh_token).await);
    assert_refused(client.refresh(&next.refresh_token).await);
}

#[tokio::test]
async fn the_retry_window_does_not_slide() {
    let mut signet = Signet::builder().set("sessions.retry_window", "40s").start();
    let client = Client::new(signet.base());
    let User { tokens, .. } = client.new_user().await;
    let successor = client.refresh(&tokens.refresh_token).await.tokens().refresh_token;
    signet.advance(25);
    let retried = client.refresh(&tokens.refresh_token).await.tokens().refresh_token;
    assert_eq!(retried, successor);
    // More than the window since the advance, less than it since the retry.
    signet.advance(30);
    let late = client.refresh(&tokens.refresh_token).await.tokens().refresh_token;
    assert_ne!(late, successor);
}

#[tokio::test]
async fn a_displaced_token_itself_ends_the_session() {
    let mut signet = Signet::start();
    let client = Client::new(signet.base());
    let User { tokens, .. } = client.new_user().await;
    let lost = client.refresh(&tokens.refresh_token).await.tokens();
    signet.advance(RETRY_WINDOW + 1);
    let recovered = client.refresh(&tokens.refresh_token).await.tokens();
    assert_refused(client.refresh(&lost.refresh_token).await);
    assert_refused(client.refresh(&recovered.refresh_token).await);
    client.me(&recovered.access_token).await.expect(401);
}

#[tokio::test]
async fn forged_tokens_change_nothing() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let good = tokens.refresh_token.as_str();
    let mut forged = vec![
        "nonsense".to_owned(),
        format!("{good}x"),
        good[..good.len() - 1].to_owned(),
        good.to_uppercase(),
        "x".repeat(8000),
    ];
    for position in (0..good.len()).step_by(7) {
        let mut bytes = good.as_bytes().to_vec();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(bytes).expect("ASCII"));
    }
    for token in forged {
        assert_refused(client.refresh(&token).await);
    }
    client.refresh(good).await.tokens();
}

#[tokio::test]
async fn another_clients_token_is_refused_and_left_alone() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let token = tokens.refresh_token.as_str();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    assert_refused(client.token_as(confidential(), &fields).await);
    let fields = [&fields[..], &[("client_id", public())]].concat();
    assert_refused(client.token(&fields).await);
    // Neither ended nor advanced: this is the first redemption.
    let next = client.refresh(token).await.tokens();
    client.refresh(&next.refresh_token).await.tokens();
}

#[tokio::test]
async fn a_refresh_without_a_client_is_the_bundled_clients() {
    let client = Client::shared();
    // Who signed in by a plain password form, without a client, refreshes as plainly.
    let User { tokens, email, .. } = client.new_user().await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh_token)];
    client.token(&fields).await.tokens();
    // Another client's token asks for that client, and is left alone.
    let fields = [("grant_type", "password"), ("username", &*email), ("password", PASSWORD)];
    let tokens = client.token_as(confidential(), &fields).await.tokens();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh_token)];
    client.token(&fields).await.expect_oauth_error(401, "invalid_client");
    client.token_as(confidential(), &fields).await.tokens();
}

#[tokio::test]
async fn scope_may_be_narrowed_for_one_answer_and_never_widened() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user_with_scope("openid profile").await;
    let refresh = async |token: &str, scope: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", FIRST_PARTY),
            ("scope", scope),
        ];
        client.token(&fields).await
    };
    for wider in ["openid profile email", "email", "unknown", "signet:admin"] {
        let answer = refresh(&tokens.refresh_token, wider).await;
        answer.expect_oauth_error(400, "invalid_scope");
    }
    let narrow = refresh(&tokens.refresh_token, "openid").await.tokens();
    assert_eq!(narrow.scope, "openid");
    assert_eq!(Jwt::decode(&narrow.access_token).claims["scope"], "openid");
    let full = refresh(&narrow.refresh_token, "").await.tokens();
    assert_eq!(full.scope, "openid profile");
    let again = refresh(&full.refresh_token, "profile openid").await.tokens();
    assert_eq!(again.scope.split(' ').count(), 2);
}
