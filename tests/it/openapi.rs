//! The OpenAPI document: the same from the command and the service, and complete.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::support::client::{Client, Send};
use crate::support::signet::Signet;

/// Every route of the contract that is served.
const ROUTES: &str = "
    GET    /.well-known/openid-configuration
    GET    /.well-known/oauth-authorization-server
    GET    /.well-known/jwks.json
    POST   /oauth2/token
    POST   /oauth2/revoke
    POST   /oauth2/introspect
    GET    /oauth2/userinfo
    POST   /oauth2/userinfo
    GET    /revocations
    GET    /revocations/stream
    POST   /signup
    POST   /login
    POST   /logout
    GET    /users/me
    PATCH  /users/me
    DELETE /users/me
    POST   /email/verification
    POST   /email/verify
    POST   /password/forgot
    POST   /password/reset
    POST   /users/me/password
    POST   /users/me/email
    GET    /users/me/sessions
    DELETE /users/me/sessions
    DELETE /users/me/sessions/{sid}
    GET    /admin/keys
    GET    /admin/keys/{kid}
    GET    /admin/keys/{kid}/public
    POST   /admin/keys/rotate
    POST   /admin/keys/{kid}/retire
    POST   /admin/keys/{kid}/revoke
    POST   /admin/keys/import
    POST   /admin/keys/rewrap
    GET    /admin/roles
    GET    /admin/roles/{name}
    PUT    /admin/roles/{name}
    DELETE /admin/roles/{name}
    GET    /admin/users
    POST   /admin/users
    GET    /admin/users/{id}
    PATCH  /admin/users/{id}
    DELETE /admin/users/{id}
    PUT    /admin/users/{id}/password
    GET    /admin/users/{id}/sessions
    DELETE /admin/users/{id}/sessions
    DELETE /admin/users/{id}/sessions/{sid}
    GET    /admin/clients
    POST   /admin/clients
    GET    /admin/clients/{client_id}
    PATCH  /admin/clients/{client_id}
    DELETE /admin/clients/{client_id}
    POST   /admin/clients/{client_id}/rotate-secret
    GET    /admin/sessions
    DELETE /admin/sessions/{sid}
    GET    /admin/audit
    GET    /health/live
    GET    /health/ready
    GET    /metrics
";

/// Routes that show the document, and need not be in it.
const ABOUT_ITSELF: [&str; 3] = ["/docs", "/docs/", "/openapi.json"];

fn routes() -> BTreeSet<(String, String)> {
    let words = |line: &str| {
        let (method, path) = line.trim().split_once(' ').expect("method and path");
        (method.to_owned(), path.trim().to_owned())
    };
    ROUTES.trim().lines().map(words).collect()
}

#[tokio::test]
async fn the_command_prints_what_the_service_shows() {
    let signet = Signet::shared();
    let printed = signet.cli_ok(&["openapi"], "");
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let served = Client::shared().get("/openapi.json").answer().await.expect(200).json();
    assert_eq!(printed, served);
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let document = Client::shared().get("/openapi.json").answer().await.expect(200).json();
    let (mut described, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (path, methods) in document["paths"].as_object().expect("paths") {
        if ABOUT_ITSELF.contains(&path.as_str()) {
            continue;
        }
        for (method, operation) in methods.as_object().expect("methods") {
            described.insert((method.to_uppercase(), path.clone()));
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            assert!(ids.insert(id), "{method} {path}: another operation has this id: {operation}");
            let text = |member: &str| operation[member].as_str().is_some_and(|t| !t.is_empty());
            assert!(text("summary") || text("description"), "{method} {path}: {operation}");
            let answers = operation["responses"].as_object().expect("responses");
            assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
        }
    }
    assert_eq!(described, routes());
}

#[tokio::test]
async fn every_described_route_is_served() {
    let client = Client::shared();
    for (method, path) in routes() {
        let method: Method = method.parse().expect("a method");
        let path = path.replace("{sid}", "01890000-0000-7000-8000-000000000000");
        // Its head alone: one of them is a stream.
        let answer = client.request(method.clone(), &path).send().await.expect("an answer");
        assert!(![404, 405].contains(&answer.status().as_u16()), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let document = Client::shared().get("/openapi.json").answer().await.expect(200).json();
    let text = document.to_string();
    let mut references = 0;
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().expect("a pointer");
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        references += 1;
    }
    assert!(references > 0);
}
