//! users show, set, delete and sessions; clients show, set, disable and enable; audit list.

use serde_json::{Value, json};

use super::{assert_fails, assert_misused, items};
use crate::support::client::{Client, FIRST_PARTY, PASSWORD};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

const EMAIL: &str = "ada@example.com";
const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];

on_every_backend!(users_are_seen_changed_and_removed, clients_are_seen_and_changed);

/// Event and detail of what is told of `subject`, oldest first.
fn events(signet: &Signet, subject: &str) -> Vec<(String, Value)> {
    let list = signet.cli_json(&["audit", "list", "--subject", subject], "");
    let changes = items(&list).iter().rev().filter(|event| event["event"] != "client.refused");
    let told = changes.map(|event| {
        assert_eq!(event["actor"], "cli", "{event}");
        (event["event"].as_str().expect("a name").to_owned(), event["detail"].clone())
    });
    told.collect()
}

async fn users_are_seen_changed_and_removed(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let add = ["users", "add", EMAIL, "--password-stdin", "--roles", "a,b"];
    let added = signet.cli_json(&add, PASSWORD);
    let id = added["id"].as_str().expect("an id").to_owned();
    let shown = signet.cli_json(&["users", "show", "ADA@example.com"], "");
    for (member, value) in [
        ("id", json!(id)),
        ("email", json!(EMAIL)),
        ("roles", json!(["a", "b"])),
        ("email_verified", json!(false)),
        ("disabled", json!(false)),
    ] {
        assert_eq!(shown[member], value, "{shown}");
    }
    // Readers differ in which of two members of one name they take.
    let text = signet.cli_ok(&["users", "show", &id, "--json"], "");
    assert_eq!(text.matches("\"email_verified\"").count(), 1, "{text}");
    let text = signet.cli_ok(&["users", "show", &id], "");
    assert!(text.contains(EMAIL) && !text.contains("argon2"), "{text}");

    let set =
        ["users", "set", EMAIL, "--name", "Ada", "--roles", "b,c", "--email-verified", "true"];
    let set = signet.cli_json(&set, "");
    assert_eq!((&set["name"], &set["roles"]), (&json!("Ada"), &json!(["b", "c"])));
    assert_eq!(set["email_verified"], true);
    let set = ["users", "set", EMAIL, "--email", "ada@example.org", "--name", "", "--roles", ""];
    let set = signet.cli_json(&set, "");
    assert_eq!((&set["name"], &set["roles"]), (&Value::Null, &json!([])));
    assert_eq!((&set["email"], &set["email_verified"]), (&json!("ada@example.org"), &json!(false)));
    assert_fails(&signet.cli(&["users", "show", EMAIL], ""));

    assert_eq!(signet.cli_json(&["users", "sessions", &id], ""), json!([]));
    let tokens = client.login("ada@example.org", PASSWORD).await;
    let sessions = signet.cli_json(&["users", "sessions", &id], "");
    assert_eq!(items(&sessions).len(), 1);
    assert_eq!(sessions[0]["client_id"], FIRST_PARTY, "{sessions}");
    assert_eq!(sessions[0]["address"], "127.0.0.1", "{sessions}");
    let table = signet.cli_ok(&["users", "sessions", &id], "");
    assert!(table.contains(sessions[0]["sid"].as_str().expect("a sid")), "{table}");

    signet.cli_ok(&["users", "delete", &id], "");
    client.me(&tokens.access_token).await.expect(401);
    assert_fails(&signet.cli(&["users", "delete", &id], ""));
    let told = signet.cli_json(&["audit", "list", "--subject", &id, "--actor", "cli"], "");
    let mut told: Vec<_> =
        items(&told).iter().map(|event| event["event"].as_str().expect("a name")).collect();
    told.sort_unstable();
    let expected = [
        "email.changed",
        "user.changed",
        "user.changed",
        "user.created",
        "user.deleted",
        "user.role_granted",
        "user.role_revoked",
        "user.role_revoked",
        "user.role_revoked",
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_cannot_be_of_a_user_is_refused() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    for email in [EMAIL, "bob@example.com"] {
        signet.cli_ok(&["users", "add", email, "--password-stdin"], PASSWORD);
    }
    for arguments in [
        &["users", "set", EMAIL, "--email", "nobody"][..],
        &["users", "set", EMAIL, "--email", "Bob@example.com"],
        &["users", "set", EMAIL, "--roles", "No Role"],
        &["users", "set", EMAIL, "--name", "a\nb"],
        &["users", "set", "nobody@example.com", "--name", "x"],
        &["users", "sessions", "nobody@example.com"],
    ] {
        assert_fails(&signet.cli(arguments, ""));
    }
    assert_misused(&signet.cli(&["users", "set", EMAIL], ""));
    assert_misused(&signet.cli(&["users", "set", EMAIL, "--email-verified", "maybe"], ""));
    let ada = signet.cli_json(&["users", "show", EMAIL], "");
    assert_eq!((&ada["name"], &ada["email"]), (&Value::Null, &json!(EMAIL)));
}

async fn clients_are_seen_and_changed(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let options = ["--grants", "client_credentials", "--scopes", "read write"];
    let secret = signet.add_confidential("shop", &options);
    let shown = signet.cli_json(&["clients", "show", "shop"], "");
    assert_eq!(shown["scopes"], json!(["read", "write"]), "{shown}");
    assert_eq!(shown["secrets"].as_array().map(Vec::len), Some(1), "{shown}");
    let text = signet.cli_ok(&["clients", "show", "shop"], "");
    assert!(text.contains("read,write") && !text.contains(&secret), "{text}");

    let set = ["clients", "set", "shop", "--scopes", "read", "--access-token-lifetime", "2m"];
    let set = signet.cli_json(&[&set[..], &["--claims", "plan"]].concat(), "");
    assert_eq!(set["claims"], json!(["plan"]));
    assert_eq!((&set["scopes"], &set["access_token_lifetime"]), (&json!(["read"]), &json!(120)));
    let answer = client.token_as(("shop", &secret), &GRANT).await.expect(200).json();
    assert_eq!((&answer["scope"], &answer["expires_in"]), (&json!("read"), &json!(120)));
    let set = ["clients", "set", "shop", "--access-token-lifetime", "default", "--name", "Shop"];
    let set = signet.cli_json(&[&set[..], &["--claims", ""]].concat(), "");
    assert_eq!(set["claims"], json!([]));
    assert_eq!((&set["name"], &set["access_token_lifetime"]), (&json!("Shop"), &Value::Null));

    signet.cli_ok(&["clients", "disable", "shop"], "");
    client.token_as(("shop", &secret), &GRANT).await.expect_oauth_error(401, "invalid_client");
    assert_eq!(signet.cli_json(&["clients", "show", "shop"], "")["disabled"], true);
    signet.cli_ok(&["clients", "enable", "shop"], "");
    client.token_as(("shop", &secret), &GRANT).await.expect(200);
    let mut told = events(&signet, "shop");
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let kinds: Vec<_> = told.iter().map(|(event, _)| event.as_str()).collect();
    let expected =
        ["client.changed", "client.changed", "client.created", "client.disabled", "client.enabled"];
    assert_eq!(kinds, expected);
}

#[test]
fn what_cannot_be_of_a_client_is_refused() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    signet.add_public("app", &[]);
    for arguments in [
        &["clients", "set", "app", "--grants", "client_credentials"][..],
        &["clients", "set", "app", "--grants", ""],
        &["clients", "set", "app", "--audiences", "api"],
        &["clients", "set", "app", "--claims", "sub"],
        &["clients", "set", "app", "--access-token-lifetime", "2d"],
        &["clients", "set", "nobody", "--name", "x"],
        &["clients", "disable", "nobody"],
        &["clients", "disable", FIRST_PARTY],
        &["clients", "set", FIRST_PARTY, "--scopes", "openid"],
        &["clients", "remove", FIRST_PARTY],
    ] {
        assert_fails(&signet.cli(arguments, ""));
    }
    assert_misused(&signet.cli(&["clients", "set", "app"], ""));
    assert_misused(&signet.cli(&["clients", "set", "app", "--access-token-lifetime", "soon"], ""));
}

#[test]
fn the_audit_trail_is_listed() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    for n in 0..4 {
        signet.add_public(&format!("app-{n}"), &[]);
    }
    let list = |more: &[&str]| {
        let arguments = [&["audit", "list"], more].concat();
        items(&signet.cli_json(&arguments, "")).len()
    };
    assert_eq!(list(&["--event", "client.created"]), 4);
    assert_eq!(list(&["--event", "client.created", "--limit", "3"]), 3);
    assert_eq!(list(&["--since", "1h", "--event", "client.created"]), 4);
    assert_eq!(list(&["--until", "1h"]), 0);
    assert_eq!(list(&["--until", "2020-01-01T00:00:00Z"]), 0);
    assert_eq!(list(&["--subject", "app-2"]), 1);
    let table = signet.cli_ok(&["audit", "list", "--subject", "app-2"], "");
    assert!(table.contains("client.created") && table.contains("cli"), "{table}");
    assert_misused(&signet.cli(&["audit", "list", "--since", "yesterday"], ""));
    assert_misused(&signet.cli(&["audit", "list", "--limit", "0"], ""));
}
