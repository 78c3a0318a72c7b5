//! Sign-ups that wait for the proof of their address: of several for one address the first one that is
//! proven becomes the account, and nobody gets in by somebody else's proof.

use futures_util::future::join_all;
use serde_json::json;

use super::server::SmtpServer;
use super::{MailClient, NEW_PASSWORD, assert_refused, database, signup_token};
use crate::support::client::{Answer, Client, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(
    a_stranger_who_was_faster_never_gets_in,
    the_sixth_takes_the_place_of_the_oldest,
    of_several_proofs_at_once_one_succeeds,
    mail_can_be_asked_for_again,
    sign_ups_and_their_tokens_expire,
    a_taken_address_answers_like_a_new_one,
);

const VICTIM: &str = "victim@example.com";
const OTHER_PASSWORD: &str = "thirteen green barrels";

fn start(backend: Backend) -> (Signet, SmtpServer) {
    let server = SmtpServer::start();
    let builder = server.used_by(Signet::builder().backend(backend));
    let builder = builder.set("login_limits.shortest_delay", "1m");
    (builder.set("signup.require_verified_email", "true").start(), server)
}

/// Signs up with the victim's address; the signup token.
async fn sign_up(client: &Client, password: &str) -> String {
    let body = json!({ "email": VICTIM, "password": password, "name": "A stranger" });
    signup_token(&client.post("/signup").json(&body).answer().await.expect(202))
}

#[track_caller]
fn assert_rejects(answer: Answer, field: &str) {
    assert_eq!(answer.expect_problem(400).problem_fields(), [field]);
}

/// Nobody gets in with `password`, and nobody learns why.
async fn assert_out(client: &Client, password: &str) {
    let answer = client.try_login(VICTIM, password).await;
    answer.expect_oauth_error(400, "invalid_grant");
}

async fn a_stranger_who_was_faster_never_gets_in(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let strangers = sign_up(&client, PASSWORD).await;
    let first = server.mail_to(VICTIM).await.token();
    let victims = sign_up(&client, NEW_PASSWORD).await;
    let second = server.nth_mail_to(VICTIM, 2).await.token();
    // The mail of the stranger's sign-up, opened where the victim has signed up.
    assert_rejects(client.verify(&first).await, "signup_token");
    assert_rejects(client.prove(&first, "signup_token", &victims).await, "signup_token");
    assert_rejects(client.prove(&first, "password", NEW_PASSWORD).await, "password");
    assert_rejects(client.prove(&second, "signup_token", &strangers).await, "signup_token");
    assert_rejects(client.prove(&second, "password", PASSWORD).await, "password");
    assert_out(&client, PASSWORD).await;

    client.prove(&second, "signup_token", &victims).await.expect(204);
    client.login(VICTIM, NEW_PASSWORD).await;
    assert_refused(client.prove(&first, "signup_token", &strangers).await);
    assert_refused(client.prove(&first, "new_password", OTHER_PASSWORD).await);
    assert_refused(client.prove(&second, "signup_token", &victims).await);
    for password in [PASSWORD, OTHER_PASSWORD] {
        assert_out(&client, password).await;
    }
    assert_eq!(signet.cli_json(&["users", "show", VICTIM], "")["email_verified"], true);
}

async fn the_sixth_takes_the_place_of_the_oldest(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let mut signups = Vec::new();
    for number in 1..=6 {
        let signup = sign_up(&client, PASSWORD).await;
        signups.push((signup, server.nth_mail_to(VICTIM, number).await.token()));
    }
    let (signup, mailed) = &signups[0];
    assert_rejects(client.prove(mailed, "signup_token", signup).await, "signup_token");
    assert_rejects(client.prove(mailed, "password", PASSWORD).await, "password");
    // Its mail has shown who reads the address's mail all the same.
    client.prove(mailed, "new_password", NEW_PASSWORD).await.expect(204);
    let tokens = client.login(VICTIM, NEW_PASSWORD).await;
    assert!(client.me(&tokens.access_token).await.expect(200).json()["name"].is_null());
    for (signup, mailed) in &signups {
        assert_refused(client.prove(mailed, "signup_token", signup).await);
    }
    assert_out(&client, PASSWORD).await;
}

async fn of_several_proofs_at_once_one_succeeds(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let mut signups = Vec::new();
    for number in 1..=4 {
        let password = format!("{PASSWORD} {number}");
        let signup = sign_up(&client, &password).await;
        signups.push((signup, server.nth_mail_to(VICTIM, number).await.token(), password));
    }
    let proofs = signups.iter().flat_map(|signup| [signup, signup]);
    let proofs = proofs.map(|(signup, mailed, _)| client.prove(mailed, "signup_token", signup));
    let answers = join_all(proofs).await;
    let good: Vec<_> = (0..answers.len()).filter(|n| answers[*n].status == 204).collect();
    assert_eq!(good.len(), 1, "{answers:?}");
    for (_, answer) in answers.into_iter().enumerate().filter(|(n, _)| *n != good[0]) {
        assert_refused(answer);
    }
    for (number, (_, _, password)) in signups.iter().enumerate() {
        let status = client.try_login(VICTIM, password).await.status;
        assert_eq!(status == 200, number == good[0] / 2, "{number}: {status}");
    }
}

async fn mail_can_be_asked_for_again(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let strangers = sign_up(&client, PASSWORD).await;
    let victims = sign_up(&client, NEW_PASSWORD).await;
    server.nth_mail_to(VICTIM, 2).await;
    client.ask_verification(VICTIM).await.expect(202);
    let again = server.nth_mail_to(VICTIM, 3).await.token();
    assert_rejects(client.verify(&again).await, "signup_token");
    assert_rejects(client.prove(&again, "signup_token", "no such token").await, "signup_token");
    client.forgot(VICTIM).await.expect(202);
    let reset = server.nth_mail_to(VICTIM, 4).await;
    assert!(reset.text.contains(super::server::RESET_PAGE), "{reset:?}");
    assert_refused(client.prove(&reset.token(), "signup_token", &strangers).await);
    // Mailed for neither of the two, it proves the one whose signup token is shown.
    client.prove(&again, "signup_token", &victims).await.expect(204);
    client.login(VICTIM, NEW_PASSWORD).await;
    assert_refused(client.reset(&reset.token(), OTHER_PASSWORD).await);
    assert_out(&client, PASSWORD).await;

    // A reset makes the account as well, with nothing of the sign-up but the address.
    client.try_signup("ann@example.com", PASSWORD).await.expect(202);
    client.forgot("ANN@example.com").await.expect(202);
    let reset = server.nth_mail_to("ann@example.com", 2).await;
    let mailed = [server.mails_to("ann@example.com").remove(0), reset];
    let reset = mailed.iter().find(|mail| mail.text.contains(super::server::RESET_PAGE));
    client.reset(&reset.expect("one of them").token(), NEW_PASSWORD).await.expect(204);
    client.login("ann@example.com", NEW_PASSWORD).await;
    client.try_login("ann@example.com", PASSWORD).await.expect_oauth_error(400, "invalid_grant");
}

async fn sign_ups_and_their_tokens_expire(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let signup = sign_up(&client, PASSWORD).await;
    let mailed = server.mail_to(VICTIM).await.token();
    let db = database(&signet).await;
    for (table, day) in [("pending_signups", 345_601_i64), ("pending_tokens", 86_401)] {
        let text = format!("UPDATE {table} SET expires_at = expires_at - $1");
        let update = sqlx::query(sqlx::AssertSqlSafe(text)).bind(day);
        assert_eq!(db.execute(update).await.expect("it runs"), 1);
    }
    for (member, value) in
        [("signup_token", signup.as_str()), ("password", PASSWORD), ("new_password", NEW_PASSWORD)]
    {
        assert_refused(client.prove(&mailed, member, value).await);
    }
    let answer = client.try_login(VICTIM, PASSWORD).await.expect(400);
    assert_eq!(answer.json()["detail"], "Incorrect email or password");
}

async fn a_taken_address_answers_like_a_new_one(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    signet.cli_ok(&["users", "add", VICTIM, "--password-stdin", "--email-verified"], NEW_PASSWORD);
    let taken = sign_up(&client, PASSWORD).await;
    let told = server.mail_to(VICTIM).await;
    assert!(told.find_token().is_none() && told.subject().contains("already"), "{told:?}");
    let new = client.try_signup("new@example.com", PASSWORD).await.expect(202);
    server.mail_to("new@example.com").await;
    assert_ne!(taken, signup_token(&new));
    // Nor does a login with the password of the sign-up tell the two apart.
    for email in [VICTIM, "new@example.com"] {
        let answer = client.try_login(email, PASSWORD).await;
        let answer = answer.expect_oauth_error(400, "invalid_grant");
        assert_eq!(answer.json()["detail"], "E-mail address not verified", "{email}");
        let answer = client.try_login(email, OTHER_PASSWORD).await.expect(400);
        assert_eq!(answer.json()["detail"], "Incorrect email or password", "{email}");
    }
    // And it makes up for no wrong guess at the password of the account.
    let mut limited = false;
    for number in 0..12 {
        client.try_login(VICTIM, PASSWORD).await;
        let guess = format!("{OTHER_PASSWORD} {number}");
        limited |= client.try_login(VICTIM, &guess).await.status == 429;
    }
    assert!(limited);
}
