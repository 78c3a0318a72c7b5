//! RFC 6749 section 4.3: the password grant, for the clients that are registered for it.

use crate::support::client::{Client, FIRST_PARTY, PASSWORD};
use crate::support::fixtures::{confidential, public};
use crate::support::jwt::Jwt;

#[tokio::test]
async fn a_request_without_a_client_is_the_bundled_clients() {
    let client = Client::shared();
    let user = client.new_user().await;
    let fields =
        [("grant_type", "password"), ("username", user.email.as_str()), ("password", PASSWORD)];
    for named in [&[][..], &[("client_id", "")], &[("client_id", FIRST_PARTY)]] {
        let answer = client.token(&[&fields[..], named].concat()).await.expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.json()["token_type"], "Bearer");
        let tokens = answer.tokens();
        assert_eq!(Jwt::decode(&tokens.access_token).claims["client_id"], FIRST_PARTY);
        client.refresh(&tokens.refresh_token).await.tokens();
    }
}

#[tokio::test]
async fn registered_clients_get_tokens_of_their_own() {
    let client = Client::shared();
    let user = client.new_user().await;
    let fields =
        [("grant_type", "password"), ("username", user.email.as_str()), ("password", PASSWORD)];
    let (id, secret) = confidential();
    let tokens = client.token_as((id, secret), &fields).await.tokens();
    let claims = Jwt::decode(&tokens.access_token).claims;
    assert_eq!((&claims["client_id"], &claims["sub"]), (&id.into(), &user.id.as_str().into()));

    let tokens = client.token(&[&fields[..], &[("client_id", public())]].concat()).await.tokens();
    assert_eq!(Jwt::decode(&tokens.access_token).claims["client_id"], public());
    assert_eq!(tokens.scope, "read");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_users_look_the_same() {
    let client = Client::shared();
    let user = client.new_user().await;
    let mut bodies = Vec::new();
    for (username, password) in [
        (user.email.as_str(), "not the password"),
        (user.email.as_str(), "x"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
    ] {
        let fields = [("grant_type", "password"), ("username", username), ("password", password)];
        let answer = client.token(&fields).await.expect_oauth_error(400, "invalid_grant");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn scope_is_within_what_client_and_user_may_have() {
    let client = Client::shared();
    let user = client.new_user().await;
    let scoped = async |scope: &str| {
        let fields = [
            ("grant_type", "password"),
            ("username", user.email.as_str()),
            ("password", PASSWORD),
            ("scope", scope),
        ];
        client.token(&fields).await
    };
    assert_eq!(scoped("openid").await.tokens().scope, "openid");
    assert_eq!(scoped("email openid").await.tokens().scope, "email openid");
    scoped("openid unknown").await.expect_oauth_error(400, "invalid_scope");
    // Administration belongs to the role, whatever the client may do.
    scoped("signet:admin").await.expect_oauth_error(400, "invalid_scope");
    let default = scoped("").await.tokens().scope;
    assert!(!default.split(' ').any(|word| word == "signet:admin"), "{default}");
}
