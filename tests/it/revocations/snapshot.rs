//! `GET /revocations`: its form, its caching, who may read it.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{expect_refused, refuses, snapshot};
use crate::api::administration::Admin;
use crate::support::client::{Client, FIRST_PARTY, Send};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

async fn revoke(client: &Client, token: &str) {
    let fields = [("token", token), ("client_id", FIRST_PARTY)];
    client.form("/oauth2/revoke", &fields).await.expect(200);
}

#[tokio::test]
async fn the_statement_has_its_claims() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let empty = snapshot(&client).await.claims;
    assert_eq!((&empty["seq"], &empty["revocations"]), (&json!(0), &json!([])));
    assert_eq!(empty["lane"], "0");

    let user = client.new_user().await;
    let token = Jwt::decode(&user.tokens.access_token).claims;
    revoke(&client, &user.tokens.access_token).await;
    expect_refused(&client, &[&user.tokens.access_token], "revoked").await;
    let known = snapshot(&client).await.claims;
    let feed = json!(format!("{}/revocations", signet.issuer()));
    assert_eq!((&known["iss"], &known["aud"], known.get("sub")), (&feed, &feed, None));
    let (iat, exp) = (known["iat"].as_i64().unwrap(), known["exp"].as_i64().unwrap());
    assert_eq!(exp - iat, 300);
    assert_eq!((&known["seq"], &known["epoch"]), (&json!(1), &empty["epoch"]));
    assert_ne!(known["jti"], empty["jti"]);
    // As long as anybody takes the token for alive.
    let ends = token["exp"].as_i64().unwrap() + 60;
    assert_eq!(known["revocations"], json!([{ "jti": token["jti"], "exp": ends }]));

    // What is known already is no change: nobody keeps all listeners busy by one token.
    for _ in 0..3 {
        revoke(&client, &user.tokens.access_token).await;
    }
    revoke(&client, &user.tokens.refresh_token).await;
    expect_refused(&client, &[&user.tokens.access_token], "revoked").await;
    let start = Instant::now();
    while snapshot(&client).await.claims["seq"] == 1 && start.elapsed().as_secs() < 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(snapshot(&client).await.claims["seq"], 2);
}

#[tokio::test]
async fn it_is_named_in_the_metadata_and_cached_as_it_says() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let metadata = client.get(path).answer().await.expect(200).json();
        let base = signet.base();
        assert_eq!(metadata["revocations_uri"], format!("{base}/revocations"));
        assert_eq!(metadata["revocations_stream_uri"], format!("{base}/revocations/stream"));
    }
    let first = client.get("/revocations").answer().await.expect(200);
    assert_eq!(first.header("cache-control"), Some("public, max-age=1"));
    let vary = first.header("vary").expect("Vary").to_owned();
    assert!(vary.split(", ").any(|name| name == "accept-encoding"), "{vary}");
    let age: u64 = first.header("age").expect("Age").parse().expect("seconds");
    assert!(age <= 2, "{first:?}");
    let etag = first.header("etag").expect("ETag").to_owned();
    let ask = |etag: &str| client.get("/revocations").header("if-none-match", etag).answer();
    let unchanged = ask(&etag).await.expect(304);
    assert_eq!((unchanged.header("etag"), unchanged.body.as_str()), (Some(etag.as_str()), ""));
    let strong = etag.trim_start_matches("W/").to_owned();
    ask(&strong).await.expect(304);
    ask("\"another\"").await.expect(200);

    let user = client.new_user().await;
    revoke(&client, &user.tokens.refresh_token).await;
    expect_refused(&client, &[&user.tokens.access_token], "revoked").await;
    let changed = ask(&etag).await.expect(200);
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    let head = client.request(reqwest::Method::HEAD, "/revocations").answer().await.expect(200);
    assert_eq!((head.header("etag"), head.body.as_str()), (changed.header("etag"), ""));
    client.post("/revocations").answer().await.expect_problem(405);
}

#[tokio::test]
async fn each_lane_has_its_own_and_there_is_one() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let whole = client.get("/revocations").answer().await.expect(200).body;
    for same in ["?lane=0", "?lane=", "?", "?lane=%30", "?other=1"] {
        let answer = client.get(&format!("/revocations{same}")).answer().await.expect(200);
        assert_eq!(answer.body, whole, "{same}");
    }
    for other in ["?lane=1", "?lane=00", "?lane=x", "?lane=0:0", "?lane=%200"] {
        client.get(&format!("/revocations{other}")).answer().await.expect_problem(404);
    }
    client.get("/revocations?lane=0&lane=0").answer().await.expect_problem(400);
}

#[tokio::test]
async fn it_is_compressed_for_who_asks() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let plain = client.get("/revocations").answer().await.expect(200);
    assert_eq!(plain.header("content-encoding"), None);
    let ask = |accepted: &'static str| {
        client.get("/revocations").header("accept-encoding", accepted).send()
    };
    for accepted in ["gzip", "deflate, gzip;q=0.5", "*"] {
        let answer = ask(accepted).await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], "gzip", "{accepted}");
        let body = answer.bytes().await.unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain.body);
    }
    for accepted in ["identity", "br", "gzip;q=0", ""] {
        let answer = ask(accepted).await.unwrap();
        assert!(!answer.headers().contains_key("content-encoding"), "{accepted}");
    }
}

#[tokio::test]
async fn it_can_be_kept_to_clients_with_the_scope() {
    let signet = Signet::builder().set("revocations.open", "false").start();
    let client = Client::new(signet.base());
    let listener = signet.add_confidential("listener", &["--scopes", "revocations:read"]);
    let other = signet.add_confidential("other", &["--scopes", "orders:read"]);
    let (listener, other) = (("listener", listener.as_str()), ("other", other.as_str()));
    let user = client.new_user().await;
    for path in ["/revocations", "/revocations/stream"] {
        let missing = client.get(path).answer().await.expect_problem(401);
        assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"signet\""));
        let forged = client.get(path).bearer_auth("x.y.z").answer().await.expect_problem(401);
        assert!(forged.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
        for narrow in [client.client_token(other).await, user.tokens.access_token.clone()] {
            let refused = client.get(path).bearer_auth(narrow).answer().await.expect_problem(403);
            let challenge = refused.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
            assert!(challenge.contains("scope=\"revocations:read\""), "{challenge}");
        }
    }
    let token = client.client_token_for(listener, "revocations:read").await;
    let answer = client.get("/revocations").bearer_auth(&token).answer().await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("private, max-age=1"));
    let stream = client.get("/revocations/stream").bearer_auth(&token);
    crate::support::sse::Listener::open(stream).await.next("heartbeat").await;
}

#[tokio::test]
async fn what_siblings_may_still_take_is_told_and_nothing_longer() {
    let mut signet = Signet::builder().set("tokens.access_token_lifetime", "1s").start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    // It is over by Signet's clock, and not yet by that of a sibling with a leeway.
    signet.advance(1);
    client.me(&user.tokens.access_token).await.expect(401);
    revoke(&client, &user.tokens.access_token).await;
    expect_refused(&client, &[&user.tokens.access_token], "revoked").await;
    let known = snapshot(&client).await.claims;
    let exp = known["revocations"][0]["exp"].as_i64().unwrap();
    let iat = Jwt::decode(&user.tokens.access_token).claims["iat"].as_i64().unwrap();
    // Its life and the leeway, and not the life that is usual elsewhere.
    assert_eq!(exp - iat, 61);
}

#[tokio::test]
async fn a_user_who_signs_in_again_at_once_is_let_in() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let body = json!({
        "current_password": crate::support::client::PASSWORD,
        "new_password": "twelve orange wagons",
    });
    let request = client.post("/users/me/password").bearer_auth(&user.tokens.access_token);
    request.json(&body).answer().await.expect(204);
    let again = client.login(&user.email, "twelve orange wagons").await;
    expect_refused(&client, &[&user.tokens.access_token], "before").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let known = snapshot(&client).await.claims;
    assert!(!refuses(&known, &again.access_token), "{known}");
}

#[tokio::test]
async fn a_client_that_comes_back_at_once_is_let_in() {
    let admin = Admin::of(Signet::start()).await;
    let path = "/admin/clients/reports";
    let body = json!({ "client_id": "reports", "type": "confidential" });
    let register = async || {
        let added = admin.send("POST", "/admin/clients", body.clone()).await.expect(201).json();
        added["client_secret"].as_str().expect("a secret").to_owned()
    };
    let expect_good = async |secret: &str, what: &str| {
        let credentials = ("reports", secret);
        let token = admin.client.client_token(credentials).await;
        assert!(admin.client.is_active(credentials, &token).await, "{what}");
        let known = snapshot(&admin.client).await.claims;
        assert!(!refuses(&known, &token), "{what}: {known}");
    };
    let old = register().await;
    let token = admin.client.client_token(("reports", &old)).await;
    admin.change("DELETE", path, &admin.etag(path).await, json!({})).await.expect(204);
    let secret = register().await;
    expect_good(&secret, "registered anew").await;
    assert!(refuses(&snapshot(&admin.client).await.claims, &token));
    admin.patch(path, json!({ "disabled": true })).await.expect(200);
    admin.patch(path, json!({ "disabled": false })).await.expect(200);
    expect_good(&secret, "enabled again").await;
}
