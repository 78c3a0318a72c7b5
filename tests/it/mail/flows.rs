//! What users go through: proving an address, a forgotten password, another address, and sign-up
//! where addresses have to be proven.

use serde_json::json;

use super::server::{Mail, RESET_PAGE, SmtpServer, VERIFY_PAGE};
use super::{MailClient, NEW_PASSWORD, assert_refused, signup_token, start};
use crate::support::client::{Client, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(
    an_address_is_proven,
    a_forgotten_password_is_reset,
    an_address_is_changed,
    a_mistyped_address_is_corrected_at_once,
    sign_up_waits_for_the_proof,
);

async fn an_address_is_proven(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let user = client.new_user_with_scope("openid email").await;
    assert!(!client.is_verified(&user.tokens).await);

    // However it is written, it goes to the address as the account has it.
    client.ask_verification(&user.email.to_uppercase()).await.expect(202);
    let mail = server.mail_to(&user.email).await;
    assert!(mail.encrypted && mail.authenticated, "{mail:?}");
    assert_eq!(mail.from, "no-reply@example.com");
    assert_eq!(mail.header("From"), "Example <no-reply@example.com>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with("@example.com>"), "{mail:?}");
    let link = format!("{VERIFY_PAGE}#token={}", mail.token());
    assert!(mail.text.contains(&link), "{mail:?}");
    assert!(mail.html.as_ref().is_some_and(|html| html.contains(&link)), "{mail:?}");

    client.prove(&mail.token(), "password", PASSWORD).await.expect(204);
    assert!(client.is_verified(&user.tokens).await);
    let request = client.get("/oauth2/userinfo").bearer_auth(&user.tokens.access_token);
    assert_eq!(request.answer().await.expect(200).json()["email_verified"], true);
    assert_refused(client.verify(&mail.token()).await);
    // There is nothing more to prove; what comes next is another mail.
    client.ask_verification(&user.email).await.expect(202);
    client.forgot(&user.email).await.expect(202);
    server.nth_mail_to(&user.email, 2).await;
}

async fn a_forgotten_password_is_reset(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.forgot(&user.email).await.expect(202);
    let mail = server.mail_to(&user.email).await;
    let token = mail.token();
    assert!(mail.text.contains(&format!("{RESET_PAGE}#token={token}")), "{mail:?}");

    // What is wrong with the password uses nothing up.
    for bad in ["short", "password1", user.email.as_str()] {
        let answer = client.reset(&token, bad).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["password"], "{bad}");
    }
    client.me(&user.tokens.access_token).await.expect(200);
    // Whoever forgot it has guessed before, and need not wait with the new one.
    for _ in 0..11 {
        client.try_login(&user.email, "thirteen yellow wagons").await;
    }
    client.try_login(&user.email, PASSWORD).await.expect(429);
    client.reset(&token, NEW_PASSWORD).await.expect(204);

    client.me(&user.tokens.access_token).await.expect(401);
    client.refresh(&user.tokens.refresh_token).await.expect_oauth_error(400, "invalid_grant");
    let tokens = client.login(&user.email, NEW_PASSWORD).await;
    client.try_login(&user.email, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    // Who read the mail owns the address.
    assert!(client.is_verified(&tokens).await);
    assert_refused(client.reset(&token, "thirteen green barrels").await);
    let told = server.nth_mail_to(&user.email, 2).await;
    assert!(told.subject().contains("password") && told.find_token().is_none(), "{told:?}");
}

async fn an_address_is_changed(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let new = format!("new.{}", user.email);
    client.forgot(&user.email).await.expect(202);
    let reset = server.mail_to(&user.email).await.token();

    client.change_email(&user.tokens.access_token, &new).await.expect(202);
    let asked = server.nth_mail_to(&user.email, 2).await;
    assert!(asked.find_token().is_none() && !asked.text.contains(&new), "{asked:?}");
    let confirm = server.mail_to(&new).await;
    let me = client.me(&user.tokens.access_token).await.expect(200).json();
    assert_eq!(me["email"], user.email.as_str(), "it waits for the proof");

    client.prove_as(&confirm.token(), &user.tokens.access_token).await.expect(204);
    let told = server.nth_mail_to(&user.email, 3).await;
    assert!(told.subject().contains("was changed"), "{told:?}");
    // Sessions go on.
    let me = client.me(&user.tokens.access_token).await.expect(200).json();
    assert_eq!((&me["email"], &me["email_verified"]), (&json!(new), &json!(true)));
    client.login(&new, PASSWORD).await;
    client.try_login(&user.email, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    // What went to the old address is over.
    assert_refused(client.reset(&reset, NEW_PASSWORD).await);
    assert_refused(client.verify(&confirm.token()).await);
    // And the old one is free.
    client.try_signup(&user.email, PASSWORD).await.expect(201);
}

async fn a_mistyped_address_is_corrected_at_once(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let token = &user.tokens.access_token;
    client.change_email(token, "adda@example.com").await.expect(202);
    let mistyped = server.mail_to("adda@example.com").await.token();
    client.change_email(token, "ada@example.com").await.expect(202);
    let right = server.mail_to("ada@example.com").await.token();
    // Whoever reads what went to the wrong one has nothing of it.
    assert_refused(client.verify(&mistyped).await);
    // Back to the first one, which is sent anew.
    client.change_email(token, "adda@example.com").await.expect(202);
    let again = server.nth_mail_to("adda@example.com", 2).await.token();
    assert_refused(client.verify(&right).await);
    client.change_email(token, "ada@example.com").await.expect(202);
    let right = server.nth_mail_to("ada@example.com", 2).await.token();
    assert_refused(client.verify(&again).await);
    // The present address hears of each.
    server.nth_mail_to(&user.email, 4).await;
    client.prove_as(&right, token).await.expect(204);
    assert_eq!(client.me(token).await.expect(200).json()["email"], "ada@example.com");

    // Not without end: the addresses are perhaps of others.
    client.change_email(token, "other@example.com").await.expect(202);
    let limited = client.change_email(token, "another@example.com").await.expect_problem(429);
    assert_eq!(limited.header("retry-after"), Some("3600"));
}

async fn sign_up_waits_for_the_proof(backend: Backend) {
    let server = SmtpServer::start();
    let builder = server.used_by(Signet::builder().backend(backend));
    let signet = builder.set("signup.require_verified_email", "true").start();
    let client = Client::new(signet.base());
    let email = "ada@example.com";
    let signed_up = client.try_signup(email, PASSWORD).await.expect(202);
    let mail = server.mail_to(email).await;
    let answer = client.try_login(email, PASSWORD).await;
    let answer = answer.expect_oauth_error(400, "invalid_grant");
    assert_eq!(answer.json()["detail"], "E-mail address not verified");
    // Nobody else learns that there is such an account.
    let answer = client.try_login(email, NEW_PASSWORD).await;
    let answer = answer.expect_oauth_error(400, "invalid_grant");
    assert_eq!(answer.json()["detail"], "Incorrect email or password");

    client.prove(&mail.token(), "signup_token", &signup_token(&signed_up)).await.expect(204);
    client.login(email, PASSWORD).await;
    // Somebody signs up with it once more.
    client.try_signup(email, NEW_PASSWORD).await.expect(202);
    let exists = server.nth_mail_to(email, 2).await;
    assert!(exists.subject().contains("already") && exists.find_token().is_none(), "{exists:?}");
    client.login(email, PASSWORD).await;
    client.try_login(email, NEW_PASSWORD).await.expect(400);
}

#[tokio::test]
async fn a_reset_proves_the_address_for_login() {
    let server = SmtpServer::start();
    let builder = server.used_by(Signet::builder());
    let signet = builder.set("signup.require_verified_email", "true").start();
    let client = Client::new(signet.base());
    client.try_signup("eve@example.com", PASSWORD).await.expect(202);
    server.mail_to("eve@example.com").await;
    client.forgot("eve@example.com").await.expect(202);
    let mail = server.nth_mail_to("eve@example.com", 2).await;
    client.reset(&mail.token(), NEW_PASSWORD).await.expect(204);
    client.login("eve@example.com", NEW_PASSWORD).await;
    // An operator can vouch for an address, and the first administrator needs no mail.
    let add = ["users", "add", "ops@example.com", "--password-stdin", "--email-verified"];
    let added = signet.cli_json(&add, PASSWORD);
    assert_eq!(added["email_verified"], true);
    client.login("ops@example.com", PASSWORD).await;
    let list = signet.cli_json(&["users", "list"], "");
    let admin = list.as_array().expect("a list").iter().find(|u| u["email"] == "admin@example.com");
    assert_eq!(admin.expect("the administrator")["email_verified"], true);
}

#[tokio::test]
async fn an_address_that_is_taken_meanwhile_stays_with_its_holder() {
    let (signet, server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    let [ann, bob] = [client.new_user().await, client.new_user().await];
    // Taken already: its holder is told, and nobody else.
    client.change_email(&ann.tokens.access_token, &bob.email).await.expect(202);
    let told: Mail = server.mail_to(&bob.email).await;
    assert!(told.find_token().is_none() && told.subject().contains("already"), "{told:?}");
    // Taken between the mail and the answer to it.
    client.change_email(&ann.tokens.access_token, "wanted@example.com").await.expect(202);
    let token = server.mail_to("wanted@example.com").await.token();
    client.try_signup("wanted@example.com", PASSWORD).await.expect(201);
    assert_refused(client.prove_as(&token, &ann.tokens.access_token).await);
    let me = client.me(&ann.tokens.access_token).await.expect(200).json();
    assert_eq!(me["email"], ann.email.as_str());
}

#[tokio::test]
async fn a_change_of_address_needs_the_password_and_an_address() {
    let (signet, _server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let token = user.tokens.access_token.as_str();
    let wrong = json!({ "email": "other@example.com", "current_password": NEW_PASSWORD });
    let answer = client.post("/users/me/email").bearer_auth(token).json(&wrong).answer().await;
    assert_eq!(answer.expect_problem(400).problem_fields(), ["current_password"]);
    for bad in ["", "other", user.email.as_str()] {
        let answer = client.change_email(token, bad).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["email"], "{bad}");
    }
    client.change_email("nonsense", "other@example.com").await.expect_problem(401);
    for path in ["/password/forgot", "/email/verification"] {
        for bad in [json!({}), json!({ "email": "a\r\nBcc: b@example.com" }), json!({ "email": 1 })]
        {
            let answer = client.post(path).json(&bad).answer().await.expect_problem(400);
            assert_eq!(answer.problem_fields(), ["email"], "{bad}");
        }
    }
}
