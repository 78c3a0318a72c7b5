//! The tutorials with refresh tokens and roles: a short access token, a refresh token for the next,
//! and routes for those who have a role.

use serde_json::json;

use super::detail;
use crate::interop::fastapi;
use crate::support::client::{Answer, Client, PASSWORD, Send, Tokens, unique_email};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

/// A user with these roles, separated by commas, logged in.
async fn login_with_roles(roles: &str) -> Tokens {
    let email = unique_email();
    let add = ["users", "add", &email, "--password-stdin", "--roles", roles];
    Signet::shared().cli_ok(&add, PASSWORD);
    Client::shared().login(&email, PASSWORD).await
}

async fn open(path: &str, token: &str) -> Answer {
    fastapi::shared().get(path).bearer_auth(token).answer().await
}

#[tokio::test]
async fn a_refresh_token_gives_the_next_access_token() {
    let client = Client::shared();
    let user = client.new_user().await;
    let next = client.refresh(&user.tokens.refresh_token).await.tokens();
    assert_ne!(next.access_token, user.tokens.access_token);
    assert_ne!(next.refresh_token, user.tokens.refresh_token);
    client.me(&next.access_token).await.expect(200);
    open("/whoami", &next.access_token).await.expect(200);
    // Without naming the client too, as the tutorials' clients do.
    let form = [("grant_type", "refresh_token"), ("refresh_token", next.refresh_token.as_str())];
    client.token(&form).await.tokens();
}

#[tokio::test]
async fn neither_token_stands_in_for_the_other() {
    let client = Client::shared();
    let user = client.new_user().await;
    client.me(&user.tokens.refresh_token).await.expect(401);
    open("/whoami", &user.tokens.refresh_token).await.expect(401);
    let refused = client.refresh(&user.tokens.access_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
    client.refresh(&user.tokens.refresh_token).await.tokens();
}

#[tokio::test]
async fn after_logout_the_refresh_token_is_over() {
    let client = Client::shared();
    let user = client.new_user().await;
    let logout = client.post("/logout").bearer_auth(&user.tokens.access_token);
    logout.answer().await.expect(204);
    let refused = client.refresh(&user.tokens.refresh_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
}

#[tokio::test]
async fn routes_open_to_the_roles_they_are_for() {
    for (roles, articles, settings) in
        [("", 403, 403), ("reader", 403, 403), ("editor", 200, 403), ("reader,admin", 200, 200)]
    {
        let tokens = login_with_roles(roles).await;
        // Roles stand in the first token and in those that follow it.
        let next = Client::shared().refresh(&tokens.refresh_token).await.tokens();
        for token in [&tokens.access_token, &next.access_token] {
            let expected: Vec<_> = roles.split(',').filter(|role| !role.is_empty()).collect();
            // A user without roles has a token without the claim.
            let claim = (!expected.is_empty()).then(|| json!(expected));
            assert_eq!(Jwt::decode(token).claims.get("roles"), claim.as_ref());
            for (path, status) in [("/articles", articles), ("/settings", settings)] {
                let answer = open(path, token).await;
                assert_eq!(answer.status, status, "{path} for {roles:?}: {answer:?}");
                if status == 403 {
                    assert_eq!(detail(&answer), "Operation not permitted");
                }
            }
        }
    }
}

#[tokio::test]
async fn without_a_token_a_route_for_a_role_is_401_not_403() {
    for path in ["/articles", "/settings"] {
        let refused = fastapi::shared().get(path).answer().await.expect(401);
        assert_eq!(detail(&refused), "Not authenticated");
        open(path, "not.a.token").await.expect(401);
    }
}

#[tokio::test]
async fn nobody_gives_himself_a_role() {
    let client = Client::shared();
    let email = unique_email();
    let body = json!({ "email": email, "password": PASSWORD, "roles": ["admin"], "role": "admin" });
    let made = client.post("/signup").json(&body).answer().await.expect(201).json();
    assert_eq!(made["roles"], json!([]));
    let tokens = client.login(&email, PASSWORD).await;
    let patch = client.request(reqwest::Method::PATCH, "/users/me");
    let patch = patch.bearer_auth(&tokens.access_token).json(&json!({ "roles": ["admin"] }));
    assert_eq!(patch.answer().await.expect(400).problem_fields(), ["roles"]);
    let next = client.refresh(&tokens.refresh_token).await.tokens();
    open("/settings", &next.access_token).await.expect(403);
}
