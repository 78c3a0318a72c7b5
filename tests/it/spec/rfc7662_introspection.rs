//! RFC 7662: what siblings hear that must know now.

use serde_json::json;

use crate::support::client::{Client, FIRST_PARTY, PASSWORD, Send, User};
use crate::support::fixtures::{API, confidential, public};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

#[tokio::test]
async fn an_active_token_shows_its_claims() {
    let client = Client::shared();
    let user = client.new_user_with_scope("openid").await;
    let answer = client.introspect(confidential(), &user.tokens.access_token).await.expect(200);
    assert_eq!(answer.media_type(), "application/json");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["active"], true);
    assert_eq!(body["token_type"], "Bearer");
    let claims = Jwt::decode(&user.tokens.access_token).claims;
    for claim in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid"] {
        assert_eq!(body[claim], claims[claim], "{claim}");
    }

    let fields = [("grant_type", "client_credentials"), ("resource", API)];
    let token = client.token_as(confidential(), &fields).await.expect(200).json();
    let token = token["access_token"].as_str().unwrap();
    let body = client.introspect(confidential(), token).await.expect(200).json();
    assert_eq!((&body["active"], &body["aud"]), (&json!(true), &json!(API)));
}

#[tokio::test]
async fn both_ways_of_authentication_and_any_hint_serve() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let (id, secret) = confidential();
    for hint in ["", "access_token", "refresh_token", "unknown"] {
        let fields = [
            ("token", tokens.access_token.as_str()),
            ("token_type_hint", hint),
            ("client_id", id),
            ("client_secret", secret),
        ];
        let answer = client.form("/oauth2/introspect", &fields).await.expect(200);
        assert_eq!(answer.json()["active"], true, "{hint}");
    }
}

#[tokio::test]
async fn bad_tokens_are_inactive_and_nothing_else_is_said() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let truncated = &tokens.access_token[..tokens.access_token.len() - 2];
    for token in ["nonsense", "a.b.c", "..", truncated, &"x".repeat(5000)] {
        let answer = client.introspect(confidential(), token).await.expect(200);
        assert_eq!(answer.json(), json!({ "active": false }), "{token}");
    }
}

#[tokio::test]
async fn only_confidential_clients_may_ask() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let token = ("token", tokens.access_token.as_str());
    for fields in [
        vec![token],
        vec![token, ("client_id", FIRST_PARTY)],
        vec![token, ("client_id", public())],
        vec![token, ("client_id", confidential().0)],
        vec![token, ("client_id", confidential().0), ("client_secret", "wrong")],
        vec![token, ("client_id", "nobody"), ("client_secret", "wrong")],
    ] {
        let answer = client.form("/oauth2/introspect", &fields).await;
        let answer = answer.expect_oauth_error(401, "invalid_client");
        assert!(!answer.body.contains("active"), "{fields:?}: {}", answer.body);
    }
    // A user's own token does not open it either.
    let request = client.post("/oauth2/introspect").bearer_auth(&tokens.access_token);
    let answer = request.form(&[token]).answer().await;
    assert!([400, 401].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn a_token_must_be_given_once() {
    let client = Client::shared();
    let (id, secret) = confidential();
    for fields in [vec![], vec![("token", "")], vec![("token", "one"), ("token", "two")]] {
        let request = client.post("/oauth2/introspect").basic_auth(id, Some(secret));
        let answer = request.form(&fields).answer().await;
        answer.expect_oauth_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_disabled_users_tokens_are_inactive_at_once() {
    let client = Client::shared();
    let signet = Signet::shared();
    let user = client.new_user().await;
    let other = client.login(&user.email, PASSWORD).await;
    let tokens = [&user.tokens.access_token, &other.access_token];
    for token in tokens {
        assert!(client.is_active(confidential(), token).await);
    }
    signet.cli_ok(&["users", "disable", &user.email], "");
    for token in tokens {
        assert!(!client.is_active(confidential(), token).await);
        client.me(token).await.expect(401);
    }
    for token in [&user.tokens.refresh_token, &other.refresh_token] {
        client.refresh(token).await.expect_oauth_error(400, "invalid_grant");
    }
    // Enabling lets the user log in anew and brings nothing back.
    signet.cli_ok(&["users", "enable", &user.email], "");
    assert!(!client.is_active(confidential(), tokens[0]).await);
    let refused = client.refresh(&user.tokens.refresh_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
    let new = client.login(&user.email, PASSWORD).await;
    assert!(client.is_active(confidential(), &new.access_token).await);
}

#[tokio::test]
async fn a_removed_clients_tokens_are_inactive() {
    let client = Client::shared();
    let signet = Signet::shared();
    let secret = signet.add_confidential("leaves", &["--grants", "client_credentials"]);
    let token = client.client_token(("leaves", &secret)).await;
    assert!(client.is_active(confidential(), &token).await);
    signet.cli_ok(&["clients", "remove", "leaves"], "");
    assert!(!client.is_active(confidential(), &token).await);
    let fields = [("grant_type", "client_credentials")];
    let answer = client.token_as(("leaves", &secret), &fields).await;
    answer.expect_oauth_error(401, "invalid_client");
}

#[tokio::test]
async fn who_tried_basic_is_asked_for_basic() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    for credentials in [(public(), ""), (FIRST_PARTY, ""), (confidential().0, "wrong")] {
        let answer = client.introspect(credentials, &tokens.access_token).await;
        let answer = answer.expect_oauth_error(401, "invalid_client");
        // RFC 6749 section 5.2: the scheme that the client used.
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Basic"), "{credentials:?}: {answer:?}");
    }
}
