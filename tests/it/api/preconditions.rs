//! If-Match behind a proxy that compresses, and what is said where it does not match.

use serde_json::{Value, json};

use super::administration::Admin;
use crate::support::client::{Answer, Send};
use crate::support::on_every_backend;
use crate::support::signet::Backend;

on_every_backend!(a_weakened_tag_is_as_good_and_a_wrong_one_is_named);

async fn put_role(admin: &Admin, headers: &[(&str, &str)], scope: &str) -> Answer {
    let request = admin.request("PUT", "/admin/roles/clerk").json(&json!({ "scope": scope }));
    let with = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
        request.header(*name, *value)
    };
    headers.iter().fold(request, with).answer().await
}

async fn a_weakened_tag_is_as_good_and_a_wrong_one_is_named(backend: Backend) {
    let admin = Admin::start(backend).await;
    let user = admin.add_user("ada@example.com", json!({})).await;
    let client = json!({ "client_id": "reports", "type": "confidential" });
    let added = admin.send("POST", "/admin/clients", client).await.expect(201);
    assert_eq!(added.header("cache-control"), Some("no-store, no-transform"));
    put_role(&admin, &[], "orders:read").await.expect(201);

    for (path, changes) in [
        (&*user, ["Ada", "Grace"].map(|name| json!({ "name": name }))),
        ("/admin/clients/reports", ["Ours", "Theirs"].map(|name| json!({ "name": name }))),
    ] {
        let seen = admin.etag(path).await;
        let [first, second] = changes;
        // nginx with gzip on makes the tag weak, and hands back what the caller then sends.
        let changed = admin.change("PATCH", path, &format!("W/{seen}"), first).await.expect(200);
        assert_eq!(changed.header("cache-control"), Some("no-store, no-transform"));
        let now = changed.header("etag").expect("an ETag").to_owned();
        assert!(now.starts_with('"') && now != seen, "{now}");
        let bare = seen.trim_matches('"');
        for sent in [&*seen, &format!("W/{seen}"), &format!("\"x\", W/{seen}"), bare, "W/*"] {
            let refused = admin.change("PATCH", path, sent, second.clone()).await;
            let detail = refused.expect_problem(412).json()["detail"].clone();
            let detail = detail.as_str().expect("text");
            assert!(detail.contains(sent) && detail.contains(&now), "{sent} {now}: {detail}");
        }
        let several = format!("\"x\", W/{now}");
        admin.change("PATCH", path, &several, second).await.expect(200);
        // What was sent is not repeated without end.
        let long = format!("\"{}\"", "x".repeat(2_000));
        let refused = admin.change("DELETE", path, &long, Value::Null).await.expect_problem(412);
        assert!(refused.body.len() < 600, "{refused:?}");
        let weak = format!("W/{}", admin.etag(path).await);
        admin.change("DELETE", path, &weak, Value::Null).await.expect(204);
    }

    let path = "/admin/roles/clerk";
    let seen = admin.etag(path).await;
    let weak = format!("W/{seen}");
    let changed = put_role(&admin, &[("if-match", &weak)], "orders:read a").await.expect(200);
    assert_eq!(changed.header("cache-control"), Some("no-store, no-transform"));
    let now = changed.header("etag").expect("an ETag").to_owned();
    for sent in [&seen, &weak] {
        let put = put_role(&admin, &[("if-match", sent)], "orders:read").await;
        let delete = admin.change("DELETE", path, sent, Value::Null).await;
        for refused in [put, delete] {
            let detail = refused.expect_problem(412).json()["detail"].clone();
            let detail = detail.as_str().expect("text");
            assert!(detail.contains(sent.as_str()) && detail.contains(&now), "{detail}");
        }
    }
    let path = format!("{path}?force=true");
    admin.change("DELETE", &path, &format!("W/{now}"), Value::Null).await.expect(204);
    let gone = put_role(&admin, &[("if-match", &now)], "orders:read").await.expect_problem(412);
    assert!(gone.json()["detail"].as_str().is_some_and(|text| text.contains(&now)), "{gone:?}");
}
