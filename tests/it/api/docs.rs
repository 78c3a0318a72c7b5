//! GET /docs and /openapi.json: inside the binary, and able to log in.

use serde_json::Value;

use crate::support::client::{Answer, Client, Send};
use crate::support::signet::Signet;

/// GET with at most one redirect to the folder's own page.
async fn page(client: &Client, path: &str) -> Answer {
    let answer = client.get(path).answer().await;
    match answer.header("location") {
        Some(location) if answer.status / 100 == 3 => {
            let location = location.to_owned();
            client.get(&location).answer().await.expect(200)
        }
        _ => answer.expect(200),
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let client = Client::shared();
    let answer = page(&client, "/docs").await;
    assert_eq!(answer.media_type(), "text/html");
    let mut assets = 0;
    for attribute in ["src=\"", "href=\""] {
        for rest in answer.body.split(attribute).skip(1) {
            let address = rest.split('"').next().unwrap_or_default();
            assert!(!address.contains("//"), "{address} is elsewhere");
            if address.is_empty() || address.starts_with('#') || address.starts_with("data:") {
                continue;
            }
            let path = match address.strip_prefix('/') {
                Some(_) => address.to_owned(),
                None => format!("/docs/{}", address.trim_start_matches("./")),
            };
            client.get(&path).answer().await.expect(200);
            assets += 1;
        }
    }
    assert!(assets > 2, "{}", answer.body);
}

#[tokio::test]
async fn the_authorize_button_knows_where_to_log_in() {
    let answer = Client::shared().get("/openapi.json").answer().await.expect(200);
    assert_eq!(answer.media_type(), "application/json");
    let document = answer.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    assert_eq!(document["info"]["title"], "Signet");
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    let flow = schemes
        .values()
        .find_map(|scheme| scheme.pointer("/flows/password"))
        .expect("a password flow");
    let address = flow["tokenUrl"].as_str().expect("its address");
    let issuer = Signet::shared().issuer();
    let path = address.strip_prefix(issuer).unwrap_or(address);
    assert!(["/login", "/oauth2/token"].contains(&path), "{address}");
    assert!(flow["scopes"].is_object(), "{flow}");

    // Whatever the document protects, it protects by a scheme that it describes.
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|path| path.as_object().expect("methods").values());
    let named: Vec<&String> = operations
        .filter_map(|operation| operation.get("security").and_then(Value::as_array))
        .flatten()
        .flat_map(|requirement| requirement.as_object().expect("names").keys())
        .collect();
    assert!(!named.is_empty());
    assert!(named.iter().all(|name| schemes.contains_key(*name)), "{named:?}");
}

#[tokio::test]
async fn they_can_be_switched_off() {
    let signet = Signet::builder().set("docs.enabled", "false").start();
    let client = Client::new(signet.base());
    for path in ["/docs", "/docs/", "/openapi.json"] {
        client.get(path).answer().await.expect_problem(404);
    }
}
