//! /admin/clients: a client from the beginning to the end, and what cannot be done to it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::administration::{Admin, assert_closed};
use crate::support::client::{FIRST_PARTY, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::Backend;

const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];
const BUNDLED: &str = "/admin/clients/signet-first-party";

on_every_backend!(
    a_client_comes_changes_and_goes,
    of_changes_to_the_same_state_one_is_made,
    pages_are_complete_and_in_order,
);

async fn a_client_comes_changes_and_goes(backend: Backend) {
    let admin = Admin::start(backend).await;
    let client = &admin.client;
    let body = json!({
        "client_id": "shop", "type": "confidential", "name": "The Shop",
        "grants": ["client_credentials"], "scopes": ["read", "write"],
        "audiences": ["https://shop.example.com"], "access_token_lifetime": "2m",
        "claims": ["plan", "department"],
    });
    let added = admin.send("POST", "/admin/clients", body).await.expect(201);
    assert_eq!(added.header("location"), Some("/admin/clients/shop"));
    assert_eq!(added.header("cache-control"), Some("no-store, no-transform"));
    let path = "/admin/clients/shop";
    let first = added.json()["client_secret"].as_str().expect("the secret").to_owned();
    let answer = client.token_as(("shop", &first), &GRANT).await.expect(200).json();
    assert_eq!((&answer["scope"], &answer["expires_in"]), (&json!("read write"), &json!(120)));

    let read = admin.get(path).await.expect(200);
    assert_eq!(read.header("etag"), added.header("etag"));
    let shop = read.json();
    for (member, value) in [
        ("client_id", json!("shop")),
        ("type", json!("confidential")),
        ("name", json!("The Shop")),
        ("grants", json!(["client_credentials"])),
        ("scopes", json!(["read", "write"])),
        ("audiences", json!(["https://shop.example.com"])),
        ("access_token_lifetime", json!(120)),
        ("disabled", json!(false)),
        ("claims", json!(["plan", "department"])),
    ] {
        assert_eq!(shop[member], value, "{shop}");
    }
    assert_eq!(shop["secrets"].as_array().map(Vec::len), Some(1), "{shop}");
    let members: Vec<_> = shop["secrets"][0].as_object().expect("an object").keys().collect();
    assert_eq!(members, ["created_at", "expires_at"]);

    // A change is in force when it is acknowledged.
    let etag = admin.etag(path).await;
    let patch = json!({
        "scopes": ["read"], "name": null, "access_token_lifetime": null, "audiences": [],
        "claims": ["plan"],
    });
    let changed = admin.change("PATCH", path, &etag, patch).await.expect(200).json();
    assert_eq!((&changed["name"], &changed["access_token_lifetime"]), (&Value::Null, &Value::Null));
    assert_eq!(changed["claims"], json!(["plan"]));
    assert_eq!(admin.get(path).await.expect(200).json()["claims"], json!(["plan"]));
    let answer = client.token_as(("shop", &first), &GRANT).await.expect(200).json();
    assert_eq!((&answer["scope"], &answer["expires_in"]), (&json!("read"), &json!(600)));
    admin.change("PATCH", path, &etag, json!({ "name": "x" })).await.expect_problem(412);

    let rotate = "/admin/clients/shop/rotate-secret";
    let body = json!({ "keep_old_for": "1h" });
    let rotated = admin.send("POST", rotate, body).await.expect(200).json();
    let second = rotated["client_secret"].as_str().expect("the secret").to_owned();
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(2), "{rotated}");
    assert_eq!(rotated["secrets"], admin.get(path).await.expect(200).json()["secrets"]);
    for secret in [&first, &second] {
        client.token_as(("shop", secret), &GRANT).await.expect(200);
    }
    let at_once = admin.send("POST", rotate, json!({ "keep_old_for": 0 })).await.expect(200).json();
    let third = at_once["client_secret"].as_str().expect("the secret").to_owned();
    client.token_as(("shop", &third), &GRANT).await.expect(200);
    for secret in [&first, &second] {
        client.token_as(("shop", secret), &GRANT).await.expect(401);
    }
    // Without a body as well.
    admin.request("POST", rotate).answer().await.expect(200);
    for list in ["/admin/clients", path] {
        let body = admin.get(list).await.expect(200).body;
        assert!([&first, &second, &third].iter().all(|secret| !body.contains(*secret)), "{body}");
        assert!(!body.contains("fingerprint") && !body.contains("client_secret"), "{body}");
    }

    admin.patch(path, json!({ "disabled": true })).await.expect(200);
    client.token_as(("shop", &third), &GRANT).await.expect_oauth_error(401, "invalid_client");
    admin.patch(path, json!({ "disabled": false })).await.expect(200);
    client.token_as(("shop", &third), &GRANT).await.expect(200);
    admin.request("DELETE", path).answer().await.expect_problem(428);
    let etag = admin.etag(path).await;
    admin.change("DELETE", path, &etag, Value::Null).await.expect(204);
    client.token_as(("shop", &third), &GRANT).await.expect_oauth_error(401, "invalid_client");
    admin.get(path).await.expect_problem(404);

    let mut told: Vec<_> = admin.events("shop").await;
    // Of all refusals, one.
    let refused = told.iter().position(|(event, ..)| event == "client.refused").expect("one");
    assert_eq!(told.remove(refused).1, "anonymous");
    assert!(told.iter().all(|(_, actor, _)| *actor == format!("user:{}", admin.id)), "{told:?}");
    told.sort();
    let kinds: Vec<_> = told.iter().map(|(event, ..)| event.as_str()).collect();
    let expected = [
        "client.changed",
        "client.created",
        "client.deleted",
        "client.disabled",
        "client.enabled",
        "client.secret_rotated",
        "client.secret_rotated",
        "client.secret_rotated",
    ];
    assert_eq!(kinds, expected);
    let detail =
        "name, scopes from 'read write' to 'read', audiences, claims, access_token_lifetime";
    assert_eq!(told[0].2.as_deref(), Some(detail));
}

async fn of_changes_to_the_same_state_one_is_made(backend: Backend) {
    let admin = Admin::start(backend).await;
    admin.signet.add_public("app", &[]);
    let path = "/admin/clients/app";
    let etag = admin.etag(path).await;
    let change =
        |n: usize| admin.change("PATCH", path, &etag, json!({ "name": format!("App {n}") }));
    let answers = join_all((0..20).map(change)).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(412)), (1, 19), "{answers:?}");

    // One that is registered anew is another, though its version is the same.
    let etag = admin.etag(path).await;
    admin.change("DELETE", path, &etag, Value::Null).await.expect(204);
    admin.signet.add_public("app", &[]);
    admin.change("PATCH", path, &etag, json!({ "name": "x" })).await.expect_problem(412);
    let rotate = admin.send("POST", "/admin/clients/app/rotate-secret", json!({})).await;
    rotate.expect_problem(409);
}

async fn pages_are_complete_and_in_order(backend: Backend) {
    let admin = Admin::start(backend).await;
    let mut expected = vec![FIRST_PARTY.to_owned()];
    let register = |n: usize| {
        let body = json!({ "client_id": format!("client-{n:02}"), "type": "confidential" });
        admin.send("POST", "/admin/clients", body)
    };
    for answer in join_all((0..12).map(register)).await {
        expected.push(answer.expect(201).json()["client_id"].as_str().expect("an id").to_owned());
    }
    expected.sort();
    // Two secrets must not count as two clients.
    admin.send("POST", "/admin/clients/client-05/rotate-secret", json!({})).await.expect(200);
    for limit in [1, 5, 13, 200] {
        let path = format!("/admin/clients?limit={limit}");
        let page = |page: &[Value]| assert!(page.len() <= limit && !page.is_empty());
        let items = admin.items(&path, async |items| page(items)).await;
        let ids: Vec<_> =
            items.iter().map(|item| item["client_id"].as_str().expect("an id")).collect();
        assert_eq!(ids, expected, "{limit}");
        let rotated = items.iter().find(|item| item["client_id"] == "client-05").expect("listed");
        assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(2), "{rotated}");
    }
}

#[tokio::test]
async fn bad_fields_are_named() {
    let admin = Admin::start(Backend::PostgresSql).await;
    admin.signet.add_public("app", &[]);
    let path = "/admin/clients/app";
    let etag = admin.etag(path).await;
    for (field, value) in [
        ("name", json!(1)),
        ("name", json!("a\u{0}")),
        ("grants", json!("password")),
        ("grants", json!([])),
        ("grants", json!(["implicit"])),
        ("grants", json!(["client_credentials"])),
        ("scopes", json!("read")),
        ("scopes", json!(["a\"b"])),
        ("scopes", json!(["\u{0}"])),
        ("audiences", json!(["api"])),
        ("audiences", json!(["https://a.example/#part"])),
        ("audiences", json!(null)),
        ("access_token_lifetime", json!("2d")),
        ("access_token_lifetime", json!(0)),
        ("access_token_lifetime", json!("soon")),
        ("disabled", json!(null)),
        ("client_secret", json!("chosen by myself")),
        ("version", json!(3)),
    ] {
        let patch = json!({ field: value });
        let answer = admin.change("PATCH", path, &etag, patch).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), [field], "{answer:?}");
        let mut body = json!({ "client_id": "other", "type": "public" });
        if value != json!([]) {
            body[field] = value;
            let answer = admin.send("POST", "/admin/clients", body).await.expect_problem(400);
            assert_eq!(answer.problem_fields(), [field], "{answer:?}");
        }
    }
    let patch = json!({ "client_id": "renamed", "type": "confidential" });
    let answer = admin.change("PATCH", path, &etag, patch).await.expect_problem(400);
    assert_eq!(answer.problem_fields(), ["client_id", "type"]);
    for (body, field) in [
        (json!({ "type": "public" }), "client_id"),
        (json!({ "client_id": "x" }), "type"),
        (json!({ "client_id": "x", "type": "secret" }), "type"),
        (json!({ "client_id": "a b", "type": "public" }), "client_id"),
        (json!({ "client_id": "\u{0}", "type": "public" }), "client_id"),
        (json!({ "client_id": "command-line", "type": "public" }), "client_id"),
        (json!({ "client_id": "cli", "type": "public" }), "client_id"),
        (json!({ "client_id": uuid::Uuid::nil(), "type": "public" }), "client_id"),
        (json!({ "client_id": "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "type": "public" }), "client_id"),
    ] {
        let answer = admin.send("POST", "/admin/clients", body).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), [field], "{answer:?}");
    }
    let taken = json!({ "client_id": "app", "type": "public" });
    admin.send("POST", "/admin/clients", taken).await.expect_problem(409);
    let rotate = "/admin/clients/app/rotate-secret";
    for body in [json!({ "keep_old_for": "91d" }), json!({ "keep_old_for": -1 }), json!({ "x": 1 })]
    {
        admin.send("POST", rotate, body).await.expect_problem(400);
    }
    for unknown in ["nobody", "%00", "..", "a%20b"] {
        let answer = admin.get(&format!("/admin/clients/{unknown}")).await;
        assert_eq!(answer.status, 404, "{unknown}: {answer:?}");
    }
    assert_eq!(admin.etag(path).await, etag);
    admin.get("/admin/clients/other").await.expect_problem(404);
}

#[tokio::test]
async fn the_bundled_client_goes_on_to_let_people_in() {
    let admin = Admin::start(Backend::Sqlite).await;
    let before = admin.get(BUNDLED).await.expect(200).json();
    for body in [
        json!({ "disabled": true }),
        json!({ "grants": ["refresh_token"] }),
        json!({ "grants": ["password"] }),
        json!({ "scopes": ["openid"] }),
    ] {
        admin.patch(BUNDLED, body).await.expect_problem(409);
    }
    let etag = admin.etag(BUNDLED).await;
    admin.change("DELETE", BUNDLED, &etag, Value::Null).await.expect_problem(409);
    assert_eq!(admin.get(BUNDLED).await.expect(200).json(), before);
    // What does no harm can be changed.
    let mut scopes = before["scopes"].as_array().expect("scopes").clone();
    scopes.push(json!("orders:read"));
    admin.patch(BUNDLED, json!({ "scopes": scopes, "name": "Ours" })).await.expect(200);
    let tokens = admin.client.login(&admin.email, PASSWORD).await;
    assert!(tokens.scope.contains("orders:read"), "{}", tokens.scope);
}

#[tokio::test]
async fn a_client_keeps_its_own_right_to_administer() {
    let mut admin = Admin::start(Backend::PostgresSql).await;
    let secret = admin.signet.add_confidential("operator", &["--scopes", "signet:admin"]);
    let own = admin.client.client_token_for(("operator", &secret), "signet:admin").await;
    let person = std::mem::replace(&mut admin.token, own.clone());
    let path = "/admin/clients/operator";
    for body in [
        json!({ "disabled": true }),
        json!({ "scopes": [] }),
        json!({ "grants": ["refresh_token"] }),
    ] {
        admin.patch(path, body).await.expect_problem(409);
    }
    let etag = admin.etag(path).await;
    admin.change("DELETE", path, &etag, Value::Null).await.expect_problem(409);
    let body = json!({ "scopes": ["signet:admin", "read"] });
    admin.patch(path, body).await.expect(200);
    // Somebody else may do it, and then it is in force at once.
    admin.token = person;
    admin.patch(path, json!({ "disabled": true })).await.expect(200);
    assert_closed(&admin.client, &[("GET", "/admin/clients")], Some(&own), 401).await;
}
