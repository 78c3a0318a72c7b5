//! What a stranger does with somebody else's address where addresses have to be proven: it opens no
//! account, tells nothing about one, and keeps its owner from nothing.

use std::collections::HashSet;

use serde_json::json;

use super::server::SmtpServer;
use super::{MailClient, NEW_PASSWORD, database, signup_token};
use crate::support::client::{Answer, Client, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(
    a_guess_that_was_signed_up_counts_as_one,
    a_guess_counts_whatever_goes_wrong_after_it,
    an_address_in_an_older_form_gets_its_mail,
    free_and_taken_addresses_wait_alike,
    nothing_becomes_an_account_while_sign_up_is_closed,
    a_reset_leaves_no_name_of_a_stranger,
    every_password_that_waits_is_tried,
    a_strangers_sign_ups_keep_no_mail_from_the_owner,
);

const VICTIM: &str = "victim@example.com";
const FREE: &str = "free@example.com";

fn start(backend: Backend) -> (Signet, SmtpServer) {
    let server = SmtpServer::start();
    let builder = server.used_by(Signet::builder().backend(backend));
    // Long enough that no machine is too slow to be told to wait.
    let builder = builder.set("login_limits.shortest_delay", "1m");
    (builder.set("signup.require_verified_email", "true").start(), server)
}

fn add_victim(signet: &Signet) {
    signet.cli_ok(&["users", "add", VICTIM, "--password-stdin", "--email-verified"], NEW_PASSWORD);
}

async fn sign_up(client: &Client, email: &str, password: &str) -> String {
    signup_token(&client.try_signup(email, password).await.expect(202))
}

/// Whether more than a few logins with one password after another are refused without a look.
async fn is_limited(client: &Client, email: &str, password: &str) -> bool {
    for _ in 0..24 {
        if client.try_login(email, password).await.status == 429 {
            return true;
        }
    }
    false
}

async fn a_guess_that_was_signed_up_counts_as_one(backend: Backend) {
    let (signet, _server) = start(backend);
    let client = Client::new(signet.base());
    add_victim(&signet);
    for email in [VICTIM, FREE] {
        sign_up(&client, email, PASSWORD).await;
        let answer = client.try_login(email, PASSWORD).await.expect(400);
        assert_eq!(answer.json()["detail"], "E-mail address not verified", "{email}");
        assert!(is_limited(&client, email, PASSWORD).await, "{email}");
    }
}

async fn a_guess_counts_whatever_goes_wrong_after_it(backend: Backend) {
    let (signet, _server) = start(backend);
    let client = Client::new(signet.base());
    add_victim(&signet);
    let db = database(&signet).await;
    let rename = "ALTER TABLE pending_signups RENAME TO pending_signups_away";
    db.execute(sqlx::query(rename)).await.expect("it runs");
    // The document lists no 500.
    let mut seen = Vec::new();
    while seen.len() < 24 && seen.last() != Some(&429) {
        let form = [("username", VICTIM), ("password", PASSWORD)];
        let answer = client.post("/login").form(&form).send().await.expect("an answer");
        seen.push(answer.status().as_u16());
    }
    assert!(seen[0] >= 500 && seen.ends_with(&[429]), "{seen:?}");
}

async fn an_address_in_an_older_form_gets_its_mail(backend: Backend) {
    const ASCII: &str = "test@xn--bcher-kva.example";
    let (signet, server) = super::start(backend);
    let client = Client::new(signet.base());
    client.try_signup(ASCII, PASSWORD).await.expect(201);
    let db = database(&signet).await;
    let update = sqlx::query("UPDATE users SET email_key = $1 WHERE email = $1").bind(ASCII);
    assert_eq!(db.execute(update).await.expect("it runs"), 1);
    client.ask_verification(ASCII).await.expect(202);
    server.mail_to(ASCII).await;
    client.forgot("Test@b\u{fc}cher.example").await.expect(202);
    let mail = server.nth_mail_to(ASCII, 2).await;
    client.reset(&mail.token(), NEW_PASSWORD).await.expect(204);
    client.login(ASCII, NEW_PASSWORD).await;
}

/// When the sign-ups that wait end.
async fn ends(signet: &Signet) -> Vec<i64> {
    let query = sqlx::query("SELECT expires_at FROM pending_signups ORDER BY email");
    let rows = database(signet).await.fetch_all(query).await.expect("it runs");
    rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

async fn free_and_taken_addresses_wait_alike(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    add_victim(&signet);
    sign_up(&client, FREE, PASSWORD).await;
    sign_up(&client, VICTIM, PASSWORD).await;
    server.mail_to(FREE).await;
    server.mail_to(VICTIM).await;
    let [free, taken] = ends(&signet).await[..] else { panic!("two") };
    assert!((0..3600).contains(&(taken - free)), "{free} {taken}");
    // Asking once more prolongs neither,
    let shift = sqlx::query("UPDATE pending_signups SET expires_at = expires_at - 300000");
    database(&signet).await.execute(shift).await.expect("it runs");
    for email in [FREE, VICTIM] {
        client.ask_verification(email).await.expect(202);
    }
    server.nth_mail_to(FREE, 2).await;
    assert_eq!(ends(&signet).await, [free - 300_000, taken - 300_000]);
    // and brings none back.
    let shift = sqlx::query("UPDATE pending_signups SET expires_at = expires_at - 100000");
    database(&signet).await.execute(shift).await.expect("it runs");
    for email in [FREE, VICTIM] {
        let answer = client.try_login(email, PASSWORD).await.expect(400);
        assert_eq!(answer.json()["detail"], "Incorrect email or password", "{email}");
    }
}

#[track_caller]
fn assert_closed(answer: Answer) {
    let answer = answer.expect_problem(400);
    assert_eq!(answer.problem_fields(), ["token"]);
    let message = answer.json()["errors"][0]["message"].to_string();
    assert!(message.contains("sign-up is closed"), "{message}");
}

async fn nothing_becomes_an_account_while_sign_up_is_closed(backend: Backend) {
    let (mut signet, server) = start(backend);
    let client = Client::new(signet.base());
    let own = sign_up(&client, FREE, PASSWORD).await;
    let mailed = server.mail_to(FREE).await.token();
    client.forgot(FREE).await.expect(202);
    let reset = server.nth_mail_to(FREE, 2).await.token();
    signet.change("signup.enabled", "false");
    signet.restart();
    let client = Client::new(signet.base());
    for (member, value) in
        [("signup_token", own.as_str()), ("password", PASSWORD), ("new_password", NEW_PASSWORD)]
    {
        assert_closed(client.prove(&mailed, member, value).await);
    }
    assert_closed(client.reset(&reset, NEW_PASSWORD).await);
    let answer = client.try_login(FREE, NEW_PASSWORD).await;
    answer.expect_oauth_error(400, "invalid_grant");
    // Nothing was used up.
    signet.change("signup.enabled", "true");
    signet.restart();
    let client = Client::new(signet.base());
    client.prove(&mailed, "signup_token", &own).await.expect(204);
    client.login(FREE, PASSWORD).await;
}

async fn a_reset_leaves_no_name_of_a_stranger(backend: Backend) {
    const NAME: &str = "Visit evil.example";
    let (signet, server) = super::start(backend);
    let client = Client::new(signet.base());
    let body = json!({ "email": VICTIM, "password": PASSWORD, "name": NAME });
    client.post("/signup").json(&body).answer().await.expect(201);
    client.forgot(VICTIM).await.expect(202);
    let mailed = server.mail_to(VICTIM).await.token();
    client.reset(&mailed, NEW_PASSWORD).await.expect(204);
    let told = server.nth_mail_to(VICTIM, 2).await;
    assert!(!told.text.contains("evil.example"), "{told:?}");
    let tokens = client.login(VICTIM, NEW_PASSWORD).await;
    assert!(client.me(&tokens.access_token).await.expect(200).json()["name"].is_null());

    // The name that its owner gave to a proven account stays.
    let request = client.request(reqwest::Method::PATCH, "/users/me");
    let request = request.bearer_auth(&tokens.access_token).json(&json!({ "name": "Victoria" }));
    request.answer().await.expect(200);
    let forget = sqlx::query("DELETE FROM mail_limits");
    database(&signet).await.execute(forget).await.expect("it runs");
    client.forgot(VICTIM).await.expect(202);
    let used = HashSet::from([mailed]);
    server.nth_mail_to(VICTIM, 3).await;
    let tokens = server.mails_to(VICTIM).into_iter().filter_map(|mail| mail.find_token());
    let again = tokens.collect::<HashSet<_>>().difference(&used).next().cloned().expect("another");
    client.reset(&again, PASSWORD).await.expect(204);
    let tokens = client.login(VICTIM, PASSWORD).await;
    assert_eq!(client.me(&tokens.access_token).await.expect(200).json()["name"], "Victoria");
}

async fn every_password_that_waits_is_tried(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    // The owner's is the oldest of five.
    sign_up(&client, FREE, NEW_PASSWORD).await;
    for number in 1..5 {
        sign_up(&client, FREE, &format!("{PASSWORD} {number}")).await;
    }
    server.nth_mail_to(FREE, 5).await;
    let before: HashSet<_> = server.mails_to(FREE).iter().map(|mail| mail.token()).collect();
    client.ask_verification(FREE).await.expect(202);
    server.nth_mail_to(FREE, 6).await;
    let now: HashSet<_> = server.mails_to(FREE).iter().map(|mail| mail.token()).collect();
    let mailed = now.difference(&before).next().expect("another");
    let answer = client.prove(mailed, "password", PASSWORD).await.expect_problem(400);
    assert_eq!(answer.problem_fields(), ["password"]);
    client.prove(mailed, "password", NEW_PASSWORD).await.expect(204);
    client.login(FREE, NEW_PASSWORD).await;
}

async fn a_strangers_sign_ups_keep_no_mail_from_the_owner(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    for _ in 0..6 {
        sign_up(&client, FREE, PASSWORD).await;
    }
    server.nth_mail_to(FREE, 6).await;
    let before: HashSet<_> = server.mails_to(FREE).iter().map(|mail| mail.token()).collect();
    let owners = sign_up(&client, FREE, NEW_PASSWORD).await;
    server.nth_mail_to(FREE, 7).await;
    let now: HashSet<_> = server.mails_to(FREE).iter().map(|mail| mail.token()).collect();
    let mailed = now.difference(&before).next().expect("another");
    client.prove(mailed, "signup_token", &owners).await.expect(204);
    client.login(FREE, NEW_PASSWORD).await;
}
