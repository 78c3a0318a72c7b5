//! /users/me/sessions: seeing and ending one's logins.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::client::{Answer, Client, PASSWORD, Send, Tokens};
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

on_every_backend!(
    sessions_are_listed_and_ended_one_by_one,
    all_sessions_end_at_once,
    all_others_end_and_the_current_one_lives_on,
    a_session_tells_where_it_was_last_refreshed_from,
    beyond_the_limit_the_oldest_session_gives_way,
);

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

async fn end_all(client: &Client, tokens: &Tokens, query: &str) -> Answer {
    let request = client.request(Method::DELETE, &format!("/users/me/sessions{query}"));
    request.bearer_auth(&tokens.access_token).answer().await
}

async fn all_others_end_and_the_current_one_lives_on(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let api = ("api", signet.add_confidential("api", &["--grants", "client_credentials"]));
    let api = (api.0, api.1.as_str());
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let others =
        [client.login(&user.email, PASSWORD).await, client.login(&user.email, PASSWORD).await];
    let stranger = client.new_user().await;
    // Refreshed, so that it is not its first token that must stay good.
    let current = client.refresh(&user.tokens.refresh_token).await.tokens();

    end_all(&client, &current, "?except_current=true").await.expect(204);
    for other in &others {
        assert!(!client.is_active(api, &other.access_token).await);
        assert_ended(&client, other).await;
    }
    assert_eq!(sids(&client, &current).await, [sid(&current)].into());
    assert!(client.is_active(api, &current.access_token).await);
    let current = client.refresh(&current.refresh_token).await.tokens();
    client.refresh(&stranger.tokens.refresh_token).await.tokens();
    client.login(&user.email, PASSWORD).await;

    end_all(&client, &current, "?except_current=false").await.expect(204);
    assert_ended(&client, &current).await;
}

#[tokio::test]
async fn a_slip_in_the_query_ends_no_session() {
    let client = Client::shared();
    let user = client.new_user().await;
    for query in [
        "?except_curent=true",
        "?except_current",
        "?except_current=",
        "?except_current=1",
        "?except_current=true&except_current=false",
        "?except_current=true&all=true",
        "?%ff",
    ] {
        let refused = end_all(&client, &user.tokens, query).await.expect_problem(400);
        assert_eq!(refused.problem_fields().len(), 1, "{refused:?}");
    }
    client.me(&user.tokens.access_token).await.expect(200);
    // Nor does it tell anything to who is not signed in.
    let request = client.request(Method::DELETE, "/users/me/sessions?x");
    request.answer().await.expect_problem(401);
}

async fn a_session_tells_where_it_was_last_refreshed_from(backend: Backend) {
    let signet =
        Signet::builder().backend(backend).set("http.trusted_proxies", "127.0.0.0/8").start();
    let client = Client::new(signet.base());
    let email = client.new_user().await.email;
    let from = |request: reqwest::RequestBuilder, address: &str, user_agent: &str| {
        let request = request.header("x-forwarded-for", address).header("user-agent", user_agent);
        request.answer()
    };
    let login = client.post("/login").form(&[("username", email.as_str()), ("password", PASSWORD)]);
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
    let tokens = from(login, "198.51.100.1, 203.0.113.9", firefox).await.tokens();
    let origin = async |tokens: &Tokens| {
        let sessions = list(&client, tokens).await;
        let mut current = sessions.into_iter().filter(|session| session["current"] == true);
        let session = current.next().expect("the current one");
        assert_eq!(current.next(), None, "there is one");
        [session["address"].clone(), session["user_agent"].clone()]
    };
    assert_eq!(origin(&tokens).await, ["203.0.113.9", "Firefox on Linux"]);

    let refresh = |token: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        client.post("/oauth2/token").form(&fields)
    };
    let answer = from(refresh(&tokens.refresh_token), "2001:db8::7", "python-requests/2.32.5");
    let tokens = answer.await.tokens();
    assert_eq!(origin(&tokens).await, ["2001:db8::7", "python-requests/2.32"]);
    // Neither what says nothing of itself nor what says too much stands in the way.
    let tokens = from(refresh(&tokens.refresh_token), "nowhere", "").await.tokens();
    assert_eq!(origin(&tokens).await, [Value::from("127.0.0.1"), Value::Null]);
    let tokens = from(refresh(&tokens.refresh_token), "", &"x\t".repeat(4000)).await.tokens();
    assert_eq!(origin(&tokens).await, ["127.0.0.1", "x"]);
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

async fn beyond_the_limit_the_oldest_session_gives_way(backend: Backend) {
    let signet = Signet::builder().backend(backend).set("sessions.max_per_user", "3").start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    // All within a second or two, and still one is older than the other.
    let mut tokens = std::collections::VecDeque::from([user.tokens]);
    for _ in 0..12 {
        tokens.push_back(client.login(&user.email, PASSWORD).await);
        if tokens.len() > 3 {
            assert_ended(&client, &tokens.pop_front().unwrap()).await;
        }
        let listed = list(&client, tokens.back().unwrap()).await;
        let listed = listed.iter().map(|session| session["sid"].as_str().expect("a sid"));
        assert_eq!(listed.collect::<Vec<_>>(), tokens.iter().rev().map(sid).collect::<Vec<_>>());
    }
}
