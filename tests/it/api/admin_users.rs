//! /admin/users: who may, and a user from the beginning to the end.

use serde_json::{Value, json};

use super::administration::{Admin, READING, ROUTES, assert_closed, id_of};
use crate::support::client::{PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

const NEW_PASSWORD: &str = "twelve orange bicycles";

#[tokio::test]
async fn only_administrators_come_in() {
    let admin = Admin::start(Backend::Sqlite).await;
    let client = &admin.client;
    let all = [&ROUTES[..], &READING].concat();
    assert_closed(client, &all, None, 401).await;
    assert_closed(client, &all, Some("no.such.token"), 401).await;
    let user = client.new_user().await;
    assert_closed(client, &all, Some(&user.tokens.access_token), 403).await;
    let fields = [("username", &*admin.email), ("password", PASSWORD), ("scope", "openid")];
    let narrow = client.form("/login", &fields).await.tokens().access_token;
    assert_closed(client, &all, Some(&narrow), 403).await;
}

#[tokio::test]
async fn clients_may_read_users_and_nothing_else() {
    let admin = Admin::start(Backend::PostgresSql).await;
    let client = &admin.client;
    let secret = admin.signet.add_confidential("reader", &["--scopes", "users:read"]);
    let token = client.client_token_for(("reader", &secret), "users:read").await;
    assert_closed(client, &ROUTES, Some(&token), 403).await;
    for path in ["/admin/users".to_owned(), format!("/admin/users/{}", admin.id)] {
        let answer = client.get(&path).bearer_auth(&token).answer().await.expect(200);
        assert!(answer.body.contains(&admin.email), "{answer:?}");
    }

    // A user's token is another matter, even where a role gives the scope.
    admin.signet.cli_ok(&["roles", "add", "clerk", "--scopes", "users:read"], "");
    let options = ["--grants", "password", "--scopes", "users:read"];
    admin.signet.add_public("app", &options);
    let user = client.new_user().await;
    admin.signet.cli_ok(&["users", "grant-role", &user.email, "clerk"], "");
    let login = [
        ("username", &*user.email),
        ("password", PASSWORD),
        ("client_id", "app"),
        ("scope", "users:read"),
    ];
    let answer = client.form("/login", &login).await.expect(200).json();
    assert_eq!(answer["scope"], "users:read");
    assert_closed(client, &READING, answer["access_token"].as_str(), 403).await;
    // And what the client may ask for now counts.
    admin.patch("/admin/clients/reader", json!({ "scopes": ["other"] })).await.expect(200);
    assert_closed(client, &READING, Some(&token), 403).await;
}

on_every_backend!(a_user_comes_changes_and_goes, without_a_password_nobody_signs_in);

async fn a_user_comes_changes_and_goes(backend: Backend) {
    let admin = Admin::start(backend).await;
    let client = &admin.client;
    let body = json!({
        "email": "Ada@Example.com", "password": PASSWORD, "name": " Ada ",
        "roles": ["staff", "staff"], "email_verified": true, "metadata": { "plan": "gold" },
    });
    let added = admin.send("POST", "/admin/users", body).await.expect(201);
    let path = added.header("location").expect("where it is").to_owned();
    let (user, etag) = (added.json(), added.header("etag").expect("an ETag").to_owned());
    assert_eq!(path, format!("/admin/users/{}", user["id"].as_str().expect("an id")));
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for (member, value) in [
        ("email", json!("Ada@Example.com")),
        ("name", json!("Ada")),
        ("roles", json!(["staff"])),
        ("email_verified", json!(true)),
        ("disabled", json!(false)),
        ("metadata", json!({ "plan": "gold" })),
    ] {
        assert_eq!(user[member], value, "{user}");
    }
    let read = admin.get(&path).await.expect(200);
    assert_eq!((read.json(), read.header("etag")), (user, Some(&*etag)));
    for secret in ["hash", "$argon2", "password"] {
        assert!(!read.body.contains(secret), "{}", read.body);
    }

    let tokens = client.login("ada@example.com", PASSWORD).await;
    let patch = json!({ "name": null, "email": "ada@example.org", "roles": [] });
    let changed = admin.change("PATCH", &path, &etag, patch).await.expect(200);
    let user = changed.json();
    assert_eq!((&user["name"], &user["roles"]), (&Value::Null, &json!([])));
    assert_eq!(user["email"], "ada@example.org");
    // A new address has not been proven by anybody.
    assert_eq!(user["email_verified"], false);
    assert_eq!(user["metadata"], json!({ "plan": "gold" }));
    assert_ne!(changed.header("etag"), Some(&*etag));
    client.me(&tokens.access_token).await.expect(401);
    client.try_login("ada@example.com", PASSWORD).await.expect(400);
    let tokens = client.login("ada@example.org", PASSWORD).await;

    let disabled = admin.patch(&path, json!({ "disabled": true })).await.expect(200);
    assert_eq!(disabled.json()["disabled"], true);
    client.me(&tokens.access_token).await.expect(401);
    client.refresh(&tokens.refresh_token).await.expect_oauth_error(400, "invalid_grant");
    let refused = client.try_login("ada@example.org", PASSWORD).await.expect(400);
    assert_eq!(refused.json()["detail"], "Inactive user");
    admin.patch(&path, json!({ "disabled": false })).await.expect(200);
    let tokens = client.login("ada@example.org", PASSWORD).await;

    let password = format!("{path}/password");
    let body = json!({ "password": NEW_PASSWORD });
    admin.send("PUT", &password, body).await.expect(204);
    client.me(&tokens.access_token).await.expect(401);
    client.try_login("ada@example.org", PASSWORD).await.expect(400);
    let tokens = client.login("ada@example.org", NEW_PASSWORD).await;

    let etag = admin.etag(&path).await;
    admin.change("DELETE", &path, &etag, Value::Null).await.expect(204);
    admin.get(&path).await.expect_problem(404);
    admin.change("DELETE", &path, &etag, Value::Null).await.expect_problem(404);
    client.me(&tokens.access_token).await.expect(401);
    client.refresh(&tokens.refresh_token).await.expect_oauth_error(400, "invalid_grant");

    let events = admin.events(id_of(&path)).await;
    let by_admin: Vec<_> =
        events.iter().filter(|(_, actor, _)| *actor == format!("user:{}", admin.id)).collect();
    let told: Vec<_> = by_admin.iter().map(|(e, _, d)| (e.as_str(), d.as_deref())).collect();
    // Those of one second stand in no order.
    let mut expected = vec![
        ("user.created", Some("roles staff")),
        ("email.changed", None),
        ("user.role_revoked", Some("staff")),
        ("user.changed", Some("name, email_verified")),
        ("user.disabled", None),
        ("user.enabled", None),
        ("password.changed", None),
        ("user.deleted", None),
    ];
    let mut told = told;
    expected.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, expected);
}

async fn without_a_password_nobody_signs_in(backend: Backend) {
    let admin = Admin::start(backend).await;
    let body = json!({ "email": "ada@example.com" });
    let path = admin.send("POST", "/admin/users", body).await.expect(201);
    let path = path.header("location").expect("where it is").to_owned();
    for password in ["", "!", "x", PASSWORD] {
        let answer = admin.client.try_login("ada@example.com", password).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let body = json!({ "password": PASSWORD });
    admin.send("PUT", &format!("{path}/password"), body).await.expect(204);
    admin.client.login("ada@example.com", PASSWORD).await;
}

#[tokio::test]
async fn wrong_passwords_are_forgotten() {
    // Long enough that no machine is too slow to meet the wait.
    let builder = Signet::builder().set("login_limits.shortest_delay", "1m");
    let admin = Admin::of(builder.backend(Backend::PostgresRedis).start()).await;
    let client = &admin.client;
    let user = client.new_user().await;
    while client.try_login(&user.email, NEW_PASSWORD).await.status != 429 {}
    client.try_login(&user.email, PASSWORD).await.expect(429);
    let unlock = format!("/admin/users/{}/unlock", user.id);
    admin.request("POST", &unlock).answer().await.expect(204);
    client.login(&user.email, PASSWORD).await;
    let told = admin.events(&user.id).await;
    let by = (String::from("user.unlocked"), format!("user:{}", admin.id), None);
    assert!(told.contains(&by), "{told:?}");
    let nobody = "/admin/users/00000000-0000-0000-0000-000000000000/unlock";
    admin.request("POST", nobody).answer().await.expect_problem(404);
}

#[tokio::test]
async fn an_address_belongs_to_one() {
    let admin = Admin::start(Backend::Sqlite).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    admin.add_user("bob@example.com", json!({})).await;
    let body = json!({ "email": "ADA@example.com" });
    admin.send("POST", "/admin/users", body).await.expect_problem(409);
    admin.patch(&path, json!({ "email": "Bob@example.com" })).await.expect_problem(409);
    // One's own in another spelling is no conflict.
    let changed = admin.patch(&path, json!({ "email": "Ada@example.com" })).await.expect(200);
    assert_eq!(changed.json()["email"], "Ada@example.com");
}

#[tokio::test]
async fn bad_fields_are_named() {
    let admin = Admin::start(Backend::Sqlite).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    let etag = admin.etag(&path).await;
    let good = json!({ "email": "bob@example.com", "password": PASSWORD });
    for (field, value, when_created_alone) in [
        ("email", json!("nobody"), false),
        ("email", json!(null), false),
        ("email", json!(["bob@example.com"]), false),
        ("email", json!("a\u{0}@example.com"), false),
        ("name", json!(5), false),
        ("name", json!("x".repeat(201)), false),
        ("name", json!("a\u{0}b"), false),
        ("roles", json!("admin"), false),
        ("roles", json!(["Admin"]), false),
        ("roles", json!(["a b"]), false),
        ("roles", json!([1]), false),
        ("roles", json!((0..33).map(|n| format!("r{n}")).collect::<Vec<_>>()), false),
        ("disabled", json!("yes"), false),
        ("email_verified", json!(1), false),
        ("metadata", json!([]), false),
        ("metadata", json!({ "a": "x".repeat(17_000) }), false),
        ("metadata", json!({ "": 1 }), false),
        ("password", json!("short"), true),
        ("password", json!(null), true),
        ("password", json!("bob@example.com"), true),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = admin.send("POST", "/admin/users", body).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), [field], "{answer:?}");
        if !when_created_alone {
            let patch = json!({ field: value });
            let answer = admin.change("PATCH", &path, &etag, patch).await.expect_problem(400);
            assert_eq!(answer.problem_fields(), [field], "{answer:?}");
        }
    }
    for unknown in ["password_hash", "id", "version", "role", "Email", "\u{0}"] {
        for (method, at) in [("POST", "/admin/users"), ("PATCH", &*path)] {
            let mut body = if method == "POST" { good.clone() } else { json!({}) };
            body[unknown] = json!("x");
            let answer = admin.change(method, at, &etag, body).await.expect_problem(400);
            assert_eq!(answer.problem_fields(), [unknown], "{answer:?}");
        }
    }
    // Nothing of all that has happened.
    assert_eq!(admin.etag(&path).await, etag);
    assert!(!admin.get("/admin/users").await.body.contains("bob@"));
}

#[tokio::test]
async fn hostile_bodies_and_paths_are_problems() {
    let admin = Admin::start(Backend::PostgresSql).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    let etag = admin.etag(&path).await;
    let raw = async |method: &str, at: &str, media_type: &str, body: String| {
        let request = admin.request(method, at).header("if-match", &etag);
        request.header("content-type", media_type).body(body).answer().await
    };
    let (json, patch) = ("application/json", "application/merge-patch+json");
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let deep = format!("{{\"metadata\":{{\"a\":{}{}}}}}", "[".repeat(5000), "]".repeat(5000));
    let many: Vec<_> = (0..2000).map(|n| format!("\"m{n}\":1")).collect();
    let many = format!("{{{}}}", many.join(","));
    for (media_type, body, status) in [
        (json, "{".to_owned(), 400),
        (json, "[]".into(), 400),
        (json, "null".into(), 400),
        (json, "{\"name\":\"a\",\"name\":\"b\"}".into(), 400),
        (json, "{\"name\":\"a\",\"n\\u0061me\":\"b\"}".into(), 400),
        (json, deep, 400),
        (json, many, 400),
        (json, huge.clone(), 413),
        ("text/plain", "{}".into(), 415),
        ("application/x-www-form-urlencoded", "name=a".into(), 415),
    ] {
        for (method, at) in [("POST", "/admin/users"), ("PATCH", &*path)] {
            let answer = raw(method, at, media_type, body.clone()).await.expect_problem(status);
            assert!(answer.body.len() < 4096, "{} bytes", answer.body.len());
        }
    }
    raw("PATCH", &path, patch, "{\"name\":\"Ada\"}".into()).await.expect(200);
    raw("POST", "/admin/users", patch, "{}".into()).await.expect_problem(415);

    for id in ["x", "00000000-0000-0000-0000-000000000000", "%00", "%ff", "..%2f", &"a".repeat(900)]
    {
        for method in ["GET", "PATCH", "DELETE"] {
            let answer = raw(method, &format!("/admin/users/{id}"), json, "{}".into()).await;
            assert!([400, 404].contains(&answer.status), "{method} {id}: {answer:?}");
        }
    }
}
