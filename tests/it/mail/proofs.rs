//! What a mailed token proves, and beside what: whoever signs up with somebody else's address, or
//! moves to it, gains nothing when its owner opens the mail.

use serde_json::json;

use super::{MailClient, NEW_PASSWORD, assert_refused, signup_token, start};
use crate::support::client::{Answer, Client, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::Backend;

on_every_backend!(
    a_mailed_token_alone_proves_nothing,
    a_new_password_leaves_nothing_of_a_stranger,
    each_voucher_of_the_owner_proves_an_address,
    a_change_of_address_needs_the_owner,
    a_signup_token_ends_with_the_sessions,
);

const VICTIM: &str = "victim@example.com";

#[track_caller]
fn assert_rejects(answer: Answer, field: &str) {
    assert_eq!(answer.expect_problem(400).problem_fields(), [field]);
}

/// A stranger who has signed up with the victim's address: the signup token, and the mailed token
/// that went to the victim.
async fn stranger(client: &Client, server: &super::SmtpServer) -> (String, String) {
    let body = json!({ "email": VICTIM, "password": PASSWORD, "name": "Visit evil.example" });
    let signed_up = client.post("/signup").json(&body).answer().await.expect(201);
    client.ask_verification(VICTIM).await.expect(202);
    (signup_token(&signed_up), server.mail_to(VICTIM).await.token())
}

async fn a_mailed_token_alone_proves_nothing(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let (own, mailed) = stranger(&client, &server).await;
    let tokens = client.login(VICTIM, PASSWORD).await;
    let other = client.new_user().await;
    let others = client.try_signup("other@example.com", PASSWORD).await.expect(201);

    for _ in 0..2 {
        assert_rejects(client.verify(&mailed).await, "signup_token");
    }
    assert_rejects(
        client.prove(&mailed, "signup_token", &signup_token(&others)).await,
        "signup_token",
    );
    assert_rejects(client.prove(&mailed, "signup_token", "").await, "signup_token");
    assert_rejects(client.prove(&mailed, "password", NEW_PASSWORD).await, "password");
    assert_rejects(client.prove(&mailed, "new_password", "short").await, "new_password");
    assert_rejects(client.prove(&mailed, "new_password", VICTIM).await, "new_password");
    assert_rejects(client.prove_as(&mailed, &other.tokens.access_token).await, "token");
    client.prove_as(&mailed, "nonsense").await.expect_problem(401);
    for absent in ["signup_token", "password", "new_password"] {
        let body = json!({ "token": mailed, absent: null });
        assert_rejects(client.post("/email/verify").json(&body).answer().await, "signup_token");
    }
    // One of them, so that nobody wonders which counted.
    let body = json!({ "token": mailed, "signup_token": own, "new_password": NEW_PASSWORD });
    assert_rejects(client.post("/email/verify").json(&body).answer().await, "new_password");
    assert!(!client.is_verified(&tokens).await);
    // None of it has used the token up.
    client.prove(&mailed, "signup_token", &own).await.expect(204);
    assert!(client.is_verified(&tokens).await);
    assert_refused(client.prove(&mailed, "signup_token", &own).await);
}

async fn a_new_password_leaves_nothing_of_a_stranger(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let (own, mailed) = stranger(&client, &server).await;
    let tokens = client.login(VICTIM, PASSWORD).await;
    // The stranger has also asked to move on, and for more mail.
    client.change_email(&tokens.access_token, "stranger@example.com").await.expect(202);
    let change = server.mail_to("stranger@example.com").await.token();
    client.forgot(VICTIM).await.expect(202);
    let resets = async || {
        let mails = server.mails_to(VICTIM);
        mails.iter().find(|mail| mail.text.contains(super::server::RESET_PAGE)).map(|m| m.token())
    };
    let reset = loop {
        match resets().await {
            Some(reset) => break reset,
            None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    };
    let patch = json!({ "team": "blue" }).to_string();
    signet.cli_ok(&["users", "set-metadata", VICTIM], &patch);

    client.prove(&mailed, "new_password", NEW_PASSWORD).await.expect(204);
    client.me(&tokens.access_token).await.expect(401);
    client.refresh(&tokens.refresh_token).await.expect_oauth_error(400, "invalid_grant");
    client.try_login(VICTIM, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    assert_refused(client.prove(&change, "password", NEW_PASSWORD).await);
    assert_refused(client.reset(&reset, PASSWORD).await);
    assert_refused(client.prove(&mailed, "signup_token", &own).await);
    let victims = client.login(VICTIM, NEW_PASSWORD).await;
    let me = client.me(&victims.access_token).await.expect(200).json();
    assert_eq!((&me["name"], &me["email_verified"]), (&json!(null), &json!(true)));
    let shown = signet.cli_json(&["users", "show", VICTIM], "");
    assert_eq!(shown["metadata"], json!({ "team": "blue" }));
}

async fn each_voucher_of_the_owner_proves_an_address(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    for voucher in ["signup_token", "password", "bearer"] {
        let email = format!("{voucher}@example.com").replace('_', "-");
        let signed_up = client.try_signup(&email, PASSWORD).await.expect(201);
        let tokens = client.login(&email, PASSWORD).await;
        client.ask_verification(&email).await.expect(202);
        let mailed = server.mail_to(&email).await.token();
        let answer = match voucher {
            "bearer" => client.prove_as(&mailed, &tokens.access_token).await,
            "password" => client.prove(&mailed, "password", PASSWORD).await,
            _ => client.prove(&mailed, "signup_token", &signup_token(&signed_up)).await,
        };
        answer.expect(204);
        // Sessions and password stay.
        assert!(client.is_verified(&tokens).await, "{voucher}");
        client.login(&email, PASSWORD).await;
    }
}

async fn a_change_of_address_needs_the_owner(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let signed_up = client.try_signup("stranger@example.com", PASSWORD).await.expect(201);
    let stranger = client.login("stranger@example.com", PASSWORD).await;
    let victim = client.new_user().await;
    client.change_email(&stranger.access_token, VICTIM).await.expect(202);
    let mailed = server.mail_to(VICTIM).await.token();
    // Whatever the victim's browser has.
    assert_rejects(client.verify(&mailed).await, "signup_token");
    assert_rejects(client.prove_as(&mailed, &victim.tokens.access_token).await, "token");
    assert_rejects(client.prove(&mailed, "new_password", NEW_PASSWORD).await, "new_password");
    assert_rejects(client.prove(&mailed, "password", NEW_PASSWORD).await, "password");
    let own = signup_token(&signed_up);
    assert_rejects(client.prove(&mailed, "signup_token", &own).await, "signup_token");
    client.try_login(VICTIM, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    // The owner of the account has its password.
    client.prove(&mailed, "password", PASSWORD).await.expect(204);
    assert_eq!(client.me(&stranger.access_token).await.expect(200).json()["email"], VICTIM);
}

async fn a_signup_token_ends_with_the_sessions(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let (own, mailed) = stranger(&client, &server).await;
    signet.cli_ok(&["users", "set-password", VICTIM, "--password-stdin"], NEW_PASSWORD);
    assert_rejects(client.prove(&mailed, "signup_token", &own).await, "signup_token");
    client.prove(&mailed, "password", NEW_PASSWORD).await.expect(204);
}

#[tokio::test]
async fn guesses_beside_a_mailed_token_count_as_at_the_login() {
    let (signet, server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    let (own, mailed) = stranger(&client, &server).await;
    let mut statuses = Vec::new();
    for number in 0..15 {
        let wrong = format!("{NEW_PASSWORD} {number}");
        statuses.push(client.prove(&mailed, "password", &wrong).await.status);
    }
    assert!(statuses.starts_with(&[400; 5]) && statuses.ends_with(&[429]), "{statuses:?}");
    let limited = client.prove(&mailed, "password", PASSWORD).await.expect_problem(429);
    assert!(limited.header("retry-after").is_some());
    client.try_login(VICTIM, PASSWORD).await.expect(429);
    client.prove(&mailed, "signup_token", &own).await.expect(204);
}

#[tokio::test]
async fn accounts_from_before_are_proven_by_their_password_or_a_new_one() {
    let (signet, server) = start(Backend::Sqlite);
    let closed = signet.sibling_with(|b| b.set("signup.require_verified_email", "true"));
    let mut closed = closed;
    closed.restart();
    let client = Client::new(closed.base());
    for email in ["ann@example.com", "bob@example.com"] {
        // As sign-ups of an earlier version are: accounts whose address is not proven.
        signet.cli_ok(&["users", "add", email, "--password-stdin"], PASSWORD);
        let answer = client.try_login(email, PASSWORD).await.expect(400);
        assert_eq!(answer.json()["detail"], "E-mail address not verified");
        client.ask_verification(email).await.expect(202);
        let mailed = server.mail_to(email).await.token();
        assert_rejects(client.verify(&mailed).await, "signup_token");
        let (member, password) = match email {
            "ann@example.com" => ("password", PASSWORD),
            _ => ("new_password", NEW_PASSWORD),
        };
        client.prove(&mailed, member, password).await.expect(204);
        client.login(email, password).await;
    }
}
