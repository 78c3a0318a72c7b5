//! The full-stack FastAPI template: its front end logs in by form, keeps the access token, asks who
//! it speaks for, signs people up, and lets them change their name and password.

use serde_json::{Value, json};

use super::detail;
use crate::support::client::{Answer, Client, PASSWORD, Send, User, unique_email};

async fn send(client: &Client, method: &str, path: &str, user: &User, body: Value) -> Answer {
    let method = method.parse().expect("a method");
    let request = client.request(method, path).bearer_auth(&user.tokens.access_token);
    request.json(&body).answer().await
}

#[tokio::test]
async fn the_login_form_gives_a_token_that_says_who_is_there() {
    let client = Client::shared();
    let user = client.new_user().await;
    let login = client.try_login(&user.email, PASSWORD).await.expect(200).json();
    let token = login["access_token"].as_str().expect("a token");
    let me = client.me(token).await.expect(200).json();
    assert_eq!((&me["id"], &me["email"]), (&json!(user.id), &json!(user.email)));
    assert_eq!(me["disabled"], false);
    // On this status its front end forgets the token and shows the login.
    client.me("not.a.token").await.expect(401);
}

#[tokio::test]
async fn a_wrong_password_leaves_the_form_with_a_message() {
    let client = Client::shared();
    let user = client.new_user().await;
    let refused = client.try_login(&user.email, "incorrect").await.expect(400);
    assert_eq!(detail(&refused), "Incorrect email or password");
}

#[tokio::test]
async fn sign_up_makes_a_user_who_can_log_in() {
    let client = Client::shared();
    let email = unique_email();
    // The template calls the name `full_name`; what Signet does not know it passes over.
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ada", "full_name": "Ada" });
    let made = client.post("/signup").json(&body).answer().await.expect(201).json();
    assert_eq!((&made["email"], &made["name"]), (&json!(email), &json!("Ada")));
    client.login(&email, PASSWORD).await;
}

#[tokio::test]
async fn sign_up_with_a_taken_address_is_refused_with_a_message() {
    let client = Client::shared();
    let user = client.new_user().await;
    let refused = client.try_signup(&user.email, "another good password").await.expect(409);
    assert!(detail(&refused).contains("exists already"), "{refused:?}");
    // The account is still its owner's.
    client.login(&user.email, PASSWORD).await;
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_the_present_one() {
    let client = Client::shared();
    let user = client.new_user().await;
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        send(&client, "POST", "/users/me/password", &user, body).await
    };
    let refused = change("incorrect", "twelve orange bicycles").await.expect(400);
    assert_eq!(refused.problem_fields(), ["current_password"]);
    let refused = change(PASSWORD, "short").await.expect(400);
    assert_eq!(refused.problem_fields(), ["new_password"]);
    change(PASSWORD, "twelve orange bicycles").await.expect(204);
    client.try_login(&user.email, PASSWORD).await.expect(400);
    client.login(&user.email, "twelve orange bicycles").await;
}

#[tokio::test]
async fn users_rename_and_delete_themselves() {
    let client = Client::shared();
    let user = client.new_user().await;
    let renamed = send(&client, "PATCH", "/users/me", &user, json!({ "name": "Grace" })).await;
    assert_eq!(renamed.expect(200).json()["name"], "Grace");
    // The template sends no password, which Signet asks for.
    send(&client, "DELETE", "/users/me", &user, Value::Null).await.expect(400);
    let body = json!({ "current_password": PASSWORD });
    send(&client, "DELETE", "/users/me", &user, body).await.expect(204);
    client.try_login(&user.email, PASSWORD).await.expect(400);
}
