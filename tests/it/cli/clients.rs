//! clients add, list, rotate-secret, remove.

use serde_json::json;

use super::{assert_fails, items};
use crate::support::client::{Client, FIRST_PARTY, PASSWORD};
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::signet::{Backend, Signet};

const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];

on_every_backend!(clients_come_change_and_go);

async fn clients_come_change_and_go(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let arguments = [
        "clients",
        "add",
        "shop",
        "--confidential",
        "--grants",
        "client_credentials",
        "--scopes",
        "read write",
        "--audiences",
        "https://shop.example.com",
        "--name",
        "The Shop",
    ];
    let added = signet.cli_json(&arguments, "");
    assert_eq!((&added["client_id"], &added["name"]), (&json!("shop"), &json!("The Shop")));
    let secret = added["client_secret"].as_str().expect("the secret").to_owned();
    assert!(secret.len() >= 32, "{secret}");
    client.token_as(("shop", &secret), &GRANT).await.expect(200);
    // It is shown once: no list has it.
    for arguments in [&["clients", "list"][..], &["clients", "list", "--json"]] {
        let list = signet.cli_ok(arguments, "");
        assert!(list.contains("shop") && list.contains(FIRST_PARTY), "{list}");
        assert!(!list.contains(&secret), "{list}");
    }
    assert_fails(&signet.cli(&arguments, ""));

    let rotated = signet.cli_json(&["clients", "rotate-secret", "shop"], "");
    let second = rotated["client_secret"].as_str().expect("the secret").to_owned();
    for secret in [&secret, &second] {
        client.token_as(("shop", secret), &GRANT).await.expect(200);
    }
    // Two may be valid during a change, not three.
    let rotated = signet.cli_json(&["clients", "rotate-secret", "shop"], "");
    let third = rotated["client_secret"].as_str().expect("the secret").to_owned();
    let refused = client.token_as(("shop", &secret), &GRANT).await;
    refused.expect_oauth_error(401, "invalid_client");
    for secret in [&second, &third] {
        client.token_as(("shop", secret), &GRANT).await.expect(200);
    }

    signet.cli_ok(&["clients", "remove", "shop"], "");
    let refused = client.token_as(("shop", &third), &GRANT).await;
    refused.expect_oauth_error(401, "invalid_client");
    assert!(!signet.cli_ok(&["clients", "list"], "").contains("shop"));
}

#[test]
fn a_list_tells_what_each_may_do() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    signet.add_public("app", &["--grants", "password,refresh_token", "--scopes", "read"]);
    let list = signet.cli_json(&["clients", "list"], "");
    let app = items(&list).iter().find(|client| client["client_id"] == "app").expect("listed");
    assert_eq!(app["grants"], json!(["password", "refresh_token"]), "{app}");
    assert_eq!(app["scope"], "read", "{app}");
    assert_eq!(app["type"], "public", "{app}");
    assert!(app.get("client_secret").is_none(), "{app}");
}

#[test]
fn a_public_client_has_no_secret() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let added = signet.cli_json(&["clients", "add", "app", "--public"], "");
    assert!(added.get("client_secret").is_none_or(|secret| secret.is_null()), "{added}");
    assert_fails(&signet.cli(&["clients", "rotate-secret", "app"], ""));
}

#[test]
fn what_cannot_work_is_refused() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    for arguments in [
        // RFC 6749 section 4.4: confidential clients only.
        &["clients", "add", "x", "--public", "--grants", "client_credentials"][..],
        &["clients", "add", "x", "--confidential", "--grants", "unknown"],
        &["clients", "add", "x", "--confidential", "--scopes", "bad\"scope"],
        // RFC 8707 section 2: an absolute URI without a fragment.
        &["clients", "add", "x", "--confidential", "--audiences", "https://a.example/#part"],
        &["clients", "add", "", "--public"],
        &["clients", "add", "0197a4b2-7b6e-7d3c-9c2d-2f6d1f0a9b11", "--public"],
        &["clients", "add", "0197a4b27b6e7d3c9c2d2f6d1f0a9b11", "--public"],
        &["clients", "add", FIRST_PARTY, "--public"],
    ] {
        let output = signet.cli(arguments, "");
        assert!([Some(1), Some(2)].contains(&output.status.code()), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn an_overlap_into_the_far_future_is_refused() {
    let signet = Signet::start();
    let secret = signet.add_confidential("shop", &["--grants", "client_credentials"]);
    let rotate = ["clients", "rotate-secret", "shop", "--overlap", "1000000000d"];
    let output = signet.cli(&rotate, "");
    assert!([Some(1), Some(2)].contains(&output.status.code()), "{output:?}");
    assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    // Nothing has changed.
    Client::new(signet.base()).token_as(("shop", &secret), &GRANT).await.expect(200);
    let list = signet.cli_json(&["clients", "list"], "");
    let shop = items(&list).iter().find(|client| client["client_id"] == "shop").expect("listed");
    assert_eq!(shop["secrets"], 1, "{shop}");
}

#[test]
fn the_password_grant_is_given_only_by_name() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let added = signet.cli_json(&["clients", "add", "x", "--public"], "");
    assert_eq!(added["grants"], json!(["refresh_token"]), "{added}");
}

#[tokio::test]
async fn a_client_registered_anew_does_not_revive_old_sessions() {
    let database = Postgres::shared().fresh_database();
    let sql = |sql: &str| Postgres::shared().sql(&database, sql);
    let mut signet = Signet::builder().postgres(&database).prepare();
    signet.cli_ok(&["migrate"], "");
    let options = ["--grants", "password,refresh_token", "--scopes", "read"];
    signet.add_public("app", &options);
    // Before it runs: it need not look again at clients that it knows.
    sql("UPDATE clients SET created_at = created_at - 7200 WHERE client_id = 'app'");
    signet.restart();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let login = [("username", &*user.email), ("password", PASSWORD), ("client_id", "app")];
    let refresh = async |token: &str| {
        let grant = ("grant_type", "refresh_token");
        client.token(&[grant, ("refresh_token", token), ("client_id", "app")]).await
    };
    let old = client.form("/login", &login).await.tokens();
    // An hour ago: clocks may differ by less, for which there is slack.
    sql("UPDATE sessions SET started_at = started_at - 3600 WHERE client_id = 'app'");
    let old = refresh(&old.refresh_token).await.tokens();
    signet.cli_ok(&["clients", "remove", "app"], "");
    signet.add_public("app", &options);
    // The new one works, and the name alone takes over nothing.
    let new = client.form("/login", &login).await.tokens();
    refresh(&old.refresh_token).await.expect_oauth_error(400, "invalid_grant");
    refresh(&new.refresh_token).await.tokens();
}
