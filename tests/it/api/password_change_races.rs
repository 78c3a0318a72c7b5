//! POST /users/me/password while something else happens to the same account: what was decided on
//! an older state of it must not overwrite a newer one.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Client, PASSWORD, Send, User};
use crate::support::on_every_backend;
use crate::support::raw::{Connection, RawAnswer};
use crate::support::signet::{Backend, Signet};

const WANTED: &str = "twelve orange bicycles";
const OPERATORS: &str = "thirteen yellow kettles";

on_every_backend!(
    an_operators_password_stands,
    a_disabled_user_changes_nothing,
    of_eight_changes_one_is_made,
);

/// Asks for `WANTED` and runs `meanwhile` when half of the body has arrived.
fn change_slowly(signet: &Signet, user: &User, meanwhile: impl FnOnce()) -> RawAnswer {
    let body = json!({ "current_password": PASSWORD, "new_password": WANTED }).to_string();
    let (begin, rest) = body.split_at(body.len() / 2);
    let mut connection = Connection::open(signet.address());
    connection.send(&format!(
        "POST /users/me/password HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{begin}",
        signet.address(),
        user.tokens.access_token,
        body.len(),
    ));
    // The service may look at the account now, before it has the whole request.
    std::thread::sleep(Duration::from_millis(500));
    meanwhile();
    connection.send(rest);
    connection.answer()
}

async fn an_operators_password_stands(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let answer = change_slowly(&signet, &user, || {
        let set = ["users", "set-password", &user.email, "--password-stdin"];
        signet.cli_ok(&set, OPERATORS);
    });
    assert!((400..500).contains(&answer.status), "{answer:?}");
    for password in [PASSWORD, WANTED] {
        let refused = client.try_login(&user.email, password).await;
        refused.expect_oauth_error(400, "invalid_grant");
    }
    client.login(&user.email, OPERATORS).await;
}

async fn a_disabled_user_changes_nothing(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let answer = change_slowly(&signet, &user, || {
        signet.cli_ok(&["users", "disable", &user.email], "");
    });
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let refused = client.try_login(&user.email, PASSWORD).await;
    let refused = refused.expect_oauth_error(400, "invalid_grant");
    assert_eq!(refused.json()["detail"], "Inactive user");
    signet.cli_ok(&["users", "enable", &user.email], "");
    let refused = client.try_login(&user.email, WANTED).await;
    refused.expect_oauth_error(400, "invalid_grant");
    client.login(&user.email, PASSWORD).await;
}

async fn of_eight_changes_one_is_made(backend: Backend) {
    // Hashing in earnest takes long enough for all eight to have proven the old password.
    let signet = Signet::builder().with_default_hashing().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let new = |number: usize| format!("{WANTED} {number}");
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let body = json!({ "current_password": PASSWORD, "new_password": new(number) });
            let request = client.post("/users/me/password").bearer_auth(&user.tokens.access_token);
            tokio::spawn(async move { request.json(&body).answer().await })
        })
        .collect();
    let mut made = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        let answer = task.await.expect("an answer");
        match answer.status {
            204 => made.push(number),
            status => assert!((400..500).contains(&status), "{answer:?}"),
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    for number in 0..8 {
        let answer = client.try_login(&user.email, &new(number)).await;
        let expected = if made.contains(&number) { 200 } else { 400 };
        assert_eq!(answer.status, expected, "{number} of {made:?}: {answer:?}");
    }
}
