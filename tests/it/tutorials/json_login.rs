//! The tutorials of JWT authentication that sign up and log in with JSON, and let only the bearer of
//! a token write.

use serde_json::{Value, json};

use super::detail;
use crate::interop::fastapi;
use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};

async fn post(path: &str, body: Value) -> Answer {
    Client::shared().post(path).json(&body).answer().await
}

#[tokio::test]
async fn json_signs_up_and_logs_in() {
    let email = unique_email();
    let body = json!({ "fullname": "Ada Lovelace", "email": email, "password": PASSWORD });
    post("/signup", body).await.expect(201);
    let login = post("/login", json!({ "email": email, "password": PASSWORD })).await.expect(200);
    let login = login.json();
    let token = login["access_token"].as_str().expect("a token");
    let service = fastapi::shared();
    let answer = service.get("/whoami").bearer_auth(token).answer().await.expect(200);
    // The identity is an opaque id, not the address as in the tutorials; that one is asked for.
    assert_ne!(answer.json()["sub"], email.as_str());
    assert_eq!(Client::shared().me(token).await.expect(200).json()["email"], email.as_str());
}

#[tokio::test]
async fn json_login_with_a_wrong_password_is_400_with_a_detail() {
    let user = Client::shared().new_user().await;
    for name in ["email", "username"] {
        let body = json!({ name: user.email, "password": "weakpassword" });
        let refused = post("/login", body).await.expect(400);
        assert_eq!(refused.media_type(), "application/json");
        assert_eq!(detail(&refused), "Incorrect email or password");
        assert_eq!(refused.json().get("access_token"), None);
    }
}

#[tokio::test]
async fn json_login_without_a_password_is_400_with_a_detail() {
    let refused = post("/login", json!({ "email": "ada@example.com" })).await.expect(400);
    assert_eq!(detail(&refused), "password is missing");
}

#[tokio::test]
async fn what_is_written_needs_a_token() {
    let client = Client::shared();
    let user = client.new_user().await;
    let write =
        || client.request(reqwest::Method::PATCH, "/users/me").json(&json!({ "name": "A" }));
    write().answer().await.expect(401);
    write().header("authorization", "Basic YTpi").answer().await.expect(401);
    write().bearer_auth("x.y.z").answer().await.expect(401);
    write().bearer_auth(&user.tokens.access_token).answer().await.expect(200);
}
