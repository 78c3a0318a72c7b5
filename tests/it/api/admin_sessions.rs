//! /admin/sessions and the sessions of one user.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::administration::{Admin, id_of};
use crate::support::client::{PASSWORD, Send};
use crate::support::fixtures::confidential;
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::signet::Backend;

on_every_backend!(
    sessions_of_a_user_are_seen_and_ended,
    all_sessions_are_listed_in_pages,
    what_is_not_there_is_not_found,
);

fn sids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["sid"].as_str().expect("a sid").to_owned()).collect()
}

fn sid_of(access_token: &str) -> String {
    Jwt::decode(access_token).claims["sid"].as_str().expect("a sid").to_owned()
}

async fn sessions(admin: &Admin, path: &str) -> Vec<Value> {
    let body = admin.get(path).await.expect(200).json();
    assert_eq!(body["next_cursor"], Value::Null, "{body}");
    body["items"].as_array().expect("items").clone()
}

async fn sessions_of_a_user_are_seen_and_ended(backend: Backend) {
    let admin = Admin::start(backend).await;
    let client = &admin.client;
    let path = admin.add_user("ada@example.com", json!({})).await;
    let id = id_of(&path).to_owned();
    let mut logins = Vec::new();
    for _ in 0..3 {
        logins.push(client.login("ada@example.com", PASSWORD).await);
    }
    let of_user = format!("{path}/sessions");
    let all_of_user = format!("/admin/sessions?user_id={id}");
    let found = sessions(&admin, &of_user).await;
    assert_eq!(found, sessions(&admin, &all_of_user).await);
    let expected: BTreeSet<_> = logins.iter().map(|login| sid_of(&login.access_token)).collect();
    assert_eq!(sids(&found).into_iter().collect::<BTreeSet<_>>(), expected);
    for session in &found {
        assert_eq!(session["user_id"], id.as_str(), "{session}");
        assert_eq!(session["client_id"], "signet-first-party", "{session}");
        assert_eq!(session["current"], false, "{session}");
        for time in ["created_at", "last_used_at", "expires_at"] {
            assert!(session[time].as_str().is_some_and(|t| t.ends_with('Z')), "{session}");
        }
        assert!(session["scope"].is_string(), "{session}");
    }
    let own = sessions(&admin, &format!("/admin/sessions?user_id={}", admin.id)).await;
    assert_eq!(own[0]["current"], true, "{own:?}");

    let [first, second] = [0, 1].map(|n| sid_of(&logins[n].access_token));
    let end = format!("/admin/sessions/{first}?user_id={id}");
    admin.request("DELETE", &end).answer().await.expect(204);
    admin.request("DELETE", &end).answer().await.expect_problem(404);
    let end = format!("{of_user}/{second}");
    admin.request("DELETE", &end).answer().await.expect(204);
    admin.request("DELETE", &end).answer().await.expect_problem(404);
    for (login, alive) in logins.iter().zip([false, false, true]) {
        let status = if alive { 200 } else { 401 };
        client.me(&login.access_token).await.expect(status);
        let refreshed = client.refresh(&login.refresh_token).await;
        assert_eq!(refreshed.status, if alive { 200 } else { 400 }, "{refreshed:?}");
    }
    assert_eq!(sids(&sessions(&admin, &of_user).await), [sid_of(&logins[2].access_token)]);

    admin.request("DELETE", &of_user).answer().await.expect(204);
    client.me(&logins[2].access_token).await.expect(401);
    assert!(sessions(&admin, &of_user).await.is_empty());
    client.login("ada@example.com", PASSWORD).await;

    let events = admin.events(&id).await;
    let by = format!("user:{}", admin.id);
    let count = |name| events.iter().filter(|(e, a, _)| e == name && *a == by).count();
    assert_eq!((count("session.revoked"), count("sessions.revoked")), (2, 1), "{events:?}");
}

async fn all_sessions_are_listed_in_pages(backend: Backend) {
    let admin = Admin::start(backend).await;
    let mut expected = BTreeSet::from([sid_of(&admin.token)]);
    for n in 0..4 {
        let email = format!("user-of-many-{n}@example.com");
        admin.add_user(&email, json!({})).await;
        for _ in 0..4 {
            let login = admin.client.login(&email, PASSWORD).await;
            expected.insert(sid_of(&login.access_token));
        }
    }
    for limit in [3, 7, 200] {
        let path = format!("/admin/sessions?limit={limit}");
        let mut started = 0;
        let items = admin
            .items(&path, async |_| {
                // Whatever comes meanwhile, what was there is shown.
                if started < 3 {
                    admin.client.login("user-of-many-0@example.com", PASSWORD).await;
                    started += 1;
                }
            })
            .await;
        let shown: BTreeSet<_> = sids(&items).into_iter().collect();
        assert!(expected.is_subset(&shown), "{limit}: {shown:?}");
        if backend != Backend::PostgresRedis {
            assert_eq!(shown.len(), items.len(), "something twice");
        }
        let current: Vec<_> = items.iter().filter(|item| item["current"] == true).collect();
        assert!(!current.is_empty() && current.iter().all(|item| item["user_id"] == *admin.id));
    }
}

async fn what_is_not_there_is_not_found(backend: Backend) {
    let admin = Admin::start(backend).await;
    let sid = sid_of(&admin.token);
    let nobody = "00000000-0000-0000-0000-000000000000";
    let other = admin.add_user("ada@example.com", json!({})).await;
    let other = id_of(&other);
    for path in [
        format!("/admin/sessions/{sid}?user_id={other}"),
        format!("/admin/sessions/{nobody}?user_id={other}"),
        format!("/admin/sessions/x?user_id={other}"),
        format!("/admin/users/{other}/sessions/{sid}"),
        format!("/admin/users/x/sessions/{sid}"),
        format!("/admin/users/{nobody}/sessions"),
        "/admin/users/x/sessions".to_owned(),
    ] {
        admin.request("DELETE", &path).answer().await.expect_problem(404);
    }
    for path in [format!("/admin/users/{nobody}/sessions"), "/admin/users/x/sessions".into()] {
        admin.get(&path).await.expect_problem(404);
    }
    admin.get(&format!("/admin/sessions?user_id={nobody}")).await.expect_problem(404);
    for query in ["user_id=x", "cursor=x", "cursor=czp4", "limit=0", "other=1"] {
        admin.get(&format!("/admin/sessions?{query}")).await.expect_problem(400);
    }
    let unnamed = format!("/admin/sessions/{sid}");
    let answer = admin.request("DELETE", &unnamed).answer().await.expect_problem(400);
    assert_eq!(answer.problem_fields(), ["user_id"]);
    // Nobody was harmed.
    admin.get("/admin/sessions").await.expect(200);
}

#[tokio::test]
async fn introspection_knows_at_once() {
    let admin = Admin::start(Backend::PostgresRedis).await;
    let (name, _) = confidential();
    let secret = admin.signet.add_confidential(name, &["--grants", "client_credentials"]);
    let path = admin.add_user("ada@example.com", json!({})).await;
    let login = async || admin.client.login("ada@example.com", PASSWORD).await.access_token;
    let is_active = async |token: &str| admin.client.is_active((name, &secret), token).await;
    let token = login().await;
    assert!(is_active(&token).await);
    admin.patch(&path, json!({ "disabled": true })).await.expect(200);
    assert!(!is_active(&token).await);
    admin.patch(&path, json!({ "disabled": false })).await.expect(200);
    let token = login().await;
    let etag = admin.etag(&path).await;
    admin.change("DELETE", &path, &etag, Value::Null).await.expect(204);
    assert!(!is_active(&token).await);
}
