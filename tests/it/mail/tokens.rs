//! Mailed tokens: each is good once, for one thing, for one user, for a while; and no copy of the
//! database holds one.

use futures_util::future::join_all;
use serde_json::json;

use super::{MailClient, NEW_PASSWORD, assert_refused, database, start};
use crate::support::client::{Client, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::Backend;

on_every_backend!(
    of_twenty_uses_at_once_one_succeeds,
    a_token_is_good_for_its_purpose_alone,
    an_expired_token_is_refused,
    a_change_of_password_ends_tokens,
);

async fn of_twenty_uses_at_once_one_succeeds(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.forgot(&user.email).await.expect(202);
    let token = server.mail_to(&user.email).await.token();
    let passwords: Vec<_> = (0..20).map(|number| format!("{NEW_PASSWORD} {number}")).collect();
    let answers = join_all(passwords.iter().map(|password| client.reset(&token, password))).await;
    let good = answers.iter().position(|answer| answer.status == 204).expect("one succeeds");
    for (number, answer) in answers.into_iter().enumerate() {
        if number != good {
            assert_refused(answer);
        }
    }
    // No more of them than may be guessed.
    let near = |(number, _): &(usize, &String)| number.abs_diff(good) < 5;
    for (number, password) in passwords.iter().enumerate().filter(near) {
        let answer = client.try_login(&user.email, password).await;
        assert_eq!(answer.status == 200, number == good, "{answer:?}");
    }

    let tokens = client.login(&user.email, &passwords[good]).await;
    let body = json!({ "email": "new@example.com", "current_password": passwords[good] });
    let ask = client.post("/users/me/email").bearer_auth(&tokens.access_token).json(&body);
    ask.answer().await.expect(202);
    let token = server.mail_to("new@example.com").await.token();
    let prove = |_| client.prove_as(&token, &tokens.access_token);
    let answers = join_all((0..20).map(prove)).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 204);
    assert_eq!(good.len(), 1, "{bad:?}");
    bad.into_iter().for_each(assert_refused);
}

async fn a_token_is_good_for_its_purpose_alone(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let [ann, bob] = [client.new_user().await, client.new_user().await];
    client.forgot(&ann.email).await.expect(202);
    let reset = server.mail_to(&ann.email).await.token();
    client.ask_verification(&bob.email).await.expect(202);
    let verification = server.mail_to(&bob.email).await.token();
    assert_refused(client.verify(&reset).await);
    assert_refused(client.reset(&verification, NEW_PASSWORD).await);
    let altered = if reset.ends_with('A') { "B" } else { "A" };
    for wrong in ["", "x", "\0", &format!("{}{altered}", &reset[..42]), &"x".repeat(5000)] {
        assert_refused(client.verify(wrong).await);
        assert_refused(client.reset(wrong, NEW_PASSWORD).await);
    }
    // What was refused used nothing up, and each is its own user's.
    client.prove(&verification, "password", PASSWORD).await.expect(204);
    assert!(client.is_verified(&bob.tokens).await && !client.is_verified(&ann.tokens).await);
    client.reset(&reset, NEW_PASSWORD).await.expect(204);
    client.login(&bob.email, PASSWORD).await;
    client.login(&ann.email, NEW_PASSWORD).await;
}

async fn an_expired_token_is_refused(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.forgot(&user.email).await.expect(202);
    client.ask_verification(&user.email).await.expect(202);
    server.nth_mail_to(&user.email, 2).await;
    let db = database(&signet).await;
    let update = sqlx::query("UPDATE mailed_tokens SET expires_at = expires_at - $1");
    assert_eq!(db.execute(update.bind(86_401_i64)).await.expect("it runs"), 2);
    for mail in server.mails_to(&user.email) {
        assert_refused(client.verify(&mail.token()).await);
        assert_refused(client.reset(&mail.token(), NEW_PASSWORD).await);
    }
    client.login(&user.email, PASSWORD).await;
}

async fn a_change_of_password_ends_tokens(backend: Backend) {
    let (signet, server) = start(backend);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.forgot(&user.email).await.expect(202);
    let reset = server.mail_to(&user.email).await.token();
    client.change_email(&user.tokens.access_token, "new@example.com").await.expect(202);
    let change = server.mail_to("new@example.com").await.token();
    let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let request = client.post("/users/me/password").bearer_auth(&user.tokens.access_token);
    request.json(&body).answer().await.expect(204);
    assert_refused(client.reset(&reset, "thirteen green barrels").await);
    assert_refused(client.verify(&change).await);
    client.login(&user.email, NEW_PASSWORD).await;
}

#[tokio::test]
async fn a_disabled_user_gets_no_mail_and_no_token_helps() {
    let (signet, server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.forgot(&user.email).await.expect(202);
    let token = server.mail_to(&user.email).await.token();
    client.ask_verification(&user.email).await.expect(202);
    let verification = server.nth_mail_to(&user.email, 2).await.token();
    signet.cli_ok(&["users", "disable", &user.email], "");
    assert_refused(client.reset(&token, NEW_PASSWORD).await);
    assert_refused(client.verify(&verification).await);
    let before = server.mails().len();
    client.forgot(&user.email).await.expect(202);
    super::outbox_empties(&signet, std::time::Duration::from_secs(20)).await;
    assert_eq!(server.mails().len(), before);
}

#[tokio::test]
async fn the_database_holds_no_token() {
    let (mut signet, mut server) = start(Backend::Sqlite);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.forgot(&user.email).await.expect(202);
    let sent = server.mail_to(&user.email).await.token();
    // One more that was made, and waits.
    server.stop();
    client.ask_verification(&user.email).await.expect(202);
    let tried = async || {
        while super::outbox(&signet).iter().all(|mail| mail["last_error"].is_null()) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, tried()).await.expect("it is tried");
    signet.term();
    let stored: Vec<u8> = ["signet.db", "signet.db-wal"]
        .iter()
        .filter_map(|name| std::fs::read(signet.folder().join("data").join(name)).ok())
        .flatten()
        .collect();
    let stored = String::from_utf8_lossy(&stored).into_owned();
    assert!(stored.contains("verification") && !stored.contains(&sent));
    signet.restart();
    server.restart();
    let waited = server.nth_mail_to(&user.email, 2).await.token();
    assert!(!stored.contains(&waited));
    // Nor does the log.
    let client = Client::new(signet.base());
    client.prove(&waited, "password", PASSWORD).await.expect(204);
    assert!(!signet.output().contains(&sent) && !signet.output().contains(&waited));
}
