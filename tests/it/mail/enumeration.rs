//! Nobody learns who has an account, and nobody can flood a mailbox or the outbox.

use std::time::Duration;

use futures_util::future::join_all;

use super::server::SmtpServer;
use super::{MailClient, outbox_empties, signup_token, start};
use crate::support::client::{Answer, Client, PASSWORD};
use crate::support::signet::{Backend, Signet};

/// What a caller can see of an answer, but for what differs each time.
fn seen(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let differs = ["x-request-id", "date"];
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !differs.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .collect();
    headers.sort();
    (answer.status, answer.body.clone(), headers)
}

/// The answer to a sign-up, with the same token in each.
fn without_token(answer: &Answer) -> Answer {
    let token = signup_token(answer);
    Answer { body: answer.body.replace(&token, &"x".repeat(token.len())), ..answer.clone() }
}

#[tokio::test]
async fn known_and_unknown_addresses_get_the_same_answers() {
    let server = SmtpServer::start();
    let open = server.used_by(Signet::builder()).start();
    let client = Client::new(open.base());
    let user = client.new_user().await;
    let disabled = client.new_user().await;
    open.cli_ok(&["users", "disable", &disabled.email], "");
    for email in [&disabled.email, "nobody@example.com", &user.email.to_uppercase()] {
        let (known, unknown) =
            (client.forgot(&user.email).await.expect(202), client.forgot(email).await);
        assert_eq!(seen(&known), seen(&unknown), "{email}");
        let known = client.ask_verification(&user.email).await.expect(202);
        assert_eq!(seen(&known), seen(&client.ask_verification(email).await), "{email}");
    }
    // One of each kind, however often they were asked for.
    server.nth_mail_to(&user.email, 2).await;
    outbox_empties(&open, Duration::from_secs(20)).await;
    assert_eq!(server.mails().len(), 2, "{:?}", server.mails());

    let builder = server.used_by(Signet::builder());
    let closed = builder.set("signup.require_verified_email", "true").start();
    let client = Client::new(closed.base());
    let new = client.try_signup("ann@example.com", PASSWORD).await.expect(202);
    let taken = client.try_signup("ANN@example.com", PASSWORD).await.expect(202);
    assert_eq!(seen(&without_token(&new)), seen(&without_token(&taken)));
    // What is wrong with the fields is told either way.
    for email in ["ann@example.com", "bob@example.com"] {
        let answer = client.try_signup(email, "short").await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["password"]);
    }
    let tokens = client.try_login("ann@example.com", PASSWORD).await;
    assert_eq!(tokens.status, 400);
}

#[tokio::test]
async fn a_mailbox_gets_one_mail_of_a_kind_however_many_ask() {
    let (signet, server) = start(Backend::PostgresSql);
    let mut second = signet.sibling();
    second.restart();
    let clients = [Client::new(signet.base()), Client::new(second.base())];
    let user = clients[0].new_user().await;
    let asks = (0..60).map(|number| clients[number % 2].forgot(&user.email));
    for answer in join_all(asks).await {
        answer.expect(202);
    }
    server.mail_to(&user.email).await;
    outbox_empties(&signet, Duration::from_secs(30)).await;
    assert_eq!(server.mails_to(&user.email).len(), 1);
}

#[tokio::test]
async fn strangers_do_not_fill_the_outbox_for_long_even_without_a_server() {
    let mut server = SmtpServer::start();
    let builder = server.used_by(Signet::builder()).set("mail.outbox_limit", "100");
    let signet = builder.start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    server.stop();
    let emails: Vec<_> = (0..400).map(|number| format!("nobody{number}@example.com")).collect();
    for some in emails.chunks(40) {
        for answer in join_all(some.iter().map(|email| client.forgot(email))).await {
            // Full for a moment at most, and then it says when to come back.
            match answer.status {
                503 => assert!(answer.header("retry-after").is_some(), "{answer:?}"),
                status => assert_eq!(status, 202, "{answer:?}"),
            }
        }
    }
    outbox_empties(&signet, Duration::from_secs(20)).await;
    client.forgot(&user.email).await.expect(202);
    server.restart();
    server.mail_to(&user.email).await;
}

#[tokio::test]
async fn a_full_outbox_answers_503_and_loses_nothing() {
    let mut server = SmtpServer::start();
    let builder = server.used_by(Signet::builder()).set("mail.outbox_limit", "100");
    let signet = builder.set("signup.require_verified_email", "true").start();
    let client = Client::new(signet.base());
    server.stop();
    // As many letters may wait, and as many requests that are not sorted yet.
    let emails: Vec<_> = (0..201).map(|number| format!("user{number}@example.com")).collect();
    let mut taken = Vec::new();
    let refused = loop {
        let email = &emails[taken.len()];
        let answer = client.try_signup(email, PASSWORD).await;
        match answer.status {
            202 => taken.push(email),
            _ => {
                answer.expect_problem(503);
                break email;
            }
        }
    };
    assert!(taken.len() >= 100, "{}", taken.len());
    // What was answered 503 has not happened.
    let answer = client.try_login(refused, PASSWORD).await.expect(400);
    assert_eq!(answer.json()["detail"], "Incorrect email or password");
    server.restart();
    outbox_empties(&signet, Duration::from_secs(60)).await;
    for email in taken {
        assert_eq!(server.mails_to(email).len(), 1, "{email}");
    }
}
