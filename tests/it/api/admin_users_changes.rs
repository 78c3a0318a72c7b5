//! /admin/users: changes to what was seen, side by side, and the ones that would shut everybody out.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::administration::{Admin, id_of};
use crate::support::client::{Client, PASSWORD, Send, unique_email};
use crate::support::on_every_backend;
use crate::support::signet::Backend;

/// The administrator that a first start makes.
const FIRST: &str = "admin@example.com";

on_every_backend!(
    a_change_names_what_it_changes,
    of_changes_to_the_same_state_one_is_made,
    changes_by_others_are_not_lost,
    nobody_shuts_everybody_out,
);

async fn a_change_names_what_it_changes(backend: Backend) {
    let admin = Admin::start(backend).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    let first = admin.etag(&path).await;
    for method in ["PATCH", "DELETE"] {
        let request = admin.request(method, &path).json(&json!({ "name": "Ada" }));
        request.answer().await.expect_problem(428);
    }
    for etag in ["\"999\"", "\"\"", "W/\"999\"", "0", "x", "", "\"a\", \"b\""] {
        for method in ["PATCH", "DELETE"] {
            let answer = admin.change(method, &path, etag, json!({ "name": "Ada" })).await;
            answer.expect_problem(412);
        }
    }
    let name = json!({ "name": "Ada" });
    let several = format!("\"x\", {first}");
    let changed = admin.change("PATCH", &path, &several, name.clone()).await.expect(200);
    let second = changed.header("etag").expect("an ETag").to_owned();
    assert_ne!(first, second);
    admin.change("PATCH", &path, &first, name.clone()).await.expect_problem(412);
    // What changes nothing makes no other version.
    let same = admin.change("PATCH", &path, &second, name).await.expect(200);
    assert_eq!(same.header("etag"), Some(&*second));
    let same = admin.change("PATCH", &path, "*", json!({})).await.expect(200);
    assert_eq!(same.header("etag"), Some(&*second));
    admin.change("DELETE", &path, &first, Value::Null).await.expect_problem(412);
    admin.change("DELETE", &path, "*", Value::Null).await.expect(204);
}

async fn of_changes_to_the_same_state_one_is_made(backend: Backend) {
    let admin = Admin::start(backend).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    for round in 0..3 {
        let etag = admin.etag(&path).await;
        let change = |n: usize| {
            let body = match n % 2 {
                0 => json!({ "name": format!("Ada {round} {n}") }),
                _ => json!({ "metadata": { "winner": format!("{round} {n}") } }),
            };
            admin.change("PATCH", &path, &etag, body)
        };
        let changes: Vec<_> = (0..20).map(change).collect();
        let answers = join_all(changes).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(412)), (1, 19), "{answers:?}");
        let made = answers.iter().find(|answer| answer.status == 200).expect("one").json();
        let read = admin.get(&path).await.expect(200).json();
        assert_eq!(made, read);
    }
    // What changes nothing is no event.
    let name = admin.get(&path).await.expect(200).json()["name"].clone();
    admin.change("PATCH", &path, "*", json!({ "name": name })).await.expect(200);
    let of_this = admin.events(id_of(&path)).await;
    assert_eq!(of_this.iter().filter(|(event, ..)| event == "user.changed").count(), 3);
}

async fn changes_by_others_are_not_lost(backend: Backend) {
    let admin = Admin::start(backend).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    let tokens = admin.client.login("ada@example.com", PASSWORD).await;
    let etag = admin.etag(&path).await;
    // The user's own change is one that the administrator has not seen.
    let mine = admin.client.request(reqwest::Method::PATCH, "/users/me");
    let mine = mine.bearer_auth(&tokens.access_token).json(&json!({ "name": "Countess" }));
    mine.answer().await.expect(200);
    let roles = json!({ "roles": ["staff"] });
    admin.change("PATCH", &path, &etag, roles.clone()).await.expect_problem(412);
    let changed = admin.patch(&path, roles).await.expect(200).json();
    assert_eq!((&changed["name"], &changed["roles"]), (&json!("Countess"), &json!(["staff"])));

    let etag = admin.etag(&path).await;
    for command in [
        &["users", "disable", "ada@example.com"][..],
        &["users", "enable", "ada@example.com"],
        &["users", "set-password", "ada@example.com", "--password-stdin"],
        &["users", "set", "ada@example.com", "--name", "Ada"],
    ] {
        admin.signet.cli_ok(command, PASSWORD);
        let stale = admin.change("PATCH", &path, &etag, json!({ "name": "x" })).await;
        stale.expect_problem(412);
    }
    let etag = admin.etag(&path).await;
    // What nobody sees of an account makes no other version: a login, and the end of sessions.
    admin.client.login("ada@example.com", PASSWORD).await;
    admin.request("DELETE", &format!("{path}/sessions")).answer().await.expect(204);
    assert_eq!(admin.etag(&path).await, etag);
}

/// The path of the user with this address.
async fn path_of(admin: &Admin, email: &str) -> String {
    let found = admin.get(&format!("/admin/users?email_prefix={email}")).await.expect(200).json();
    format!("/admin/users/{}", found["items"][0]["id"].as_str().expect("one such user"))
}

async fn nobody_shuts_everybody_out(backend: Backend) {
    let mut admin = Admin::start(backend).await;
    let oneself = format!("/admin/users/{}", admin.id);
    for body in [
        json!({ "disabled": true }),
        json!({ "roles": [] }),
        json!({ "roles": ["staff"], "name": "x" }),
    ] {
        admin.patch(&oneself, body).await.expect_problem(409);
    }
    let etag = admin.etag(&oneself).await;
    admin.change("DELETE", &oneself, &etag, Value::Null).await.expect_problem(409);
    // Everything else of oneself can be changed.
    admin.patch(&oneself, json!({ "name": "Root", "roles": ["admin", "x"] })).await.expect(200);

    // A client in its own name is nobody's last administrator.
    let secret = admin.signet.add_confidential("operator", &["--scopes", "signet:admin"]);
    let token = admin.client.client_token_for(("operator", &secret), "signet:admin").await;
    let first = path_of(&admin, FIRST).await;
    admin.patch(&first, json!({ "disabled": true })).await.expect(200);
    let person = std::mem::replace(&mut admin.token, token);
    for body in [json!({ "disabled": true }), json!({ "roles": [] })] {
        let refused = admin.patch(&oneself, body).await.expect_problem(409);
        assert!(refused.body.contains("last active administrator"), "{refused:?}");
    }
    let etag = admin.etag(&oneself).await;
    admin.change("DELETE", &oneself, &etag, Value::Null).await.expect_problem(409);
    // A disabled administrator is none, and can go.
    let etag = admin.etag(&first).await;
    admin.change("DELETE", &first, &etag, Value::Null).await.expect(204);
    admin.token = person;
    admin.get("/admin/users").await.expect(200);

    two_take_it_from_each_other(&admin).await;
}

async fn two_take_it_from_each_other(admin: &Admin) {
    for round in 0..5 {
        let email = format!("other-{round}@example.com");
        let other = admin.add_user(&email, json!({ "roles": ["admin"] })).await;
        let tokens = admin.client.login_as_administrator(&email, PASSWORD).await;
        let oneself = format!("/admin/users/{}", admin.id);
        let etag_of_other = admin.etag(&other).await;
        let etag = admin.etag(&oneself).await;
        let client = Client::new(admin.signet.base());
        let by_other = client.request(reqwest::Method::PATCH, &oneself);
        let by_other = by_other.bearer_auth(&tokens.access_token).header("if-match", &etag);
        let (by_other, by_admin) = tokio::join!(
            by_other.json(&json!({ "roles": ["x"] })).answer(),
            admin.change("PATCH", &other, &etag_of_other, json!({ "roles": [] })),
        );
        let done = [&by_other, &by_admin].iter().filter(|answer| answer.status == 200).count();
        assert_eq!(done, 1, "{by_other:?} {by_admin:?}");
        if by_other.status == 200 {
            let admin_again = ["users", "set", &admin.id, "--roles", "admin"];
            admin.signet.cli_ok(&admin_again, "");
            admin.patch(&other, json!({ "roles": [] })).await.expect(200);
        }
    }
}

#[tokio::test]
async fn metadata_is_changed_member_by_member() {
    let admin = Admin::start(Backend::PostgresSql).await;
    let metadata = json!({ "plan": "gold", "limits": { "seats": 3, "disk": 5 } });
    let path = admin.add_user("ada@example.com", json!({ "metadata": metadata })).await;
    let patch = json!({ "metadata": { "plan": null, "limits": { "seats": 4 }, "nul": "\u{0}" } });
    let changed = admin.patch(&path, patch).await.expect(200).json();
    let expected = json!({ "limits": { "seats": 4, "disk": 5 }, "nul": "\u{0}" });
    assert_eq!(changed["metadata"], expected);
    assert_eq!(admin.get(&path).await.expect(200).json()["metadata"], expected);
    // What is added bit by bit is bounded as well.
    admin.patch(&path, json!({ "metadata": { "a": "x".repeat(9_000) } })).await.expect(200);
    let more = admin.patch(&path, json!({ "metadata": { "b": "x".repeat(9_000) } })).await;
    assert_eq!(more.expect_problem(400).problem_fields(), ["metadata"]);
    let none = admin.patch(&path, json!({ "metadata": null })).await.expect(200).json();
    assert_eq!(none["metadata"], json!({}));
}

#[tokio::test]
async fn the_last_administrator_cannot_leave() {
    let admin = Admin::start(Backend::PostgresSql).await;
    admin.signet.cli_ok(&["users", "delete", FIRST], "");
    let leave = async |method: &str, path: &str| {
        let body = json!({ "current_password": PASSWORD });
        admin.request(method, path).json(&body).answer().await
    };
    for (method, path) in [("DELETE", "/users/me"), ("POST", "/users/me/delete")] {
        let refused = leave(method, path).await.expect_problem(409);
        assert!(refused.body.contains("last active administrator"), "{refused:?}");
    }
    admin.add_user(&unique_email(), json!({ "roles": ["admin"] })).await;
    leave("DELETE", "/users/me").await.expect(204);
}

/// A token that was mailed to a mistyped address must not take the account that an administrator has
/// put right.
#[tokio::test]
async fn a_new_address_ends_what_was_begun_at_the_old_one() {
    let admin = Admin::start(Backend::Sqlite).await;
    let user = admin.client.new_user().await;
    let (path, email) = (format!("/admin/users/{}", user.id), unique_email());
    admin.patch(&path, json!({ "email": email })).await.expect(200);
    admin.client.me(&user.tokens.access_token).await.expect(401);
    let again = admin.client.login(&email, PASSWORD).await;
    // Another spelling of it is no other address.
    admin.patch(&path, json!({ "email": email.to_uppercase() })).await.expect(200);
    admin.client.me(&again.access_token).await.expect(200);
}
