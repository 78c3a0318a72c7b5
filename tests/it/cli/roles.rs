//! roles list, add, set, remove; users grant-role, revoke-role, set-metadata.

use serde_json::{Value, json};

use super::{assert_fails, assert_misused, items};
use crate::support::client::PASSWORD;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(roles_come_change_and_go);

/// An instance that does not run, with the user `ada@example.com`.
fn prepared(backend: Backend, roles: &str) -> Signet {
    let signet = Signet::builder().backend(backend).prepare();
    let add = ["users", "add", "ada@example.com", "--password-stdin", "--roles", roles];
    signet.cli_ok(&add, PASSWORD);
    signet
}

fn role(signet: &Signet, name: &str) -> Value {
    let list = signet.cli_json(&["roles", "list"], "");
    items(&list).iter().find(|role| role["name"] == name).cloned().unwrap_or_default()
}

fn ada(signet: &Signet) -> Value {
    items(&signet.cli_json(&["users", "list"], ""))[0].clone()
}

async fn roles_come_change_and_go(backend: Backend) {
    let signet = prepared(backend, "clerk");
    let admin = role(&signet, "admin");
    assert_eq!(
        (&admin["scope"], &admin["built_in"]),
        (&json!("signet:admin users:read"), &json!(true))
    );

    let add = ["roles", "add", "clerk", "--scopes", "orders:read orders:write"];
    let output = signet.cli(&[&add[..], &["--description", "Takes orders"]].concat(), "");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    // What changes for others, and who has the name already.
    assert!(told.contains("orders:read orders:write") && told.contains("1 user"), "{told}");
    let clerk = role(&signet, "clerk");
    assert_eq!(clerk["scope"], "orders:read orders:write");
    assert_eq!(
        (&clerk["description"], &clerk["built_in"]),
        (&json!("Takes orders"), &json!(false))
    );
    assert!(assert_fails(&signet.cli(&add, "")).contains("already"));
    assert!(signet.cli_ok(&["roles", "list"], "").contains("Takes orders"));

    let set = ["roles", "set", "clerk", "--scopes", "orders:read"];
    let refused = assert_fails(&signet.cli(&set, ""));
    assert!(refused.contains("orders:write") && refused.contains("--force"), "{refused}");
    assert_eq!(role(&signet, "clerk"), clerk);
    let changed = signet.cli_json(&[&set[..], &["--force"]].concat(), "");
    assert_eq!(
        (&changed["scope"], &changed["description"]),
        (&json!("orders:read"), &json!("Takes orders"))
    );
    let changed = signet.cli_json(&["roles", "set", "clerk", "--description", ""], "");
    assert_eq!((&changed["scope"], &changed["description"]), (&json!("orders:read"), &json!(null)));

    let refused = assert_fails(&signet.cli(&["roles", "remove", "clerk"], ""));
    assert!(refused.contains("1 user") && refused.contains("--force"), "{refused}");
    assert_eq!(ada(&signet)["roles"], json!(["clerk"]));
    signet.cli_ok(&["roles", "remove", "clerk", "--force"], "");
    assert_eq!(role(&signet, "clerk"), Value::Null);
    // Whoever defines a role of this name later does not give it to her.
    assert_eq!(ada(&signet)["roles"], json!([]));
    assert_fails(&signet.cli(&["roles", "remove", "clerk", "--force"], ""));
}

#[test]
fn what_cannot_work_is_refused() {
    let signet = prepared(Backend::Sqlite, "admin");
    for arguments in [
        &["roles", "add", "Clerk", "--scopes", "a"][..],
        &["roles", "add", "", "--scopes", "a"],
        &["roles", "add", "clerk", "--scopes", "bad\"scope"],
        &["roles", "add", "clerk", "--scopes", "a", "--description", "a\nb"],
        &["roles", "add", "admin", "--scopes", "a"],
        &["roles", "set", "nobody", "--scopes", "a"],
        &["roles", "set", "admin", "--scopes", "signet:admin", "--force"],
        &["roles", "remove", "admin", "--force"],
        &["roles", "remove", "nobody"],
        &["roles", "remove", "No\"body", "--force"],
        &["users", "grant-role", "ada@example.com", "Not A Role"],
        &["users", "grant-role", "nobody@example.com", "clerk"],
        &["users", "revoke-role", "nobody@example.com", "clerk"],
        &["users", "set-metadata", "nobody@example.com"],
    ] {
        assert_fails(&signet.cli(arguments, "{}"));
    }
    for arguments in [
        &["roles"][..],
        &["roles", "add", "clerk"],
        &["roles", "set", "clerk"],
        &["roles", "set", "clerk", "--force"],
        &["users", "grant-role", "ada@example.com"],
    ] {
        assert_misused(&signet.cli(arguments, ""));
    }
    assert_eq!(items(&signet.cli_json(&["roles", "list"], "")).len(), 1);
    // More words than the built-in role needs, it may carry.
    let more = ["roles", "set", "admin", "--scopes", "users:read reports signet:admin"];
    assert_eq!(signet.cli_json(&more, "")["scope"], "users:read reports signet:admin");
}

#[test]
fn roles_are_given_and_taken_once() {
    let signet = prepared(Backend::Sqlite, "staff,staff");
    assert_eq!(ada(&signet)["roles"], json!(["staff"]));
    let grant = ["users", "grant-role", "ADA@example.com", "clerk"];
    let output = signet.cli(&grant, "");
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no role clerk is defined"), "{told}");
    assert_eq!(ada(&signet)["roles"], json!(["staff", "clerk"]));
    assert!(signet.cli_ok(&grant, "").contains("already"));
    signet.cli_ok(&["roles", "add", "clerk", "--scopes", "orders:read"], "");
    assert!(signet.cli(&grant, "").stderr.is_empty());

    let revoke = ["users", "revoke-role", "ada@example.com", "clerk"];
    let told = signet.cli_ok(&revoke, "");
    assert!(told.contains("revoked") && told.contains("until they end"), "{told}");
    assert_eq!(ada(&signet)["roles"], json!(["staff"]));
    assert!(signet.cli_ok(&revoke, "").contains("has no role"));

    // They stand in every token, so there are only so many.
    let many: Vec<_> = (0..33).map(|n| format!("r{n}")).collect();
    let add = |roles: &str| {
        let add = ["users", "add", "bob@example.com", "--password-stdin", "--roles", roles];
        signet.cli(&add, PASSWORD)
    };
    assert!(assert_fails(&add(&many.join(","))).contains("32"));
    assert!(add(&many[1..].join(",")).status.success());
    let one_more = ["users", "grant-role", "bob@example.com", "one-more"];
    assert!(assert_fails(&signet.cli(&one_more, "")).contains("32"));
}

#[test]
fn the_last_administrator_stays_unless_forced() {
    let signet = prepared(Backend::Sqlite, "admin");
    let revoke = ["users", "revoke-role", "ada@example.com", "admin"];
    assert!(assert_fails(&signet.cli(&revoke, "")).contains("--force"));
    assert_eq!(ada(&signet)["roles"], json!(["admin"]));
    let add = ["users", "add", "bob@example.com", "--password-stdin", "--roles", "admin"];
    signet.cli_ok(&add, PASSWORD);
    signet.cli_ok(&["users", "disable", "bob@example.com"], "");
    assert_fails(&signet.cli(&revoke, ""));
    signet.cli_ok(&["users", "enable", "bob@example.com"], "");
    signet.cli_ok(&revoke, "");
    let last = ["users", "revoke-role", "bob@example.com", "admin"];
    assert_fails(&signet.cli(&last, ""));
    signet.cli_ok(&[&last[..], &["--force"]].concat(), "");
}

#[test]
fn metadata_is_replaced_as_a_whole_and_within_bounds() {
    let signet = prepared(Backend::Sqlite, "");
    let set = ["users", "set-metadata", "ada@example.com"];
    assert_eq!(ada(&signet).get("metadata"), None);
    let shown = signet.cli_json(&set, r#" {"plan": "gold", "seats": 3, "tags": ["ü"]} "#);
    let expected = json!({ "plan": "gold", "seats": 3, "tags": ["ü"] });
    assert_eq!(shown["metadata"], expected);
    assert_eq!(ada(&signet)["metadata"], expected);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(9), "]".repeat(9));
    for bad in ["", "[]", "1", "null", "{", "{} x", "{\"\":1}", "{\"a\\u0000\":1}", &deep] {
        assert_fails(&signet.cli(&set, bad));
    }
    let long = |length: usize| json!({ "a": "x".repeat(length) }).to_string();
    assert!(assert_fails(&signet.cli(&set, &long(16 * 1024))).contains("16 KiB"));
    assert!(assert_fails(&signet.cli(&set, &long(100 * 1024))).contains("16 KiB"));
    assert_eq!(ada(&signet)["metadata"], expected);
    signet.cli_ok(&set, "{}");
    assert_eq!(ada(&signet).get("metadata"), None);
}

#[test]
fn claims_of_a_client_are_listed_and_forged_ones_refused() {
    let signet = prepared(Backend::Sqlite, "");
    signet.add_public("app", &["--claims", "department,plan"]);
    let list = signet.cli_json(&["clients", "list"], "");
    let app = items(&list).iter().find(|client| client["client_id"] == "app").expect("listed");
    assert_eq!(app["claims"], json!(["department", "plan"]), "{app}");
    assert!(signet.cli_ok(&["clients", "list"], "").contains("department,plan"));
    let many: Vec<_> = (0..21).map(|n| format!("c{n}")).collect();
    for claims in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "roles",
        "sid",
        "auth_time",
        "azp",
        "act",
        "may_act",
        "cnf",
        "amr",
        "acr",
        "nonce",
        "at_hash",
        "email",
        "name",
        "groups",
        "entitlements",
        "active",
        "token_type",
        "username",
        "scp",
        "opt",
        "user_id",
        "upn",
        "token_use",
        "typ",
        "plan,sub",
        "Plan",
        "a b",
        "plan-b",
        &many.join(","),
    ] {
        let add = ["clients", "add", "x", "--public", "--claims", claims];
        assert!(assert_fails(&signet.cli(&add, "")).contains("claim"), "{claims}");
    }
}
