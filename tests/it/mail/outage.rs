//! A server that is away, slow, or says no; crashes in between; two instances: every mail arrives,
//! and none twice unless the answer to it was lost, which its `Message-ID` then shows.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;

use super::server::{Mail, SmtpServer};
use super::{MailClient, outbox, outbox_empties, start};
use crate::support::client::{Client, PASSWORD};
use crate::support::on_every_backend;
use crate::support::process::poll;
use crate::support::signet::{Backend, Signet};

const USERS: usize = 40;

on_every_backend!(an_outage_and_a_crash_lose_nothing_and_repeat_nothing);

async fn users(client: &Client, count: usize) -> Vec<String> {
    join_all((0..count).map(|_| client.new_user())).await.into_iter().map(|u| u.email).collect()
}

fn assert_each_got_one(server: &SmtpServer, emails: &[String]) {
    let mails = server.mails();
    for email in emails {
        assert_eq!(mails.iter().filter(|mail| mail.is_to(email)).count(), 1, "{email}");
    }
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!((mails.len(), ids.len()), (emails.len(), emails.len()));
}

async fn an_outage_and_a_crash_lose_nothing_and_repeat_nothing(backend: Backend) {
    let (mut signet, mut server) = start(backend);
    let client = Client::new(signet.base());
    let emails = users(&client, USERS).await;
    let (before, during) = emails.split_at(USERS / 4);
    for answer in join_all(before.iter().map(|email| client.forgot(email))).await {
        answer.expect(202);
    }
    outbox_empties(&signet, Duration::from_secs(30)).await;
    server.stop();
    for answer in join_all(during.iter().map(|email| client.forgot(email))).await {
        answer.expect(202);
    }
    // Killed while all of it waits, and once more when it has begun to try again.
    signet.kill9();
    signet.restart();
    let tried = || outbox(&signet).iter().any(|mail| !mail["last_error"].is_null()).then_some(());
    assert!(poll(Duration::from_secs(30), tried).is_some(), "{:?}", outbox(&signet));
    let waiting = outbox(&signet);
    assert_eq!(waiting.len(), during.len(), "{waiting:?}");
    // It is ready all the same.
    assert_eq!(crate::support::signet::status_of(signet.address(), "/health/ready"), Some(200));
    signet.kill9();
    server.restart();
    signet.restart();
    outbox_empties(&signet, Duration::from_secs(90)).await;
    assert_each_got_one(&server, &emails);
    // And they work.
    let client = Client::new(signet.base());
    let token = server.mail_to(during.last().expect("one")).await.token();
    client.reset(&token, super::NEW_PASSWORD).await.expect(204);
}

#[tokio::test]
async fn two_instances_send_each_mail_once() {
    let (signet, server) = start(Backend::PostgresSql);
    let mut second = signet.sibling();
    second.restart();
    let clients = [Client::new(signet.base()), Client::new(second.base())];
    let emails = users(&clients[0], USERS).await;
    let asks = emails.iter().enumerate().map(|(number, email)| clients[number % 2].forgot(email));
    for answer in join_all(asks).await {
        answer.expect(202);
    }
    outbox_empties(&signet, Duration::from_secs(60)).await;
    assert_each_got_one(&server, &emails);
    for instance in [&signet, &second] {
        assert!(instance.output().contains("mail sent"), "one of them sent nothing");
    }
}

/// A killed instance's mail is taken over by another, and goes out once.
#[tokio::test]
async fn another_instance_takes_over() {
    let (mut signet, mut server) = start(Backend::PostgresSql);
    let client = Client::new(signet.base());
    let emails = users(&client, 5).await;
    server.stop();
    for email in &emails {
        client.forgot(email).await.expect(202);
    }
    let mut second = signet.sibling();
    signet.kill9();
    server.restart();
    second.restart();
    outbox_empties(&second, Duration::from_secs(60)).await;
    assert_each_got_one(&server, &emails);
}

fn message_ids(mails: &[Mail]) -> BTreeSet<&str> {
    mails.iter().map(|mail| mail.header("Message-ID")).collect()
}

/// The one case in which a mail comes twice: the server has it, and nobody knows.
#[tokio::test]
async fn a_mail_whose_answer_was_lost_comes_again_with_the_same_id_and_token() {
    let (signet, server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    let email = "lost@example.com";
    client.try_signup(email, PASSWORD).await.expect(201);
    client.forgot(email).await.expect(202);
    outbox_empties(&signet, Duration::from_secs(30)).await;
    let mails = server.mails_to(email);
    assert_eq!((mails.len(), message_ids(&mails).len()), (2, 1), "{mails:?}");
    assert_eq!(mails[0].token(), mails[1].token());
    client.reset(&mails[0].token(), super::NEW_PASSWORD).await.expect(204);
    super::assert_refused(client.reset(&mails[1].token(), PASSWORD).await);
}

/// The same where Signet dies before it has noted the answer. A token that was used meanwhile does
/// not come to life again.
#[tokio::test]
async fn a_crash_between_the_answer_and_its_note_sends_again_unless_the_token_was_used() {
    let server = SmtpServer::start();
    let builder = server.used_by(Signet::builder()).set("mail.smtp.timeout", "2s");
    let signet = builder.start();
    let client = Client::new(signet.base());
    let [ann, bob] = [client.new_user().await.email, client.new_user().await.email];
    let mut signet = signet;
    signet.term();
    for email in [&ann, &bob] {
        let mut dying = signet.sibling_with(|builder| builder.die_at("mail.taken"));
        dying.restart();
        Client::new(dying.base()).forgot(email).await.expect(202);
        assert!(dying.process().wait(Duration::from_secs(20)).is_some(), "it does not die");
        server.mail_to(email).await;
        if email == &ann {
            // Long before the claim of the dead one ends.
            let mut next = signet.sibling();
            next.restart();
            let token = server.mail_to(email).await.token();
            Client::new(next.base()).reset(&token, super::NEW_PASSWORD).await.expect(204);
            outbox_empties(&next, Duration::from_secs(60)).await;
            next.term();
            // The reset was told of; the mail that had been used was not sent again.
            let mails = server.mails_to(email);
            assert_eq!((mails.len(), message_ids(&mails).len()), (2, 2), "{mails:?}");
        }
    }
    signet.restart();
    outbox_empties(&signet, Duration::from_secs(60)).await;
    let mails = server.mails_to(&bob);
    assert_eq!((mails.len(), message_ids(&mails).len()), (2, 1), "{mails:?}");
    Client::new(signet.base()).reset(&mails[0].token(), super::NEW_PASSWORD).await.expect(204);
}

#[tokio::test]
async fn no_is_told_from_not_now_and_holds_up_no_other() {
    let (signet, server) = start(Backend::PostgresSql);
    let client = Client::new(signet.base());
    let emails = ["refused@example.com", "later@example.com", "ann@example.com"];
    for email in emails {
        client.try_signup(email, PASSWORD).await.expect(201);
        client.forgot(email).await.expect(202);
    }
    server.mail_to("ann@example.com").await;
    outbox_empties(&signet, Duration::from_secs(30)).await;
    server.mail_to("later@example.com").await;
    assert!(server.mails_to("refused@example.com").is_empty());
    let output = signet.output();
    assert!(output.contains("mail.given_up") && output.contains("nobody of this name"), "{output}");
    let count = "SELECT id FROM audit_events WHERE event = 'mail.given_up' LIMIT 10";
    let events = super::database(&signet).await.fetch_all(sqlx::query(count)).await;
    assert_eq!(events.expect("the trail").len(), 1);
    let metrics = client.get("/metrics");
    let metrics = crate::support::client::Send::answer(metrics).await.expect(200).body;
    for line in [
        "signet_mails_total{result=\"sent\"} 2",
        "signet_mails_total{result=\"put_off\"} 1",
        "signet_mails_total{result=\"given_up\"} 1",
        "signet_mails_waiting ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

/// Servers say at RCPT, too, what is the fault of the sender, of this host or of their settings.
#[tokio::test]
async fn only_refusals_of_the_recipient_are_final() {
    let (signet, server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    let tried_again = [
        "rcpt-504-5.5.2",
        "rcpt-553-5.7.1",
        "rcpt-554-5.7.1",
        "rcpt-550-5.7.1",
        "rcpt-530",
        "rcpt-550-5.1.7",
        "rcpt-550-5.1.8",
        "rcpt-551",
        "data-554-5.6.0",
        "data-550",
    ];
    let last = ["rcpt-550-5.1.1", "rcpt-552-5.2.2", "rcpt-550", "data-550-5.1.1"];
    let emails = tried_again.iter().chain(&last).map(|name| format!("{name}@example.com"));
    for email in emails.clone() {
        client.try_signup(&email, PASSWORD).await.expect(201);
        client.forgot(&email).await.expect(202);
    }
    outbox_empties(&signet, Duration::from_secs(60)).await;
    for (number, email) in emails.enumerate() {
        let arrived = server.mails_to(&email).len();
        assert_eq!(arrived, usize::from(number < tried_again.len()), "{email}");
    }
    let metrics = crate::support::client::Send::answer(client.get("/metrics")).await.expect(200);
    assert!(metrics.body.contains("signet_mails_total{result=\"given_up\"} 4"), "{metrics:?}");
}

#[tokio::test]
async fn a_mail_is_given_up_in_the_end() {
    let mut server = SmtpServer::start();
    let signet = server.used_by(Signet::builder()).set("mail.give_up_after", "1m").start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    server.stop();
    client.forgot(&user.email).await.expect(202);
    let db = super::database(&signet).await;
    // As if it had waited already.
    let aged = sqlx::query("UPDATE mail_outbox SET created_at = created_at - $1").bind(60_i64);
    assert_eq!(db.execute(aged).await.expect("it runs"), 1);
    outbox_empties(&signet, Duration::from_secs(30)).await;
    assert!(signet.output().contains("mail.given_up"), "{}", signet.output());
}

#[tokio::test]
async fn the_mail_in_flight_is_finished_at_the_end() {
    let (mut signet, server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    client.try_signup("slow@example.com", PASSWORD).await.expect(201);
    client.forgot("slow@example.com").await.expect(202);
    let begun = || outbox(&signet).iter().any(|mail| mail["attempts"] == 1).then_some(());
    assert!(poll(Duration::from_secs(20), begun).is_some(), "it is not begun");
    signet.process().signal(Signal::TERM);
    let status = signet.process().wait(Duration::from_secs(20)).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", signet.output());
    assert!(signet.output().contains("mail sent"), "{}", signet.output());
    assert!(outbox(&signet).is_empty());
    server.mail_to("slow@example.com").await;
}
