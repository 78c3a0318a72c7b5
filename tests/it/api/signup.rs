//! POST /signup: addresses, passwords, and races for one address.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

async fn signup(client: &Client, body: serde_json::Value) -> Answer {
    client.post("/signup").json(&body).answer().await
}

#[tokio::test]
async fn the_user_is_shown_and_never_the_hash() {
    let client = Client::shared();
    let email = unique_email();
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ada Lovelace" });
    let answer = signup(&client, body).await.expect(201);
    assert_eq!(answer.media_type(), "application/json");
    let user = answer.json();
    assert_eq!((&user["email"], &user["name"]), (&json!(email), &json!("Ada Lovelace")));
    assert!(user["id"].as_str().is_some_and(|id| !id.is_empty()), "{user}");
    for secret in ["password", "hash", "$argon2", PASSWORD] {
        assert!(!answer.body.contains(secret), "{secret}: {}", answer.body);
    }
    client.login(&email, PASSWORD).await;
}

#[tokio::test]
async fn the_name_is_optional() {
    let client = Client::shared();
    for body in [
        json!({ "email": unique_email(), "password": PASSWORD }),
        json!({ "email": unique_email(), "password": PASSWORD, "name": null }),
    ] {
        let user = signup(&client, body).await.expect(201).json();
        assert!(user["name"].is_null(), "{user}");
    }
}

#[tokio::test]
async fn a_taken_address_is_a_conflict_however_it_is_written() {
    let client = Client::shared();
    let taken = "jos\u{e9}.taken@example.com";
    client.try_signup(taken, PASSWORD).await.expect(201);
    for same in [
        taken,
        "JOS\u{c9}.Taken@Example.COM",
        "  jos\u{e9}.taken@example.com ",
        // The same letters, decomposed.
        "jose\u{301}.taken@example.com",
    ] {
        client.try_signup(same, "another good password").await.expect_problem(409);
        // And the login takes every form of it.
        client.login(same, PASSWORD).await;
    }
}

#[tokio::test]
async fn addresses_are_checked() {
    let client = Client::shared();
    let long = format!("{}@example.com", "x".repeat(300));
    for email in [
        "",
        " ",
        "plain",
        "@example.com",
        "a@",
        "a b@example.com",
        "a@b@example.com",
        "a\0@b.org",
        &long,
    ] {
        let answer = client.try_signup(email, PASSWORD).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["email"], "{email:?}");
    }
}

#[tokio::test]
async fn passwords_have_8_to_256_characters_after_normalisation() {
    let client = Client::shared();
    for good in [
        "8 chars!".to_owned(),
        "\u{e4}\u{f6}\u{fc}\u{df}\u{20ac}\u{1f600}xy".to_owned(),
        // Five characters, of which three become two each: eight.
        "\u{fb01}\u{fb01}\u{fb01}x9".to_owned(),
        "long ".repeat(51) + "!",
        "\u{e4}".repeat(256),
        // 512 characters that compose to 256.
        "a\u{308}".repeat(256),
        "        spaces only count too        ".to_owned(),
    ] {
        let email = unique_email();
        let answer = client.try_signup(&email, &good).await;
        assert_eq!(answer.status, 201, "{good:?}: {answer:?}");
        client.login(&email, &good).await;
    }
    for bad in [
        "".to_owned(),
        "7 chars".to_owned(),
        // Eight, which compose to seven.
        "tr\u{e9}soe\u{301}".to_owned(),
        "\u{e4}".repeat(257),
        // 129 ligatures are 258 letters.
        "\u{fb01}".repeat(129),
        "x".repeat(3000),
        "before\0after it".to_owned(),
        "ends in nul\0".to_owned(),
    ] {
        let answer = client.try_signup(&unique_email(), &bad).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["password"], "{bad:?}");
    }
}

#[tokio::test]
async fn the_commonest_passwords_are_refused() {
    let client = Client::shared();
    for common in
        ["password", "12345678", "password1", "qwertyuiop", "iloveyou", "PASSWORD", "sunshine"]
    {
        let answer = client.try_signup(&unique_email(), common).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["password"], "{common}");
    }
}

#[tokio::test]
async fn long_passwords_are_never_cut_short() {
    let client = Client::shared();
    let email = unique_email();
    let password = "\u{e4}".repeat(255);
    client.try_signup(&email, &format!("{password}x")).await.expect(201);
    for other in [format!("{password}y"), password.clone()] {
        client.try_login(&email, &other).await.expect_oauth_error(400, "invalid_grant");
    }
    client.login(&email, &format!("{password}x")).await;
}

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let client = Client::shared();
    let answer = client.try_signup("plain", "short").await.expect_problem(400);
    let mut fields = answer.problem_fields();
    fields.sort();
    assert_eq!(fields, ["email", "password"]);
}

#[tokio::test]
async fn bad_bodies_are_problems() {
    let client = Client::shared();
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        r#"{"email": "a@example.com"}"#,
        r#"{"password": "eleven purple tractors"}"#,
        r#"{"email": 5, "password": "eleven purple tractors"}"#,
        r#"{"email": ["a@example.com"], "password": "eleven purple tractors"}"#,
        r#"{"email": "a@example.com", "password": "eleven purple tractors", "name": 5}"#,
    ] {
        let request = client.post("/signup").header("content-type", "application/json");
        let answer = request.body(body).answer().await.expect_problem(400);
        // Parsers like to name their types.
        assert!(!answer.body.contains("struct"), "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn media_type_and_size_are_checked() {
    let client = Client::shared();
    let fields = [("email", "form@example.com"), ("password", PASSWORD)];
    client.form("/signup", &fields).await.expect_problem(415);
    let name = "x".repeat(1024 * 1024);
    let body = json!({ "email": unique_email(), "password": PASSWORD, "name": name });
    signup(&client, body).await.expect_problem(413);
}

on_every_backend!(of_many_at_once_one_gets_the_address);

async fn of_many_at_once_one_gets_the_address(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let forms = ["race@example.com", "RACE@example.com", " race@EXAMPLE.com"];
    let answers =
        join_all((0..21).map(|number| client.try_signup(forms[number % 3], PASSWORD))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
}

#[tokio::test]
async fn signup_can_be_switched_off() {
    let signet = Signet::builder().set("signup.enabled", "false").start();
    let answer = Client::new(signet.base()).try_signup(&unique_email(), PASSWORD).await;
    assert!([403, 404].contains(&answer.status), "{answer:?}");
    answer.clone().expect_problem(answer.status);
}
