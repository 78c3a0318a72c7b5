//! /admin/roles: who may, conditional changes, refusals, the audit trail.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::signet::{Backend, Signet};

/// An instance with an administrator.
struct Service {
    signet: Signet,
    client: Client,
    id: String,
    token: String,
}

const ADMIN: &str = "boss@example.com";

impl Service {
    async fn start(builder: crate::support::signet::Builder) -> Self {
        let signet = builder.start();
        let add = ["users", "add", ADMIN, "--password-stdin", "--roles", "admin"];
        let id = signet.cli_json(&add, PASSWORD)["id"].as_str().expect("an id").to_owned();
        let client = Client::new(signet.base());
        let token = client.login_as_administrator(ADMIN, PASSWORD).await.access_token;
        Self { signet, client, id, token }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).answer().await
    }

    async fn put(&self, name: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let request = self.request(Method::PUT, &format!("/admin/roles/{name}")).json(&body);
        let with =
            |request: RequestBuilder, (name, value): &(&str, &str)| request.header(*name, *value);
        headers.iter().fold(request, with).answer().await
    }

    async fn delete(&self, path: &str, etag: Option<&str>) -> Answer {
        let request = self.request(Method::DELETE, &format!("/admin/roles/{path}"));
        match etag {
            Some(etag) => request.header("if-match", etag).answer().await,
            None => request.answer().await,
        }
    }
}

fn etag(answer: &Answer) -> String {
    let etag = answer.header("etag").expect("an ETag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");
    etag
}

on_every_backend!(roles_are_put_read_and_removed);

async fn roles_are_put_read_and_removed(backend: Backend) {
    let service = Service::start(Signet::builder().backend(backend)).await;
    let clerk = json!({ "scope": "orders:read orders:write", "description": "Takes orders" });
    let created = service.put("clerk", &[], clerk.clone()).await.expect(201);
    assert_eq!(created.header("cache-control"), Some("no-store, no-transform"));
    let first = etag(&created);
    let read = service.get("/admin/roles/clerk").await.expect(200);
    assert_eq!((read.json()["name"].as_str(), etag(&read)), (Some("clerk"), first.clone()));
    assert_eq!(created.json()["updated_at"], read.json()["updated_at"]);
    assert_eq!(created.json()["holders"], 0);
    assert_eq!(read.json()["scope"], clerk["scope"]);
    assert_eq!(read.json()["built_in"], false);

    // Blindly, nothing is overwritten.
    service.put("clerk", &[], clerk.clone()).await.expect_problem(428);
    service.put("clerk", &[("if-none-match", "*")], clerk.clone()).await.expect_problem(412);
    for none in ["\"0-0\"", "W/\"1-1\"", "nonsense", first.trim_matches('"')] {
        service.put("clerk", &[("if-match", none)], clerk.clone()).await.expect_problem(412);
        service.delete("clerk", Some(none)).await.expect_problem(412);
    }
    service.put("absent", &[("if-match", "*")], clerk.clone()).await.expect_problem(412);
    service.put("absent", &[("if-match", &first)], clerk.clone()).await.expect_problem(412);
    let both = [("if-match", "*"), ("if-none-match", "*")];
    service.put("clerk", &both, clerk.clone()).await.expect_problem(400);

    let either = format!("\"0-0\", {first}");
    let more = json!({ "scope": "orders:read orders:write parcels" });
    let replaced = service.put("clerk", &[("if-match", &either)], more.clone()).await.expect(200);
    assert_eq!(replaced.json()["description"], Value::Null);
    let second = etag(&replaced);
    assert_ne!(first, second);
    service.put("clerk", &[("if-match", &first)], more).await.expect_problem(412);

    let list = service.get("/admin/roles").await.expect(200).json();
    let names: Vec<_> = list["roles"].as_array().expect("roles").iter().collect();
    assert_eq!(names.iter().map(|role| &role["name"]).collect::<Vec<_>>(), ["admin", "clerk"]);
    assert_eq!(names[0]["built_in"], true);

    service.delete("clerk", None).await.expect_problem(428);
    service.delete("clerk", Some(&first)).await.expect_problem(412);
    let refused = service.delete("clerk", Some(&second)).await.expect_problem(409).json();
    assert!(refused["detail"].as_str().expect("text").contains("orders:read"), "{refused}");
    service.delete("clerk?force=true", Some(&second)).await.expect(204);
    service.get("/admin/roles/clerk").await.expect_problem(404);
    service.delete("clerk", Some("*")).await.expect_problem(404);
    // One of the same name is another role: what was read of the first does not match it.
    let again = service.put("clerk", &[("if-none-match", "*")], clerk).await.expect(201);
    assert_ne!(etag(&again), first);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let service = Service::start(Signet::builder()).await;
    for (name, body, fields) in [
        ("clerk", json!({}), vec!["scope"]),
        ("clerk", json!({ "scope": null }), vec!["scope"]),
        ("clerk", json!({ "scope": ["a"] }), vec!["scope"]),
        ("clerk", json!({ "scope": "a\"b" }), vec!["scope"]),
        (
            "clerk",
            json!({ "scope": "a", "description": 1, "force": 1 }),
            vec!["description", "force"],
        ),
    ] {
        let mut complained =
            service.put(name, &[], body).await.expect_problem(400).problem_fields();
        complained.sort();
        assert_eq!(complained, fields);
    }
    let body = json!({ "scope": "a" });
    for name in ["Clerk", "a%20b", "a%00b", "%C3%A4", &"x".repeat(65)] {
        service.put(name, &[], body.clone()).await.expect_problem(400);
        service.get(&format!("/admin/roles/{name}")).await.expect_problem(404);
        service.delete(name, Some("*")).await.expect_problem(404);
    }
    let long = json!({ "scope": "a", "description": "x".repeat(201) });
    let complained = service.put("clerk", &[], long).await.expect_problem(400).problem_fields();
    assert_eq!(complained, ["description"]);
    for word in ["openid", "profile", "email"] {
        let closes = json!({ "scope": format!("orders:read {word}"), "force": true });
        service.put("clerk", &[], closes).await.expect_problem(400);
    }
    for query in ["force=maybe", "forced=true", "force=true&force=true"] {
        service.delete(&format!("admin?{query}"), Some("*")).await.expect_problem(400);
        let anybody =
            service.client.request(Method::DELETE, &format!("/admin/roles/admin?{query}"));
        anybody.answer().await.expect_problem(401);
    }

    // The built-in role stays what it is.
    service.delete("admin?force=true", Some("*")).await.expect_problem(409);
    let less = json!({ "scope": "signet:admin", "force": true });
    service.put("admin", &[("if-match", "*")], less).await.expect_problem(409);
    let more = json!({ "scope": "signet:admin users:read reports" });
    service.put("admin", &[("if-match", "*")], more).await.expect(200);

    // A word that everybody would hold is not let go of by the way.
    let refused = json!({ "scope": "signet:admin users:read" });
    let refused = service.put("admin", &[("if-match", "*")], refused).await.expect_problem(409);
    let detail = refused.json()["detail"].as_str().expect("text").to_owned();
    assert!(detail.contains("reports") && !detail.contains("--"), "{detail}");
    let forced = json!({ "scope": "signet:admin users:read", "force": true });
    service.put("admin", &[("if-match", "*")], forced).await.expect(200);
}

#[tokio::test]
async fn only_administrators_come_in_and_a_role_may_make_one() {
    let service = Service::start(Signet::builder()).await;
    let (client, signet) = (&service.client, &service.signet);
    let closed = async |token: Option<&str>, status: u16| {
        for (method, path) in [
            (Method::GET, "/admin/roles"),
            (Method::GET, "/admin/roles/admin"),
            (Method::PUT, "/admin/roles/clerk"),
            (Method::DELETE, "/admin/roles/admin"),
        ] {
            let mut request = client.request(method, path).json(&json!({}));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.answer().await.expect_problem(status);
            let challenge = answer.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Bearer "), "{challenge}");
        }
    };
    closed(None, 401).await;
    let user = client.new_user().await;
    closed(Some(&user.tokens.access_token), 403).await;

    // Another role that carries the scope makes an administrator, as long as it does.
    signet.cli_ok(&["roles", "add", "operator", "--scopes", "signet:admin"], "");
    signet.cli_ok(&["users", "grant-role", &user.email, "operator"], "");
    closed(Some(&user.tokens.access_token), 403).await;
    let token = client.login_as_administrator(&user.email, PASSWORD).await.access_token;
    client.get("/admin/roles").bearer_auth(&token).answer().await.expect(200);
    signet.cli_ok(&["users", "revoke-role", &user.email, "operator"], "");
    closed(Some(&token), 403).await;
    signet.cli_ok(&["users", "grant-role", &user.email, "operator"], "");
    client.get("/admin/roles").bearer_auth(&token).answer().await.expect(200);
    signet.cli_ok(&["roles", "set", "operator", "--scopes", ""], "");
    closed(Some(&token), 403).await;
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_finished_by_the_same_request() {
    let database = Postgres::shared().fresh_database();
    let service = Service::start(Signet::builder().postgres(&database)).await;
    let clerk = json!({ "scope": "orders:read" });
    let etag = etag(&service.put("clerk", &[], clerk.clone()).await.expect(201));
    service.signet.cli_ok(&["users", "grant-role", ADMIN, "clerk"], "");
    Postgres::shared().sql(&database, "DELETE FROM roles WHERE name = 'clerk'");
    service.delete("clerk", None).await.expect_problem(404);
    service.delete("clerk", Some(&etag)).await.expect_problem(409);
    service.put("clerk", &[("if-match", &etag)], clerk.clone()).await.expect_problem(412);
    service.delete("clerk?force=true", Some(&etag)).await.expect(204);
    service.delete("clerk?force=true", Some(&etag)).await.expect_problem(404);
    let events = "SELECT detail FROM audit_events WHERE event = 'role.deleted'";
    assert_eq!(Postgres::shared().sql(&database, events).trim(), "taken from 1 user");
    let again = service.put("clerk", &[], clerk).await.expect(201);
    assert_eq!(again.json()["holders"], 0);
}

#[tokio::test]
async fn nobody_administers_unasked_by_a_name_that_was_there_before() {
    let service = Service::start(Signet::builder()).await;
    let user = service.client.new_user().await;
    service.signet.cli_ok(&["users", "grant-role", &user.email, "operator"], "");
    for word in ["signet:admin", "users:read"] {
        let refused = service.put("operator", &[], json!({ "scope": word })).await;
        let refused = refused.expect_problem(409).json();
        let detail = refused["detail"].as_str().expect("text");
        assert!(detail.starts_with("1 user has") && detail.contains(word), "{detail}");
        let add = ["roles", "add", "operator", "--scopes", word];
        let output = service.signet.cli(&add, "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("--force"), "{told}");
    }
    let forced = json!({ "scope": "signet:admin", "force": true });
    let created = service.put("operator", &[], forced).await.expect(201).json();
    assert_eq!((&created["name"], &created["holders"]), (&json!("operator"), &json!(1)));
    service.signet.cli_ok(&["users", "grant-role", &user.email, "packer"], "");
    let told = service.put("packer", &[], json!({ "scope": "parcels" })).await.expect(201);
    assert_eq!(told.json()["holders"], 1);
}

#[tokio::test]
async fn every_change_leaves_an_event() {
    let database = Postgres::shared().fresh_database();
    let service = Service::start(Signet::builder().postgres(&database)).await;
    let events = || {
        let sql = "SELECT event, actor, subject, detail FROM audit_events \
                   WHERE event LIKE 'role.%' OR event LIKE 'user.role%' OR event = 'user.changed'";
        let rows = Postgres::shared().sql(&database, sql);
        let mut rows: Vec<_> = rows.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    };
    let (id, signet) = (&service.id, &service.signet);
    let clerk = |scope: &str| json!({ "scope": scope });
    service.put("clerk", &[], clerk("orders:read")).await.expect(201);
    service.put("clerk", &[("if-match", "*")], clerk("orders:read more")).await.expect(200);
    signet.cli_ok(&["users", "grant-role", ADMIN, "clerk"], "");
    signet.cli_ok(&["users", "revoke-role", ADMIN, "clerk"], "");
    signet.cli_ok(&["users", "grant-role", ADMIN, "clerk"], "");
    service.delete("clerk?force=true", Some("*")).await.expect(204);
    signet.cli_ok(&["users", "set-metadata", ADMIN], r#"{"plan": "gold"}"#);
    // Nothing changes, so nothing is recorded.
    signet.cli_ok(&["users", "set-metadata", ADMIN], r#"{"plan": "gold"}"#);
    signet.cli_ok(&["users", "revoke-role", ADMIN, "clerk"], "");
    let (given, taken) =
        (format!("user.role_granted|cli|{id}|clerk"), format!("user.role_revoked|cli|{id}|clerk"));
    let mut expected = [
        format!("role.created|user:{id}|clerk|scope: orders:read; closes: orders:read"),
        format!("role.changed|user:{id}|clerk|scope: orders:read more; closes: more"),
        given.clone(),
        taken,
        given,
        format!("role.deleted|user:{id}|clerk|taken from 1 user; opens: orders:read more"),
        format!("user.changed|cli|{id}|metadata"),
    ];
    expected.sort();
    assert_eq!(events(), expected);
}
