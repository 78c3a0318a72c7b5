//! POST /login: the password form and JSON alike, and the errors that first-party clients show.

use serde_json::json;

use crate::support::client::{Answer, Client, FIRST_PARTY, PASSWORD, Send, unique_email};
use crate::support::fixtures::{API, bystander, confidential, public};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

async fn login_json(client: &Client, body: serde_json::Value) -> Answer {
    client.post("/login").json(&body).answer().await
}

/// The error body, whose text must stand in `detail` too.
#[track_caller]
fn expect_detail(answer: Answer, error: &str) -> String {
    let answer = answer.expect_oauth_error(400, error);
    let body = answer.json();
    assert_eq!(body["detail"], body["error_description"], "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    body["detail"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn form_and_json_give_the_same_answer() {
    let client = Client::shared();
    let user = client.new_user().await;
    let email = user.email.as_str();
    let form = client.try_login(email, PASSWORD).await;
    let by_username = json!({ "username": email, "password": PASSWORD });
    let by_email = json!({ "email": email, "password": PASSWORD });
    for answer in
        [form, login_json(&client, by_username).await, login_json(&client, by_email).await]
    {
        let answer = answer.expect(200);
        assert_eq!(answer.media_type(), "application/json");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.json();
        let mut members: Vec<_> = body.as_object().unwrap().keys().collect();
        members.sort();
        let expected = ["access_token", "expires_in", "refresh_token", "scope", "token_type"];
        assert_eq!(members, expected);
        assert_eq!(body["token_type"], "Bearer");
        let claims = Jwt::decode(body["access_token"].as_str().unwrap()).claims;
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(user.id), &json!(FIRST_PARTY)));
        let tokens = answer.tokens();
        client.me(&tokens.access_token).await.expect(200);
        client.refresh(&tokens.refresh_token).await.tokens();
    }
}

#[tokio::test]
async fn the_form_of_fastapi_and_swagger_is_taken_as_it_is() {
    let client = Client::shared();
    let user = client.new_user().await;
    let fields = [
        ("grant_type", "password"),
        ("username", &user.email),
        ("password", PASSWORD),
        ("scope", ""),
        ("client_id", ""),
        ("client_secret", ""),
    ];
    client.form("/login", &fields).await.tokens();
}

#[tokio::test]
async fn scope_and_client_are_taken_from_form_and_json() {
    let client = Client::shared();
    let user = client.new_user().await;
    let (username, scope) = (user.email.as_str(), "openid email");
    let form = [("username", username), ("password", PASSWORD), ("scope", scope)];
    assert_eq!(client.form("/login", &form).await.tokens().scope, scope);
    let body = json!({ "username": username, "password": PASSWORD, "scope": scope });
    assert_eq!(login_json(&client, body).await.tokens().scope, scope);

    let form = [("username", username), ("password", PASSWORD), ("client_id", public())];
    let tokens = client.form("/login", &form).await.tokens();
    assert_eq!(Jwt::decode(&tokens.access_token).claims["client_id"], public());
    let body = json!({ "username": username, "password": PASSWORD, "client_id": public() });
    let tokens = login_json(&client, body).await.tokens();
    assert_eq!(Jwt::decode(&tokens.access_token).claims["client_id"], public());

    let (id, secret) = confidential();
    let form = [("username", username), ("password", PASSWORD), ("resource", API)];
    let request = client.post("/login").basic_auth(id, Some(secret)).form(&form);
    let claims = Jwt::decode(&request.answer().await.tokens().access_token).claims;
    assert_eq!((&claims["client_id"], &claims["aud"]), (&json!(id), &json!(API)));
}

#[tokio::test]
async fn wrong_passwords_and_unknown_users_look_the_same() {
    // As often as it takes: how often that may be is `login_limits`' business.
    let signet = Signet::builder().set("login_limits.enabled", "false").start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let email = user.email.as_str();
    let upper = PASSWORD.to_uppercase();
    let huge = "x".repeat(10_000);
    for (username, password) in [
        (email, "not the password"),
        (email, upper.as_str()),
        (email, "short"),
        (email, huge.as_str()),
        (email, "eleven purple tractors\0"),
        (email, " eleven purple tractors"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("nul\0@example.com", PASSWORD),
    ] {
        let answer = client.try_login(username, password).await;
        assert_eq!(expect_detail(answer, "invalid_grant"), "Incorrect email or password");
        let body = json!({ "username": username, "password": password });
        let answer = login_json(&client, body).await;
        assert_eq!(expect_detail(answer, "invalid_grant"), "Incorrect email or password");
    }
}

#[tokio::test]
async fn a_disabled_user_is_told_so_only_with_the_right_password() {
    let client = Client::shared();
    let user = client.new_user().await;
    Signet::shared().cli_ok(&["users", "disable", &user.email], "");
    let answer = client.try_login(&user.email, PASSWORD).await;
    assert_eq!(expect_detail(answer, "invalid_grant"), "Inactive user");
    let answer = client.try_login(&user.email, "not the password").await;
    assert_eq!(expect_detail(answer, "invalid_grant"), "Incorrect email or password");
    Signet::shared().cli_ok(&["users", "enable", &user.email], "");
    client.login(&user.email, PASSWORD).await;
}

#[tokio::test]
async fn missing_and_repeated_fields_are_invalid_requests() {
    let client = Client::shared();
    let (username, password) = (("username", "a@example.com"), ("password", PASSWORD));
    for fields in [
        vec![],
        vec![username],
        vec![password],
        vec![username, ("password", "")],
        vec![("username", ""), password],
        vec![username, password, password],
    ] {
        expect_detail(client.form("/login", &fields).await, "invalid_request");
    }
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"username": "a@example.com"}"#,
        r#"{"password": "eleven purple tractors"}"#,
        r#"{"username": 5, "password": "eleven purple tractors"}"#,
        r#"{"username": "a@example.com", "password": ["eleven purple tractors"]}"#,
    ] {
        let request = client.post("/login").header("content-type", "application/json").body(body);
        expect_detail(request.answer().await, "invalid_request");
    }
}

#[tokio::test]
async fn further_json_members_are_ignored() {
    let client = Client::shared();
    let user = client.new_user().await;
    let body = json!({ "email": user.email, "password": PASSWORD, "remember_me": true, "x": {} });
    login_json(&client, body).await.tokens();
}

#[tokio::test]
async fn passwords_are_compared_after_normalisation() {
    let client = Client::shared();
    let (composed, decomposed) =
        ("tr\u{e9}s secr\u{e8}te phrase", "tre\u{301}s secre\u{300}te phrase");
    for (signup, login) in [(composed, decomposed), (decomposed, composed)] {
        let email = unique_email();
        client.try_signup(&email, signup).await.expect(201);
        client.login(&email, login).await;
        client.login(&email, signup).await;
        let body = json!({ "email": email, "password": login });
        login_json(&client, body).await.tokens();
    }
}

#[tokio::test]
async fn client_and_scope_errors_are_the_token_endpoints() {
    let client = Client::shared();
    let user = client.new_user().await;
    let form = [("username", user.email.as_str()), ("password", PASSWORD)];
    let scoped = [&form[..], &[("scope", "openid unknown")]].concat();
    expect_detail(client.form("/login", &scoped).await, "invalid_scope");
    let (id, secret) = bystander();
    let request = client.post("/login").basic_auth(id, Some(secret)).form(&form);
    expect_detail(request.answer().await, "unauthorized_client");
    let request = client.post("/login").basic_auth(id, Some("wrong")).form(&form);
    let answer = request.answer().await.expect_oauth_error(401, "invalid_client");
    assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")));
    assert_eq!(answer.json()["detail"], answer.json()["error_description"]);
    let unknown = [&form[..], &[("client_id", "nobody")]].concat();
    client.form("/login", &unknown).await.expect_oauth_error(401, "invalid_client");
}

#[tokio::test]
async fn media_type_and_size_are_checked() {
    let client = Client::shared();
    let request = client.post("/login").header("content-type", "text/plain").body("x");
    request.answer().await.expect_oauth_error(415, "invalid_request");
    let huge = "x".repeat(1024 * 1024);
    let answer = client.try_login("a@example.com", &huge).await;
    answer.expect_oauth_error(413, "invalid_request");
    let body = json!({ "username": "a@example.com", "password": huge });
    login_json(&client, body).await.expect_oauth_error(413, "invalid_request");
}

#[tokio::test]
async fn another_method_is_told_in_both_forms() {
    let client = Client::shared();
    let answer = client.get("/login").answer().await.expect_oauth_error(405, "invalid_request");
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{answer:?}");
    assert_eq!(answer.json()["detail"], answer.json()["error_description"], "{answer:?}");
}
