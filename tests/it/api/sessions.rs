//! /users/me/sessions: seeing and ending one's logins.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::client::{Client, PASSWORD, Send, Tokens};
use crate::support::fixtures::{confidential, public};
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

fn sid(tokens: &Tokens) -> String {
    Jwt::decode(&tokens.access_token).claims["sid"].as_str().expect("a sid").to_owned()
}

async fn list(client: &Client, tokens: &Tokens) -> Vec<Value> {
    let request = client.get("/users/me/sessions").bearer_auth(&tokens.access_token);
    let answer = request.answer().await.expect(200);
    let body = answer.json();
    assert!(!answer.body.contains(&tokens.refresh_token), "{}", answer.body);
    let sessions = body.as_array().or_else(|| body["sessions"].as_array());
    sessions.unwrap_or_else(|| panic!("a list: {answer:?}")).clone()
}

async fn sids(client: &Client, tokens: &Tokens) -> HashSet<String> {
    let sessions = list(client, tokens).await;
    sessions.iter().map(|session| session["sid"].as_str().expect("a sid").to_owned()).collect()
}

async fn assert_ended(client: &Client, tokens: &Tokens) {
    client.me(&tokens.access_token).await.expect_problem(401);
    let refused = client.refresh(&tokens.refresh_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
}

on_every_backend!(sessions_are_listed_and_ended_one_by_one, all_sessions_end_at_once);

async fn sessions_are_listed_and_ended_one_by_one(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let second = client.login(&user.email, PASSWORD).await;
    let third = client.login(&user.email, PASSWORD).await;
    let stranger = client.new_user().await;
    let all: HashSet<_> = [&user.tokens, &second, &third].map(sid).into();
    assert_eq!(sids(&client, &user.tokens).await, all);
    assert_eq!(sids(&client, &stranger.tokens).await, [sid(&stranger.tokens)].into());

    let end = async |tokens: &Tokens, sid: &str| {
        let request = client.request(Method::DELETE, &format!("/users/me/sessions/{sid}"));
        request.bearer_auth(&tokens.access_token).answer().await
    };
    // Not another's, and not one that does not exist; both look the same.
    end(&stranger.tokens, &sid(&second)).await.expect_problem(404);
    end(&user.tokens, "01890000-0000-7000-8000-000000000000").await.expect_problem(404);
    end(&user.tokens, "not-a-sid").await.expect_problem(404);
    client.me(&second.access_token).await.expect(200);

    let answer = end(&user.tokens, &sid(&second)).await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    assert_ended(&client, &second).await;
    assert_eq!(sids(&client, &user.tokens).await, [sid(&user.tokens), sid(&third)].into());
    client.refresh(&third.refresh_token).await.tokens();
    // One's own, too.
    let answer = end(&user.tokens, &sid(&user.tokens)).await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    assert_ended(&client, &user.tokens).await;
}

async fn all_sessions_end_at_once(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let second = client.login(&user.email, PASSWORD).await;
    let stranger = client.new_user().await;
    let request = client.request(Method::DELETE, "/users/me/sessions");
    let answer = request.bearer_auth(&user.tokens.access_token).answer().await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    assert_ended(&client, &user.tokens).await;
    assert_ended(&client, &second).await;
    client.refresh(&stranger.tokens.refresh_token).await.tokens();
    // The next login lives: only what was there ended, even within the same second.
    let new = client.login(&user.email, PASSWORD).await;
    client.me(&new.access_token).await.expect(200);
    client.refresh(&new.refresh_token).await.tokens();
}

#[tokio::test]
async fn a_session_tells_its_client_and_times() {
    let client = Client::shared();
    let user = client.new_user().await;
    let fields =
        [("username", user.email.as_str()), ("password", PASSWORD), ("client_id", public())];
    let tokens = client.form("/login", &fields).await.tokens();
    let sessions = list(&client, &user.tokens).await;
    let session = sessions
        .iter()
        .find(|session| session["sid"] == sid(&tokens).as_str())
        .expect("the new session");
    assert_eq!(session["client_id"], public());
    assert!(sessions.iter().any(|session| session["current"] == true), "{sessions:?}");
    assert!(client.is_active(confidential(), &tokens.access_token).await);
}

#[tokio::test]
async fn beyond_the_limit_the_oldest_session_gives_way() {
    let signet = Signet::builder().set("sessions.max_per_user", "3").start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let mut newest = user.tokens.clone();
    for _ in 0..3 {
        // Sessions are ordered by the second they began in.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        newest = client.login(&user.email, PASSWORD).await;
    }
    assert_ended(&client, &user.tokens).await;
    assert_eq!(sids(&client, &newest).await.len(), 3);
}
