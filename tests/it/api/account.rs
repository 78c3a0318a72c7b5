//! /users/me: one's own account.

use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, User};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

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
    assert_eq!(claims.get("roles"), None);
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

/// The two ways to remove one's own account; some proxies drop the body of a DELETE.
const REMOVALS: [(reqwest::Method, &str); 2] =
    [(reqwest::Method::DELETE, "/users/me"), (reqwest::Method::POST, "/users/me/delete")];

#[tokio::test]
async fn a_removal_takes_the_current_password() {
    let client = Client::shared();
    for (method, path) in REMOVALS {
        let user = client.new_user().await;
        let request =
            || client.request(method.clone(), path).bearer_auth(&user.tokens.access_token);
        // A token alone removes nothing.
        request().answer().await.expect_problem(415);
        request().form(&[("current_password", PASSWORD)]).answer().await.expect_problem(415);
        request().body("{}").answer().await.expect_problem(415);
        for body in [
            json!({}),
            json!({ "password": PASSWORD }),
            json!({ "current_password": null }),
            json!({ "current_password": [PASSWORD] }),
            json!({ "current_password": "" }),
            json!({ "current_password": "not the password" }),
        ] {
            let refused = request().json(&body).answer().await.expect_problem(400);
            assert_eq!(refused.problem_fields(), ["current_password"], "{method} {body}");
        }
        let json = "application/json";
        request().header("content-type", json).body("[]").answer().await.expect_problem(400);
        client.me(&user.tokens.access_token).await.expect(200);
        let body = json!({ "current_password": PASSWORD });
        client.request(method.clone(), path).json(&body).answer().await.expect_problem(401);
        request().json(&body).answer().await.expect(204);
        client.me(&user.tokens.access_token).await.expect_problem(401);
    }
}

#[tokio::test]
async fn guesses_of_the_password_for_a_removal_count_as_at_the_login() {
    // Long enough that no machine is too slow to meet the wait.
    let signet = Signet::builder().set("login_limits.shortest_delay", "1m").start();
    let client = Client::new(signet.base());
    for (method, path) in REMOVALS {
        let user = client.new_user().await;
        let remove = async |password: &str| {
            let request = client.request(method.clone(), path);
            let request = request.bearer_auth(&user.tokens.access_token);
            request.json(&json!({ "current_password": password })).answer().await
        };
        let mut refused = 0;
        let limited = loop {
            let answer = remove("not the password").await;
            if answer.status == 429 {
                break answer;
            }
            answer.expect_problem(400);
            refused += 1;
            assert!(refused < 100, "guesses are not counted");
        };
        assert!(limited.header("retry-after").is_some(), "{limited:?}");
        remove(PASSWORD).await.expect_problem(429);
        client.me(&user.tokens.access_token).await.expect(200);
    }
}

on_every_backend!(a_deleted_account_is_gone_with_all_it_could_do);

async fn a_deleted_account_is_gone_with_all_it_could_do(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let secret = signet.add_confidential("asks", &["--scopes", "read"]);
    let client = Client::new(signet.base());
    for (method, path) in REMOVALS {
        is_gone_by(method, path, &client, ("asks", &secret)).await;
    }
}

async fn is_gone_by(
    method: reqwest::Method,
    path: &str,
    client: &Client,
    credentials: (&str, &str),
) {
    let user = client.new_user().await;
    let other = client.login(&user.email, PASSWORD).await;
    let request = client.request(method, path).json(&json!({ "current_password": PASSWORD }));
    request.bearer_auth(&user.tokens.access_token).answer().await.expect(204);
    for tokens in [&user.tokens, &other] {
        client.me(&tokens.access_token).await.expect_problem(401);
        assert!(!client.is_active(credentials, &tokens.access_token).await);
        let refused = client.refresh(&tokens.refresh_token).await;
        refused.expect_oauth_error(400, "invalid_grant");
    }
    let answer = client.try_login(&user.email, PASSWORD).await;
    answer.expect_oauth_error(400, "invalid_grant");
    // The address is free, and whoever takes it is somebody else.
    let again = client.try_signup(&user.email, PASSWORD).await.expect(201).json();
    assert_ne!(again["id"], user.id.as_str());
}
