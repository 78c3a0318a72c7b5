//! RFC 7009: what revoking ends, and what it leaves alone.

use crate::support::client::{Answer, Client, FIRST_PARTY, PASSWORD, Send, User};
use crate::support::fixtures::{bystander, confidential, public};

async fn revoke(client: &Client, fields: &[(&str, &str)]) -> Answer {
    client.form("/oauth2/revoke", &[fields, &[("client_id", FIRST_PARTY)]].concat()).await
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_session() {
    let client = Client::shared();
    for hint in ["", "refresh_token", "access_token", "unknown"] {
        let User { tokens, .. } = client.new_user().await;
        let fields = [("token", tokens.refresh_token.as_str()), ("token_type_hint", hint)];
        let answer = revoke(&client, &fields).await.expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let refused = client.refresh(&tokens.refresh_token).await;
        refused.expect_oauth_error(400, "invalid_grant");
        // RFC 7009 section 2.1: access tokens of the same grant too.
        client.me(&tokens.access_token).await.expect(401);
        assert!(!client.is_active(confidential(), &tokens.access_token).await, "{hint}");
        // Once more, or late: still no error.
        revoke(&client, &fields).await.expect(200);
    }
}

#[tokio::test]
async fn revoking_an_access_token_ends_that_token_alone() {
    let client = Client::shared();
    for hint in ["", "access_token", "refresh_token"] {
        let User { tokens, .. } = client.new_user().await;
        let fields = [("token", tokens.access_token.as_str()), ("token_type_hint", hint)];
        revoke(&client, &fields).await.expect(200);
        client.me(&tokens.access_token).await.expect(401);
        assert!(!client.is_active(confidential(), &tokens.access_token).await, "{hint}");
        let next = client.refresh(&tokens.refresh_token).await.tokens();
        client.me(&next.access_token).await.expect(200);
    }
}

#[tokio::test]
async fn an_older_refresh_token_of_the_session_still_revokes_it() {
    // A client that logs out with the token it has, while a refresh of its own was under way.
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let next = client.refresh(&tokens.refresh_token).await.tokens();
    revoke(&client, &[("token", &tokens.refresh_token)]).await.expect(200);
    let refused = client.refresh(&next.refresh_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
}

#[tokio::test]
async fn unknown_tokens_are_already_revoked() {
    let client = Client::shared();
    for token in ["nonsense", "a.b.c", &"x".repeat(5000)] {
        revoke(&client, &[("token", token)]).await.expect(200);
    }
}

#[tokio::test]
async fn another_clients_tokens_are_left_alone() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    for token in [&tokens.refresh_token, &tokens.access_token] {
        let (id, secret) = bystander();
        let request = client.post("/oauth2/revoke").basic_auth(id, Some(secret));
        let answer = request.form(&[("token", token)]).answer().await;
        // RFC 7009 section 2.1: refused, or not found; the standard names no error for it.
        assert!([200, 400].contains(&answer.status), "{answer:?}");
        let answer =
            client.form("/oauth2/revoke", &[("token", token), ("client_id", public())]).await;
        assert!([200, 400].contains(&answer.status), "{answer:?}");
    }
    client.me(&tokens.access_token).await.expect(200);
    client.refresh(&tokens.refresh_token).await.tokens();
}

#[tokio::test]
async fn a_clients_own_token_can_be_revoked_by_it() {
    let client = Client::shared();
    let token = client.client_token(confidential()).await;
    assert!(client.is_active(confidential(), &token).await);
    let (id, secret) = confidential();
    let request = client.post("/oauth2/revoke").basic_auth(id, Some(secret));
    request.form(&[("token", &token)]).answer().await.expect(200);
    assert!(!client.is_active(confidential(), &token).await);
}

#[tokio::test]
async fn other_sessions_of_the_user_go_on() {
    let client = Client::shared();
    let user = client.new_user().await;
    let other = client.login(&user.email, PASSWORD).await;
    revoke(&client, &[("token", &user.tokens.refresh_token)]).await.expect(200);
    client.me(&other.access_token).await.expect(200);
    client.refresh(&other.refresh_token).await.tokens();
}

#[tokio::test]
async fn malformed_and_unauthenticated_requests_are_refused() {
    let client = Client::shared();
    for fields in [
        vec![],
        vec![("token", "")],
        vec![("token", "one"), ("token", "two")],
        vec![("token_type_hint", "refresh_token")],
    ] {
        revoke(&client, &fields).await.expect_oauth_error(400, "invalid_request");
    }
    let User { tokens, .. } = client.new_user().await;
    let token = ("token", tokens.refresh_token.as_str());
    for fields in [
        vec![token],
        vec![token, ("client_id", "nobody")],
        vec![token, ("client_id", confidential().0)],
        vec![token, ("client_id", confidential().0), ("client_secret", "wrong")],
    ] {
        let answer = client.form("/oauth2/revoke", &fields).await;
        answer.expect_oauth_error(401, "invalid_client");
    }
    client.refresh(&tokens.refresh_token).await.tokens();
}
