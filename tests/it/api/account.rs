//! /users/me: one's own account.

use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, User};
use crate::support::fixtures::confidential;

async fn patch(client: &Client, user: &User, body: serde_json::Value) -> Answer {
    let request = client.request(reqwest::Method::PATCH, "/users/me");
    request.bearer_auth(&user.tokens.access_token).json(&body).answer().await
}

#[tokio::test]
async fn it_shows_the_user_and_never_the_hash() {
    let client = Client::shared();
    let user = client.new_user().await;
    let answer = client.me(&user.tokens.access_token).await.expect(200);
    assert_eq!(answer.media_type(), "application/json");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let me = answer.json();
    assert_eq!((&me["id"], &me["email"]), (&json!(user.id), &json!(user.email)));
    assert_eq!(me["roles"], json!([]));
    for secret in ["hash", "$argon2", "password"] {
        assert!(!answer.body.contains(secret), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_name_can_be_changed() {
    let client = Client::shared();
    let user = client.new_user().await;
    let changed = patch(&client, &user, json!({ "name": "Grace Hopper" })).await.expect(200);
    assert_eq!(changed.json()["name"], "Grace Hopper");
    let me = async || client.me(&user.tokens.access_token).await.expect(200).json();
    assert_eq!(me().await["name"], "Grace Hopper");
    // What is not mentioned stays.
    patch(&client, &user, json!({})).await.expect(200);
    assert_eq!(me().await["name"], "Grace Hopper");
}

#[tokio::test]
async fn nobody_makes_himself_somebody_else() {
    let client = Client::shared();
    let user = client.new_user().await;
    let unknown = patch(&client, &user, json!({ "name": "x", "admin": true })).await;
    assert_eq!(unknown.expect_problem(400).problem_fields(), ["admin"]);
    for body in [
        json!({ "roles": ["admin"] }),
        json!({ "id": "00000000-0000-0000-0000-000000000000" }),
        json!({ "disabled": true, "disabled_at": 1 }),
        json!({ "email_verified": true, "email_verified_at": 1 }),
        json!({ "password": "set without the old one" }),
    ] {
        patch(&client, &user, body).await.expect_problem(400);
    }
    let me = client.me(&user.tokens.access_token).await.expect(200).json();
    assert_eq!((&me["id"], &me["roles"]), (&json!(user.id), &json!([])));
    assert_ne!(me["email_verified"], true);
    client.login(&user.email, PASSWORD).await;
    let refreshed = client.refresh(&user.tokens.refresh_token).await.tokens();
    let claims = crate::support::jwt::Jwt::decode(&refreshed.access_token).claims;
    assert_eq!(claims["roles"], json!([]));
}

#[tokio::test]
async fn bad_changes_are_problems() {
    let client = Client::shared();
    let user = client.new_user().await;
    let bearer = &user.tokens.access_token;
    for body in ["{", "[]", r#"{"name": 5}"#] {
        let request = client.request(reqwest::Method::PATCH, "/users/me").bearer_auth(bearer);
        let request = request.header("content-type", "application/json").body(body);
        request.answer().await.expect_problem(400);
    }
    let answer = patch(&client, &user, json!({ "name": "x".repeat(5000) })).await;
    assert_eq!(answer.expect_problem(400).problem_fields(), ["name"]);
    let request = client.request(reqwest::Method::PATCH, "/users/me").bearer_auth(bearer);
    request.form(&[("name", "Form")]).answer().await.expect_problem(415);
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_all_it_could_do() {
    let client = Client::shared();
    let user = client.new_user().await;
    let other = client.login(&user.email, PASSWORD).await;
    let request = client.request(reqwest::Method::DELETE, "/users/me");
    let answer = request.bearer_auth(&user.tokens.access_token).answer().await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    for tokens in [&user.tokens, &other] {
        client.me(&tokens.access_token).await.expect_problem(401);
        assert!(!client.is_active(confidential(), &tokens.access_token).await);
        let refused = client.refresh(&tokens.refresh_token).await;
        refused.expect_oauth_error(400, "invalid_grant");
    }
    let answer = client.try_login(&user.email, PASSWORD).await;
    answer.expect_oauth_error(400, "invalid_grant");
    // The address is free, and whoever takes it is somebody else.
    let again = client.try_signup(&user.email, PASSWORD).await.expect(201).json();
    assert_ne!(again["id"], user.id.as_str());
}
