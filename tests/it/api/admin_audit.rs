//! /admin/audit: what is kept, in pages and by filters.

use serde_json::{Value, json};

use super::administration::{Admin, id_of};
use crate::support::client::Send;
use crate::support::on_every_backend;
use crate::support::signet::Backend;

on_every_backend!(events_are_found_newest_first, pages_are_complete);

async fn items(admin: &Admin, query: &str) -> Vec<Value> {
    let page = admin.get(&format!("/admin/audit?limit=200&{query}")).await.expect(200).json();
    assert_eq!(page["next_cursor"], Value::Null, "{page}");
    page["items"].as_array().expect("items").clone()
}

async fn events_are_found_newest_first(backend: Backend) {
    let admin = Admin::start(backend).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    let id = id_of(&path);
    let request = admin.request("PATCH", &path).header("if-match", "*");
    let request = request.header("x-request-id", "asked-by-a-test");
    let changed = request.json(&json!({ "name": "Ada Secret" })).answer().await.expect(200);
    let request_id = changed.header("x-request-id").expect("an id").to_owned();
    assert_ne!(request_id, "asked-by-a-test", "only a trusted proxy may name requests");

    let found = items(&admin, &format!("subject={id}&event=user.changed")).await;
    let [event] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (&event["actor"], &event["detail"]),
        (&json!(format!("user:{}", admin.id)), &json!("name"))
    );
    assert_eq!(event["address"], "127.0.0.1");
    assert_eq!(event["request_id"], request_id);
    let at = event["at"].as_str().expect("a time").to_owned();
    assert_eq!(items(&admin, &format!("actor={}&event=user.created", admin.id)).await.len(), 1);
    assert_eq!(items(&admin, &format!("subject={id}")).await.len(), 2);
    assert!(items(&admin, "event=no.such.event").await.is_empty());
    assert!(items(&admin, "subject=nobody").await.is_empty());

    let since = items(&admin, &format!("since={at}&subject={id}")).await;
    assert!(since.iter().any(|event| event["event"] == "user.changed"), "{since:?}");
    let until = items(&admin, &format!("until={at}&subject={id}")).await;
    assert!(until.iter().all(|event| event["event"] != "user.changed"), "{until:?}");
    assert!(items(&admin, "until=2020-01-01T00:00:00Z").await.is_empty());

    let all = items(&admin, "").await;
    let times: Vec<_> = all.iter().map(|event| event["at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
    assert!(!all.iter().any(|event| event.to_string().contains("Ada Secret")));
    for bad in ["since=yesterday", "until=1", "event=%00", "actor=a&actor=b", "other=1", "limit=x"]
    {
        admin.get(&format!("/admin/audit?{bad}")).await.expect_problem(400);
    }
    admin.request("DELETE", "/admin/audit").answer().await.expect_problem(405);
}

async fn pages_are_complete(backend: Backend) {
    let admin = Admin::start(backend).await;
    let path = admin.add_user("ada@example.com", json!({})).await;
    for n in 0..15 {
        let body = json!({ "name": format!("Ada {n}") });
        admin.change("PATCH", &path, "*", body).await.expect(200);
    }
    let query = format!("subject={}", id_of(&path));
    let expected = items(&admin, &query).await;
    assert_eq!(expected.len(), 16);
    // Newest first, though several of them happened within one second.
    let number = |event: &Value| {
        let (_, number) =
            event["request_id"].as_str().expect("an id").rsplit_once('-').expect("one");
        u64::from_str_radix(number, 16).expect("a number")
    };
    let numbers: Vec<_> = expected.iter().map(number).collect();
    assert!(numbers.is_sorted_by(|one, next| one > next), "{numbers:?}");
    for limit in [1, 4, 16] {
        let pages = format!("/admin/audit?{query}&limit={limit}");
        let mut round = 0;
        let found = admin
            .items(&pages, async |page| {
                assert!(page.len() <= limit && !page.is_empty());
                // What happens meanwhile is newer, or of a second that was not reached yet.
                let body = json!({ "email": format!("other-{limit}-{round}@example.com") });
                admin.send("POST", "/admin/users", body).await.expect(201);
                round += 1;
            })
            .await;
        assert_eq!(found, expected, "{limit}");
    }
}
