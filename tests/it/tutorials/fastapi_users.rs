//! The quick start of fastapi-users: register, log in by form, `/users/me`, log out.

use serde_json::json;

use super::detail;
use crate::interop::fastapi;
use crate::support::client::{Client, PASSWORD, Send, unique_email};
use crate::support::signet::Signet;

#[tokio::test]
async fn from_registration_to_logout() {
    let client = Client::shared();
    let email = unique_email();
    let body = json!({ "email": email, "password": PASSWORD });
    let registered = client.post("/signup").json(&body).answer().await.expect(201).json();
    assert_eq!(registered["email"], email.as_str());

    let form = [("username", email.as_str()), ("password", PASSWORD)];
    let login = client.form("/login", &form).await.expect(200).json();
    let token = login["access_token"].as_str().expect("a token");
    let me = client.me(token).await.expect(200).json();
    assert_eq!(me["id"], registered["id"]);
    let service = fastapi::shared();
    service.get("/account").bearer_auth(token).answer().await.expect(200);

    client.post("/logout").bearer_auth(token).answer().await.expect(204);
    client.me(token).await.expect(401);
    service.get("/account").bearer_auth(token).answer().await.expect(401);
    client.post("/logout").bearer_auth(token).answer().await.expect(401);
}

#[tokio::test]
async fn registration_with_a_taken_address_is_refused() {
    let client = Client::shared();
    let user = client.new_user().await;
    let body = json!({ "email": user.email.to_uppercase(), "password": PASSWORD });
    let refused = client.post("/signup").json(&body).answer().await.expect(409);
    detail(&refused);
}

#[tokio::test]
async fn registration_with_a_bad_password_says_why() {
    let body = json!({ "email": unique_email(), "password": "abc" });
    let refused = Client::shared().post("/signup").json(&body).answer().await.expect(400);
    assert_eq!(refused.problem_fields(), ["password"]);
}

#[tokio::test]
async fn a_bad_login_and_an_inactive_user_are_400_and_no_session_begins() {
    let client = Client::shared();
    let user = client.new_user().await;
    client.try_login(&user.email, "wrong").await.expect_oauth_error(400, "invalid_grant");
    Signet::shared().cli_ok(&["users", "disable", &user.email], "");
    client.try_login(&user.email, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    Signet::shared().cli_ok(&["users", "enable", &user.email], "");
    let tokens = client.login(&user.email, PASSWORD).await;
    let sessions = client.get("/users/me/sessions").bearer_auth(&tokens.access_token);
    let sessions = sessions.answer().await.expect(200).json();
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");
}
