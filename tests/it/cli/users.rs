//! users add, list, disable, enable, set-password, revoke-sessions.

use std::time::Duration;

use serde_json::json;

use super::{assert_fails, items};
use crate::support::client::{Client, PASSWORD};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(users_come_change_and_go);

async fn users_come_change_and_go(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let email = "ada@example.com";
    let add =
        ["users", "add", " Ada@Example.com", "--password-stdin", "--name", "Ada", "--roles", "a,b"];
    let added = signet.cli_json(&add, &format!("{PASSWORD}\n"));
    assert_eq!(added["name"], "Ada");
    let list = signet.cli_json(&["users", "list"], "");
    let ada = items(&list)
        .iter()
        .find(|user| user["id"] == added["id"])
        .unwrap_or_else(|| panic!("not listed: {list}"));
    assert_eq!((&ada["name"], &ada["roles"]), (&json!("Ada"), &json!(["a", "b"])));
    for secret in ["hash", "argon2", "password"] {
        assert!(!list.to_string().contains(secret), "{list}");
    }
    let table = signet.cli_ok(&["users", "list"], "");
    assert!(table.to_lowercase().contains(email), "{table}");

    let tokens = client.login(email, PASSWORD).await;
    signet.cli_ok(&["users", "disable", "ADA@example.com"], "");
    let refused = client.try_login(email, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    assert_eq!(refused.json()["detail"], "Inactive user");
    client.me(&tokens.access_token).await.expect(401);
    signet.cli_ok(&["users", "enable", email], "");
    let tokens = client.login(email, PASSWORD).await;

    let set = ["users", "set-password", email, "--password-stdin"];
    signet.cli_ok(&set, "twelve orange bicycles\r\n");
    // A new password ends what the old one began.
    client.me(&tokens.access_token).await.expect(401);
    let refused = client.refresh(&tokens.refresh_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
    let refused = client.try_login(email, PASSWORD).await;
    refused.expect_oauth_error(400, "invalid_grant");
    let tokens = client.login(email, "twelve orange bicycles").await;

    signet.cli_ok(&["users", "revoke-sessions", "Ada@example.com"], "");
    client.me(&tokens.access_token).await.expect(401);
    let refused = client.refresh(&tokens.refresh_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
    client.login(email, "twelve orange bicycles").await;
    assert_fails(&signet.cli(&["users", "revoke-sessions", "nobody@example.com"], ""));
}

#[test]
fn the_rules_of_signup_hold_here_too() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let add = |email: &str, password: &str| {
        signet.cli(&["users", "add", email, "--password-stdin"], password)
    };
    for (email, password) in [
        ("plain", PASSWORD),
        ("a@example.com", "short"),
        ("a@example.com", "password"),
        ("a@example.com", ""),
        ("a@example.com", "with a nul\0"),
    ] {
        assert_fails(&add(email, password));
    }
    let added = add("a@example.com", PASSWORD);
    assert!(added.status.success(), "{added:?}");
    assert_fails(&add("A@example.com", PASSWORD));
    let set = ["users", "set-password", "a@example.com", "--password-stdin"];
    assert_fails(&signet.cli(&set, "short"));
}

#[test]
fn a_password_for_an_account_that_is_gone_is_a_failure() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    signet.cli_ok(&["users", "add", "ada@example.com", "--password-stdin"], PASSWORD);
    let remove = || {
        // The command has looked the account up by then, and waits for the password.
        std::thread::sleep(Duration::from_secs(2));
        signet.cli_ok(&["users", "delete", "ada@example.com"], "");
    };
    let set = ["users", "set-password", "ada@example.com", "--password-stdin"];
    let error = assert_fails(&signet.cli_after(&set, remove, PASSWORD));
    assert!(error.contains("ada@example.com"), "{error}");
}

#[test]
fn without_a_terminal_and_the_option_no_password_is_read() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let output = signet.cli(&["users", "add", "a@example.com"], PASSWORD);
    assert!([Some(1), Some(2)].contains(&output.status.code()), "{output:?}");
}
