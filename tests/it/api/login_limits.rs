//! The limits on guessing passwords, from outside: what they let through, whom they keep out, and
//! whom they must not.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Builder, Signet};

const WRONG: &str = "thirteen yellow wagons";
/// The default of `login_limits.account_from_network`.
const FREE: u64 = 10;
const HOME: &str = "198.51.100.1";
const ATTACKER: &str = "203.0.113.7";

on_every_backend!(
    a_thousand_guesses_at_once_cost_no_more_hashes_than_are_free,
    right_passwords_at_once_all_get_in,
);

/// Behind a proxy, which is where the tests come from, and with waits that no test lives to see the
/// end of.
fn behind_a_proxy(builder: Builder) -> Builder {
    with_long_waits(builder).set("http.trusted_proxies", "127.0.0.1")
}

fn with_long_waits(builder: Builder) -> Builder {
    let builder = builder.set("login_limits.shortest_delay", "15m");
    builder.set("login_limits.longest_delay", "1h").set("login_limits.longest_shared_delay", "1h")
}

/// A login that the proxy says comes from `address`.
async fn login_from(client: &Client, address: &str, email: &str, password: &str) -> Answer {
    let request = client.post("/login").header("x-forwarded-for", address);
    request.form(&[("username", email), ("password", password)]).answer().await
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
    let answer = answer.clone().expect_oauth_error(429, "temporarily_unavailable");
    assert_eq!(answer.json()["error_description"], "too many attempts: try again later");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.unwrap_or_else(|| panic!("no Retry-After: {answer:?}"));
    assert!((1..=3600).contains(&seconds), "{answer:?}");
    seconds
}

/// Guesses until there is a wait.
async fn use_up(client: &Client, address: &str, email: &str) {
    for _ in 0..FREE {
        let answer = login_from(client, address, email, WRONG).await;
        answer.expect_oauth_error(400, "invalid_grant");
    }
    expect_limited(&login_from(client, address, email, WRONG).await);
}

async fn a_thousand_guesses_at_once_cost_no_more_hashes_than_are_free(backend: Backend) {
    let first = behind_a_proxy(Signet::builder()).backend(backend).start();
    // On one file there is one process.
    let mut second = first.sibling();
    let mut clients = vec![Client::new(first.base())];
    if backend != Backend::Sqlite {
        second.restart();
        clients.push(Client::new(second.base()));
    }
    let email = unique_email();
    clients[0].try_signup(&email, PASSWORD).await.expect(201);
    login_from(&clients[0], HOME, &email, PASSWORD).await.tokens();
    let hashes = async || {
        let counts = clients.iter().map(|client| count(client, "signet_password_hashes_total"));
        join_all(counts).await.into_iter().sum::<u64>()
    };

    for target in [email.as_str(), "nobody@example.com"] {
        let before = hashes().await;
        let guess =
            |number: usize| login_from(&clients[number % clients.len()], ATTACKER, target, WRONG);
        let answers = join_all((0..1000).map(guess)).await;
        let computed = hashes().await - before;
        let with = |status| answers.iter().filter(move |answer| answer.status == status);
        // A machine that is too busy to answer at all has computed nothing either.
        let overloaded = (with(503).count() + with(408).count()) as u64;
        assert!(computed <= FREE && computed + overloaded >= FREE, "{computed} hashes");
        assert!(overloaded < 500, "{overloaded} were not answered");
        assert_eq!(with(400).count() as u64, computed, "each hash was for an answer");
        for answer in with(400) {
            let answer = answer.clone().expect_oauth_error(400, "invalid_grant");
            assert_eq!(answer.json()["detail"], "Incorrect email or password");
        }
        for answer in answers.iter().filter(|answer| ![400, 408, 503].contains(&answer.status)) {
            expect_limited(answer);
        }
    }
    let limited = clients.iter().map(|client| count(client, "signet_logins_limited_total"));
    assert!(join_all(limited).await.into_iter().sum::<u64>() >= 900);

    // The right password is not looked at either, from there.
    expect_limited(&login_from(&clients[0], ATTACKER, &email, PASSWORD).await);
    // The owner comes in, from where they were before and from elsewhere.
    for address in [HOME, "192.0.2.55", "2001:db8::1"] {
        login_from(&clients[0], address, &email, PASSWORD).await.tokens();
    }
}

async fn right_passwords_at_once_all_get_in(backend: Backend) {
    let mut first = Signet::builder()
        .set("http.trusted_proxies", "127.0.0.1")
        .backend(backend)
        .with_default_hashing()
        .start();
    let mut second = first.sibling();
    let mut clients = vec![Client::new(first.base())];
    if backend != Backend::Sqlite {
        second.restart();
        clients.push(Client::new(second.base()));
    }
    let email = unique_email();
    clients[0].try_signup(&email, PASSWORD).await.expect(201);
    let all_get_in = async || {
        let login =
            |number: usize| login_from(&clients[number % clients.len()], HOME, &email, PASSWORD);
        for answer in join_all((0..50).map(login)).await {
            answer.tokens();
        }
    };
    all_get_in().await;
    // Also where only one more failure would be free, and where a wait is just over.
    for failures in [FREE - 1, FREE] {
        for _ in 0..failures {
            login_from(&clients[0], HOME, &email, WRONG).await.expect(400);
        }
        if failures == FREE {
            first.advance(1);
        }
        all_get_in().await;
    }
}

#[tokio::test]
async fn known_and_unknown_accounts_are_limited_alike() {
    let signet = behind_a_proxy(Signet::builder()).start();
    let client = Client::new(signet.base());
    let [known, disabled] = [unique_email(), unique_email()];
    for email in [&known, &disabled] {
        client.try_signup(email, PASSWORD).await.expect(201);
    }
    signet.cli_ok(&["users", "disable", &disabled], "");
    let mut seen = Vec::new();
    for email in [known.as_str(), &disabled, "nobody@example.com", "not an address", "nul\0"] {
        let mut answers = Vec::new();
        for _ in 0..FREE + 2 {
            let answer = login_from(&client, ATTACKER, email, WRONG).await;
            let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            answers.push((answer.status, answer.body.clone(), names));
        }
        assert_eq!(answers[FREE as usize - 1].0, 400);
        assert_eq!(answers[FREE as usize].0, 429);
        assert!(answers[FREE as usize].1.contains("\"detail\":\"too many attempts"));
        seen.push(answers);
    }
    assert!(seen.iter().all(|answers| *answers == seen[0]), "{seen:#?}");
    // However the name is written, it is the same account.
    for email in [known.to_uppercase(), format!(" {known} ")] {
        expect_limited(&login_from(&client, ATTACKER, &email, PASSWORD).await);
    }
    // The token endpoint and JSON are other doors to the same room.
    let fields = [("grant_type", "password"), ("username", known.as_str()), ("password", PASSWORD)];
    let request = client.post("/oauth2/token").header("x-forwarded-for", ATTACKER).form(&fields);
    let answer = request.answer().await;
    expect_limited(&answer);
    assert_eq!(answer.json().get("detail"), None);
    let body = json!({ "email": known, "password": PASSWORD });
    let request = client.post("/login").header("x-forwarded-for", ATTACKER).json(&body);
    expect_limited(&request.answer().await);
}

#[tokio::test]
async fn a_forwarded_address_that_nobody_vouches_for_has_no_effect() {
    let signet = with_long_waits(Signet::builder()).start();
    let client = Client::new(signet.base());
    let email = unique_email();
    client.try_signup(&email, PASSWORD).await.expect(201);
    for number in 0..FREE {
        login_from(&client, &format!("203.0.113.{number}"), &email, WRONG).await.expect(400);
    }
    expect_limited(&login_from(&client, "203.0.113.200", &email, WRONG).await);
    expect_limited(&client.try_login(&email, PASSWORD).await);
}

#[tokio::test]
async fn what_a_client_says_before_the_proxy_has_no_effect() {
    let signet = behind_a_proxy(Signet::builder()).start();
    let client = Client::new(signet.base());
    let email = unique_email();
    client.try_signup(&email, PASSWORD).await.expect(201);
    for number in 0..FREE {
        let chain = format!("192.0.2.{number}, {ATTACKER}, 127.0.0.1");
        login_from(&client, &chain, &email, WRONG).await.expect(400);
    }
    expect_limited(&login_from(&client, &format!("{HOME}, {ATTACKER}"), &email, WRONG).await);
    // Addresses of one IPv6 network are one place.
    for number in 0..FREE {
        let address = format!("2001:db8::{number}");
        login_from(&client, &address, "nobody@example.com", WRONG).await.expect(400);
    }
    let address = "2001:db8:0:0:ffff::1";
    expect_limited(&login_from(&client, address, "nobody@example.com", WRONG).await);
}

#[tokio::test]
async fn many_networks_together_keep_no_owner_out() {
    let signet =
        behind_a_proxy(Signet::builder()).set("login_limits.account_from_unknown", "20").start();
    let client = Client::new(signet.base());
    let email = unique_email();
    client.try_signup(&email, PASSWORD).await.expect(201);
    login_from(&client, HOME, &email, PASSWORD).await.tokens();
    for number in 0..20 {
        login_from(&client, &format!("203.0.113.{number}"), &email, WRONG).await.expect(400);
    }
    expect_limited(&login_from(&client, "203.0.113.99", &email, WRONG).await);
    login_from(&client, HOME, &email, PASSWORD).await.tokens();
}

#[tokio::test]
async fn a_network_that_guesses_at_all_accounts_is_slowed_down() {
    let signet = behind_a_proxy(Signet::builder()).set("login_limits.network", "15").start();
    let client = Client::new(signet.base());
    let email = unique_email();
    client.try_signup(&email, PASSWORD).await.expect(201);
    let guess = async |number| {
        login_from(&client, ATTACKER, &format!("victim-{number}@example.com"), WRONG).await
    };
    let answers = join_all((0..100).map(guess)).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 400).count();
    // One is forgotten every four minutes.
    assert!((15..=16).contains(&looked_at), "{looked_at}");
    for answer in answers.iter().filter(|answer| answer.status != 400) {
        expect_limited(answer);
    }
    login_from(&client, HOME, &email, PASSWORD).await.tokens();
}

#[tokio::test]
async fn asking_for_the_present_password_is_no_way_around() {
    let signet = with_long_waits(Signet::builder()).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let change = async |path: &str, member: &str, new: &str, current: &str| {
        let body = json!({ "current_password": current, member: new });
        let request = client.post(path).bearer_auth(&user.tokens.access_token);
        request.json(&body).answer().await
    };
    let password = async |current: &str| {
        change("/users/me/password", "new_password", "twelve orange bicycles", current).await
    };
    let email = async |current: &str| {
        change("/users/me/email", "email", "somewhere.else@example.com", current).await
    };
    for _ in 0..FREE / 2 {
        password(WRONG).await.expect_problem(400);
        email(WRONG).await.expect_problem(400);
    }
    for answer in [password(PASSWORD).await, email(PASSWORD).await] {
        let answer = answer.expect_problem(429);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    expect_limited(&client.try_login(&user.email, PASSWORD).await);
    client.me(&user.tokens.access_token).await.expect(200);
}

#[tokio::test]
async fn an_operator_can_have_failures_forgotten() {
    for backend in [Backend::Sqlite, Backend::PostgresRedis] {
        let signet = with_long_waits(Signet::builder()).backend(backend).start();
        let client = Client::new(signet.base());
        let email = unique_email();
        client.try_signup(&email, PASSWORD).await.expect(201);
        use_up(&client, HOME, &email).await;
        expect_limited(&client.try_login(&email, PASSWORD).await);
        let said = signet.cli_ok(&["users", "unlock", &email], "");
        assert!(said.contains(&email), "{said}");
        client.login(&email, PASSWORD).await;
        // Who has a new password need not wait for the wrong ones that came before it.
        use_up(&client, HOME, &email).await;
        expect_limited(&client.try_login(&email, PASSWORD).await);
        let set = ["users", "set-password", &email, "--password-stdin"];
        signet.cli_ok(&set, "twelve orange bicycles");
        client.login(&email, "twelve orange bicycles").await;
        let output = signet.cli(&["users", "unlock", "nobody@example.com"], "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[tokio::test]
async fn failures_outlive_the_process_and_refusals_do_not_flood_the_log() {
    let mut signet = with_long_waits(Signet::builder()).start();
    let client = Client::new(signet.base());
    let email = unique_email();
    client.try_signup(&email, PASSWORD).await.expect(201);
    use_up(&client, HOME, &email).await;
    signet.kill9();
    signet.restart();
    let (client, start) = (Client::new(signet.base()), Instant::now());
    for _ in 0..100 {
        expect_limited(&client.try_login(&email, WRONG).await);
    }
    let told = signet.output().matches("login.limited").count() as u64;
    assert!((1..=start.elapsed().as_secs() + 3).contains(&told), "{told} lines");
    assert!(!signet.output().contains(&email), "addresses are nobody's business");
}

#[tokio::test]
async fn the_limits_can_be_switched_off() {
    let signet = Signet::builder().set("login_limits.enabled", "false").start();
    let client = Client::new(signet.base());
    for _ in 0..FREE + 5 {
        client.try_login("nobody@example.com", WRONG).await.expect(400);
    }
}
