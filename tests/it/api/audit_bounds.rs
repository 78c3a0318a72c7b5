//! What anybody can cause and changes nothing: little of it is logged, and less is kept.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use super::administration::Admin;
use crate::support::client::{Client, Send};
use crate::support::on_every_backend;
use crate::support::signet::Backend;

on_every_backend!(
    who_is_refused_at_admin_is_recorded_once_an_hour,
    refusals_are_recorded_once_an_hour_for_a_kind_and_user_or_client,
);

async fn events(admin: &Admin, query: &str) -> Vec<Value> {
    let page = admin.get(&format!("/admin/audit?limit=200&{query}")).await.expect(200).json();
    page["items"].as_array().expect("items").clone()
}

async fn who_is_refused_at_admin_is_recorded_once_an_hour(backend: Backend) {
    let admin = Admin::start(backend).await;
    let user = admin.client.new_user().await;
    let secret = admin.signet.add_confidential("orders", &["--scopes", "read"]);
    let client_token = admin.client.client_token(("orders", &secret)).await;
    let start = Instant::now();
    for _ in 0..30 {
        for token in [&user.tokens.access_token, &client_token] {
            let refused = admin.client.get("/admin/users").bearer_auth(token).answer().await;
            refused.expect_problem(403);
            let change = admin.client.request(Method::DELETE, "/admin/users/x").bearer_auth(token);
            change.answer().await.expect_problem(403);
        }
        // Nobody is known to be refused here.
        let nobody = admin.client.get("/admin/users").bearer_auth("garbage").answer().await;
        nobody.expect_problem(401);
    }
    let logged = admin.signet.output().matches("admin.refused").count() as u64;
    assert!((1..=start.elapsed().as_secs() + 2).contains(&logged), "{logged} lines");
    let mut kept = events(&admin, "event=admin.refused").await;
    kept.sort_by_key(|event| event["actor"].as_str().map(str::to_owned));
    let [client, user_event] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!(client["actor"], "client:orders");
    assert_eq!(user_event["actor"], format!("user:{}", user.id));
    for event in [client, user_event] {
        assert_eq!(event["detail"], "GET /admin/users", "{event}");
        assert_eq!(event["address"], "127.0.0.1", "{event}");
    }
    assert_eq!(
        events(&admin, &format!("actor=user:{}&event=admin.refused", user.id)).await.len(),
        1
    );
}

async fn refusals_are_recorded_once_an_hour_for_a_kind_and_user_or_client(backend: Backend) {
    let admin = Admin::start(backend).await;
    let [ann, bob] = [admin.client.new_user().await, admin.client.new_user().await];
    admin.signet.add_confidential("orders", &[]);
    let ended = |token: &str| admin.client.post("/logout").bearer_auth(token).answer();
    for user in [&ann, &bob] {
        ended(&user.tokens.access_token).await.expect(204);
    }
    let start = Instant::now();
    for number in 0..9 {
        for user in [&ann, &bob] {
            admin.client.try_login(&user.email, "thirteen yellow wagons").await.expect(400);
            admin.client.refresh(&user.tokens.refresh_token).await.expect(400);
        }
        let nobody = format!("nobody-{number}@example.com");
        admin.client.try_login(&nobody, "thirteen yellow wagons").await.expect(400);
        for client in ["orders", "nobody"] {
            let fields = [("grant_type", "client_credentials")];
            admin.client.token_as((client, "wrong"), &fields).await.expect(401);
        }
        let body = json!({ "email": nobody });
        admin.client.post("/password/forgot").json(&body).answer().await.expect(202);
    }
    let seconds = start.elapsed().as_secs();
    let output = admin.signet.output();
    for (kind, rows) in [
        ("login.refused", 3),
        ("refresh.refused", 2),
        ("client.refused", 2),
        ("password.reset_asked", 1),
    ] {
        let logged = output.matches(kind).count() as u64;
        assert!((1..=seconds + 2).contains(&logged), "{kind}: {logged} lines");
        // Refused logins are recorded beside the answer.
        let mut kept = Vec::new();
        for _ in 0..200 {
            kept = events(&admin, &format!("event={kind}")).await;
            if kept.len() >= rows {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(kept.len(), rows, "{kind}: {kept:?}");
    }
    for user in [&ann, &bob] {
        for kind in ["login.refused", "refresh.refused"] {
            let query = format!("event={kind}&subject={}", user.id);
            assert_eq!(events(&admin, &query).await.len(), 1, "{kind}");
        }
    }
    assert_eq!(events(&admin, "event=client.refused&subject=orders").await.len(), 1);
}

#[tokio::test]
async fn what_users_call_themselves_is_logged_and_not_kept() {
    let admin = Admin::start(Backend::Sqlite).await;
    let user = admin.client.new_user().await;
    let rename = async |client: &Client, name: &str| {
        let request = client.request(Method::PATCH, "/users/me");
        let request = request.bearer_auth(&user.tokens.access_token).json(&json!({ "name": name }));
        request.answer().await.expect(200);
    };
    for name in ["Ann", "Anna", "Anne"] {
        rename(&admin.client, name).await;
    }
    let line = |line: &&str| line.contains("user.changed") && line.contains(&user.id);
    assert_eq!(admin.signet.output().lines().filter(line).count(), 3);
    let query = format!("event=user.changed&subject={}", user.id);
    assert!(events(&admin, &query).await.is_empty());
    // An administrator's change is kept.
    let body = json!({ "name": "Ann Other" });
    admin.change("PATCH", &format!("/admin/users/{}", user.id), "*", body).await.expect(200);
    assert_eq!(events(&admin, &query).await.len(), 1);
}
