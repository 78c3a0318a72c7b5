//! POST /users/me/password: ends every session, and proves the old password first.

use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, User};
use crate::support::fixtures::confidential;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

const NEW: &str = "twelve orange bicycles";

async fn change(client: &Client, user: &User, current: &str, new: &str) -> Answer {
    let body = json!({ "current_password": current, "new_password": new });
    let request = client.post("/users/me/password").bearer_auth(&user.tokens.access_token);
    request.json(&body).answer().await
}

on_every_backend!(a_change_ends_all_sessions);

async fn a_change_ends_all_sessions(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let secret = signet.add_confidential("asks", &["--grants", "client_credentials"]);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let bystander = client.new_user().await;
    let other = client.login(&user.email, PASSWORD).await;
    let answer = change(&client, &user, PASSWORD, NEW).await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    for tokens in [&user.tokens, &other] {
        client.me(&tokens.access_token).await.expect_problem(401);
        assert!(!client.is_active(("asks", &secret), &tokens.access_token).await);
        let refused = client.refresh(&tokens.refresh_token).await;
        refused.expect_oauth_error(400, "invalid_grant");
    }
    let refused = client.try_login(&user.email, PASSWORD).await;
    refused.expect_oauth_error(400, "invalid_grant");
    let new = client.login(&user.email, NEW).await;
    client.me(&new.access_token).await.expect(200);
    client.refresh(&new.refresh_token).await.tokens();
    client.refresh(&bystander.tokens.refresh_token).await.tokens();
}

#[tokio::test]
async fn the_current_password_is_needed() {
    let client = Client::shared();
    let user = client.new_user().await;
    let answer = change(&client, &user, "not the password", NEW).await;
    let answer = answer.clone().expect_problem(if answer.status == 403 { 403 } else { 400 });
    if answer.status == 400 {
        assert_eq!(answer.problem_fields(), ["current_password"]);
    }
    client.me(&user.tokens.access_token).await.expect(200);
    client.login(&user.email, PASSWORD).await;
    assert!(client.is_active(confidential(), &user.tokens.access_token).await);
}

#[tokio::test]
async fn the_new_password_obeys_the_rules() {
    let client = Client::shared();
    let user = client.new_user().await;
    let long = "x".repeat(257);
    for bad in ["", "7 chars", "password", "with a nul\0", long.as_str()] {
        let answer = change(&client, &user, PASSWORD, bad).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["new_password"], "{bad:?}");
    }
    client.login(&user.email, PASSWORD).await;
    client.refresh(&user.tokens.refresh_token).await.tokens();
}

#[tokio::test]
async fn missing_fields_are_problems() {
    let client = Client::shared();
    let user = client.new_user().await;
    for body in [json!({}), json!({ "new_password": NEW }), json!({ "current_password": PASSWORD })]
    {
        let request = client.post("/users/me/password").bearer_auth(&user.tokens.access_token);
        request.json(&body).answer().await.expect_problem(400);
    }
}
