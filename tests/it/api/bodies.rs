//! Bodies that two readers could read in two ways are refused.

use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};

async fn post(client: &Client, path: &str, body: &str) -> Answer {
    let request = client.post(path).header("content-type", "application/json");
    request.body(body.to_owned()).answer().await
}

#[tokio::test]
async fn repeated_json_members_are_refused() {
    let client = Client::shared();
    let user = client.new_user().await;
    let (taken, new) = (user.email, unique_email());
    // RFC 8259 section 4: which of the two counts is up to the reader.
    for (first, second) in [(&taken, &new), (&new, &new)] {
        let body = json!({ "email": second, "password": PASSWORD }).to_string();
        let body = format!("{{\"email\": {},{}", json!(first), &body[1..]);
        post(&client, "/signup", &body).await.expect_problem(400);
    }
    // Neither made an account.
    client.try_login(&new, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    for (member, other) in
        [("email", json!(taken)), ("password", json!("wrong one")), ("password", json!(PASSWORD))]
    {
        let body = json!({ "email": taken, "password": PASSWORD }).to_string();
        let body = format!("{{\"{member}\": {other},{}", &body[1..]);
        post(&client, "/login", &body).await.expect_oauth_error(400, "invalid_request");
    }
    // However it is written.
    let body = format!(
        r#"{{"email": {0}, "password": "{PASSWORD}", "\u0065mail": {0}}}"#,
        json!(taken).to_string()
    );
    post(&client, "/login", &body).await.expect_oauth_error(400, "invalid_request");
}

#[tokio::test]
async fn a_login_names_one_user_and_one_grant() {
    let client = Client::shared();
    let (user, other) = (client.new_user().await, client.new_user().await);
    let login = async |username: &str, email: &str, grant: &str| {
        let mut body = json!({ "username": username, "email": email, "password": PASSWORD });
        if !grant.is_empty() {
            body["grant_type"] = json!(grant);
        }
        client.post("/login").json(&body).answer().await
    };
    let answer = login(&user.email, &other.email, "").await;
    answer.expect_oauth_error(400, "invalid_request");
    let answer = login(&user.email, &user.email, "client_credentials").await;
    let answer = answer.expect_oauth_error(400, "unsupported_grant_type");
    // What it names are the grants of this endpoint.
    assert!(answer.body.contains("password") && !answer.body.contains("refresh"), "{answer:?}");
    login(&user.email, &user.email, "").await.tokens();
    login(&user.email, &user.email, "password").await.tokens();
}

#[tokio::test]
async fn other_charsets_and_codings_are_unsupported() {
    let client = Client::shared();
    let user = client.new_user().await;
    let login = json!({ "email": user.email, "password": PASSWORD }).to_string();
    let signup = json!({ "email": unique_email(), "password": PASSWORD }).to_string();
    let form = format!("grant_type=refresh_token&refresh_token={}", user.tokens.refresh_token);
    let form_type = "application/x-www-form-urlencoded";
    // The bodies are plain, so that nothing but what is said of them can be the reason.
    for (path, media_type, body) in [
        ("/login", "application/json", &login),
        ("/signup", "application/json", &signup),
        ("/oauth2/token", form_type, &form),
    ] {
        let send = async |charset: &str, coding: Option<&str>| {
            let content_type = format!("{media_type}{charset}");
            let mut request = client.post(path).header("content-type", content_type);
            if let Some(coding) = coding {
                request = request.header("content-encoding", coding);
            }
            request.body(body.clone()).answer().await
        };
        for (charset, coding) in
            [("; charset=utf-16", None), ("", Some("gzip")), ("; charset=utf-8", Some("br"))]
        {
            let answer = send(charset, coding).await;
            assert_eq!(answer.status, 415, "{path} {charset} {coding:?}: {answer:?}");
            if path == "/signup" {
                answer.expect_problem(415);
            } else {
                answer.expect_oauth_error(415, "invalid_request");
            }
        }
        let answer = send("; charset=UTF-8", Some("identity")).await;
        assert!([200, 201].contains(&answer.status), "{path}: {answer:?}");
    }
}
