//! The limits on sign-ups, mail and own changes, from outside: what they let through, whom they keep
//! out, and whom they must not.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Builder, Signet};

/// The default of `signup_limits.network` and `mail_limits.network`.
const FREE: usize = 20;
/// The own changes of a user that are free in an hour.
const OWN_CHANGES: usize = 60;
const HERE: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.1";

on_every_backend!(
    sign_ups_of_a_network_are_limited_before_any_hash,
    requests_for_mail_of_a_network_are_limited,
    own_changes_of_a_user_are_limited_on_all_instances,
);

/// Behind a proxy, which is where the tests come from, with the limits that everybody has, and waits
/// that no test lives to see the end of.
fn behind_a_proxy(builder: Builder) -> Builder {
    let builder = builder.set("http.trusted_proxies", "127.0.0.1").with_default_limits();
    let builder = builder.set("login_limits.shortest_delay", "15m");
    builder.set("login_limits.longest_delay", "1h").set("login_limits.longest_shared_delay", "1h")
}

/// An instance, and another one beside it where the stores allow.
fn instances(backend: Backend, builder: Builder) -> (Vec<Signet>, Vec<Client>) {
    let first = builder.backend(backend).start();
    let mut signets = vec![first];
    if backend != Backend::Sqlite {
        let mut second = signets[0].sibling();
        second.restart();
        signets.push(second);
    }
    let clients = signets.iter().map(|signet| Client::new(signet.base())).collect();
    (signets, clients)
}

async fn post(client: &Client, path: &str, from: &str, body: Value) -> Answer {
    client.post(path).header("x-forwarded-for", from).json(&body).answer().await
}

async fn sign_up(client: &Client, from: &str, email: &str) -> Answer {
    post(client, "/signup", from, json!({ "email": email, "password": PASSWORD })).await
}

async fn count(client: &Client, metric: &str) -> u64 {
    let answer = client.get("/metrics").answer().await.expect(200);
    let line = answer.body.lines().find(|line| line.split(' ').next() == Some(metric));
    let value = line.and_then(|line| line.rsplit(' ').next()).expect("the metric is there");
    value.parse().expect("a number")
}

/// Checks a refusal, which says when to come back; returns the seconds.
#[track_caller]
fn expect_limited(answer: &Answer) -> u64 {
    let answer = answer.clone().expect_problem(429);
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
    seconds.filter(|seconds| *seconds > 0).unwrap_or_else(|| panic!("{answer:?}"))
}

async fn sign_ups_of_a_network_are_limited_before_any_hash(backend: Backend) {
    let (_signets, clients) = instances(backend, behind_a_proxy(Signet::builder()));
    let known = unique_email();
    sign_up(&clients[0], ELSEWHERE, &known).await.expect(201);
    let hashes = async || {
        let counts = clients.iter().map(|client| count(client, "signet_password_hashes_total"));
        join_all(counts).await.into_iter().sum::<u64>()
    };
    let before = hashes().await;
    let emails: Vec<_> = (0..150).map(|_| unique_email()).collect();
    let request = |(number, email)| sign_up(&clients[number % clients.len()], HERE, email);
    let requests = emails.iter().map(String::as_str).enumerate().map(request);
    let answers = join_all(requests).await;
    let with = |status| answers.iter().filter(move |answer| answer.status == status).count();
    // A store that is too busy refuses too, and admits none.
    assert!(with(201) <= FREE && with(201) + with(503) >= FREE, "{answers:?}");
    assert_eq!(with(201) + with(429) + with(503), 150);
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        assert!(expect_limited(answer) > 600, "{answer:?}");
    }
    assert!(hashes().await - before <= FREE as u64);
    // Taken addresses are refused alike, what is malformed is reported, and others sign up.
    let start = Instant::now();
    expect_limited(&sign_up(&clients[0], HERE, &known).await);
    assert!(start.elapsed() >= Duration::from_millis(100), "a flood has to wait");
    sign_up(&clients[0], HERE, "no address").await.expect_problem(400);
    sign_up(&clients[0], ELSEWHERE, &unique_email()).await.expect(201);
    let limited = clients.iter().map(|client| count(client, "signet_signups_limited_total"));
    assert!(join_all(limited).await.into_iter().sum::<u64>() > 0);
}

async fn requests_for_mail_of_a_network_are_limited(backend: Backend) {
    let (_signets, clients) = instances(backend, behind_a_proxy(Signet::builder()));
    let known = unique_email();
    sign_up(&clients[0], ELSEWHERE, &known).await.expect(201);
    let ask = async |number: usize, from: &str, email: &str| {
        let path = ["/password/forgot", "/email/verification"][number % 2];
        let client = &clients[number / 2 % clients.len()];
        post(client, path, from, json!({ "email": email })).await
    };
    for number in 0..FREE {
        ask(number, HERE, &format!("nobody-{number}@example.com")).await.expect(202);
        ask(number, HERE, "no address").await.expect_problem(400);
    }
    let refused = [ask(0, HERE, &known).await, ask(0, HERE, "nobody@example.com").await];
    let seen = refused.each_ref().map(|answer| {
        assert!(expect_limited(answer) > 600, "{answer:?}");
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        (answer.body.clone(), names)
    });
    assert_eq!(seen[0], seen[1], "known and unknown addresses look the same");
    let start = Instant::now();
    expect_limited(&ask(1, HERE, &known).await);
    assert!(start.elapsed() >= Duration::from_millis(100), "a flood has to wait");
    ask(0, ELSEWHERE, &known).await.expect(202);
    ask(1, ELSEWHERE, &known).await.expect(202);
    let limited = clients.iter().map(|client| count(client, "signet_mails_limited_total"));
    assert_eq!(join_all(limited).await.into_iter().sum::<u64>(), 3);
}

#[tokio::test]
async fn sign_ups_that_send_mail_count_as_such() {
    for (setting, other) in
        [("signup_limits.enabled", "/password/forgot"), ("mail_limits.enabled", "/signup")]
    {
        let builder = behind_a_proxy(Signet::builder()).set(setting, "false");
        let signet = builder.set("signup.require_verified_email", "true").start();
        let client = Client::new(signet.base());
        for _ in 0..FREE {
            sign_up(&client, HERE, &unique_email()).await.expect(202);
        }
        expect_limited(&sign_up(&client, HERE, &unique_email()).await);
        let body = json!({ "email": unique_email(), "password": PASSWORD });
        expect_limited(&post(&client, other, HERE, body).await);
        sign_up(&client, ELSEWHERE, &unique_email()).await.expect(202);
    }
}

#[tokio::test]
async fn the_limits_can_be_switched_off() {
    let builder = Signet::builder().with_default_limits().set("signup_limits.enabled", "false");
    let signet = builder.set("mail_limits.enabled", "false").start();
    let client = Client::new(signet.base());
    for _ in 0..FREE + 5 {
        client.try_signup(&unique_email(), PASSWORD).await.expect(201);
        let body = json!({ "email": "nobody@example.com" });
        client.post("/password/forgot").json(&body).answer().await.expect(202);
    }
}

#[tokio::test]
async fn a_flood_of_sign_ups_from_many_networks_keeps_nobody_from_logging_in() {
    // One thread and a small queue: without places of their own, logins find none.
    let builder = behind_a_proxy(Signet::builder()).with_default_hashing();
    let signet = builder.set("passwords.threads", "1").set("passwords.queue", "15").start();
    let client = Client::new(signet.base());
    let email = unique_email();
    sign_up(&client, ELSEWHERE, &email).await.expect(201);
    let flood: Vec<_> = (0..160_u8)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                for request in 0_usize.. {
                    let from = format!("10.{number}.{}.{}", request / 250 % 250, request % 250);
                    sign_up(&client, &from, &unique_email()).await;
                    // It is the queue that is to be full, not the machine.
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            })
        })
        .collect();
    // The flood is there once a sign-up of somebody else finds no room.
    let mut tries = 0;
    while sign_up(&client, ELSEWHERE, &unique_email()).await.status != 503 && tries < 15 {
        tries += 1;
    }
    for number in 0..15 {
        let request = client.post("/login").header("x-forwarded-for", ELSEWHERE);
        let answer = request.form(&[("username", email.as_str()), ("password", PASSWORD)]);
        let answer = answer.answer().await;
        let log = || {
            let output = signet.output();
            let of_logins = |line: &&str| line.contains("route=\"/login\"");
            output.lines().filter(of_logins).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(answer.status, 200, "the {number}th: {answer:?}\n{}", log());
    }
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn own_changes_of_a_user_are_limited_on_all_instances(backend: Backend) {
    let (_signets, clients) = instances(backend, Signet::builder());
    let user = clients[0].new_user().await;
    let other = clients[0].new_user().await;
    let change = async |number: usize, token: &str| {
        let client = &clients[number % clients.len()];
        let request = client.request(reqwest::Method::PATCH, "/users/me").bearer_auth(token);
        request.json(&json!({ "name": format!("Ann {number}") })).answer().await
    };
    for number in 0..OWN_CHANGES {
        change(number, &user.tokens.access_token).await.expect(200);
    }
    for number in 0..5 {
        expect_limited(&change(number, &user.tokens.access_token).await);
    }
    let ask = async |path: &str, member: &str, value: &str| {
        let body = json!({ "current_password": PASSWORD, member: value });
        clients[0].post(path).bearer_auth(&user.tokens.access_token).json(&body).answer().await
    };
    // Whoever did that with a stolen token has not used up what the owner's password is needed for.
    ask("/users/me/email", "email", "ann.other@example.com").await.expect(202);
    // What changes nothing is no change.
    let request = clients[0].request(reqwest::Method::PATCH, "/users/me");
    let request = request.bearer_auth(&user.tokens.access_token).json(&json!({}));
    request.answer().await.expect(200);
    change(0, &other.tokens.access_token).await.expect(200);

    // Nobody is kept from logging out, on however many devices.
    for _ in 0..5 {
        clients[0].login(&user.email, PASSWORD).await;
    }
    let sessions = clients[0].get("/users/me/sessions").bearer_auth(&user.tokens.access_token);
    let sessions = sessions.answer().await.expect(200).json();
    for session in sessions.as_array().expect("a list") {
        if session["current"] == false {
            let path = format!("/users/me/sessions/{}", session["sid"].as_str().expect("a sid"));
            let request = clients[0].request(reqwest::Method::DELETE, &path);
            request.bearer_auth(&user.tokens.access_token).answer().await.expect(204);
        }
    }
    let new = "twelve orange bicycles";
    ask("/users/me/password", "new_password", new).await.expect(204);
    let tokens = clients[0].login(&user.email, new).await;
    expect_limited(&change(0, &tokens.access_token).await);
    let request = clients[0].request(reqwest::Method::DELETE, "/users/me/sessions");
    request.bearer_auth(&tokens.access_token).answer().await.expect(204);
}
