//! What every route has in common: errors of the framework in our clothes, request ids, headers
//! that protect browsers, HEAD.

use std::collections::HashSet;

use reqwest::Method;

use crate::support::client::{Answer, Client, Send};

const GET_ROUTES: [&str; 7] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
];

#[tokio::test]
async fn unknown_routes_are_not_found() {
    let client = Client::shared();
    for path in
        ["/", "/nothing", "/users", "/users/you", "/admin/nothing", "/health", "/../etc", "//"]
    {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            client.request(method, path).answer().await.expect_problem(404);
        }
    }
    // Their places are kept, and nothing stands there yet.
    for path in ["authorize", "par", "device_authorization", "register", "logout", "nothing"] {
        let answer = client.get(&format!("/oauth2/{path}")).answer().await.expect(404);
        assert!(answer.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let client = Client::shared();
    for (path, allowed) in [
        ("/signup", "POST"),
        ("/logout", "POST"),
        ("/users/me", "DELETE GET HEAD PATCH"),
        ("/users/me/password", "POST"),
        ("/users/me/sessions", "DELETE GET HEAD"),
        ("/.well-known/jwks.json", "GET HEAD"),
        ("/.well-known/openid-configuration", "GET HEAD"),
        ("/health/live", "GET HEAD"),
        ("/metrics", "GET HEAD"),
    ] {
        let answer = client.request(Method::PUT, path).answer().await.expect_problem(405);
        let allow = answer.header("allow").unwrap_or_default();
        let named: HashSet<_> =
            allow.split(',').map(str::trim).filter(|method| *method != "OPTIONS").collect();
        assert_eq!(named, allowed.split(' ').collect(), "{path}");
    }
}

#[tokio::test]
async fn every_answer_carries_a_request_id_of_its_own() {
    let client = Client::shared();
    let mut seen = HashSet::new();
    let requests = [
        client.get("/health/live"),
        client.get("/health/live"),
        client.get("/nothing"),
        client.get("/users/me"),
        client.get("/oauth2/token"),
        client.post("/oauth2/token"),
        client.post("/signup").body("x".repeat(1024 * 1024)),
        client.request(Method::HEAD, "/metrics"),
        client.request(Method::OPTIONS, "/oauth2/token"),
        client.get("/users/me").header("authorization", "Bearer nonsense"),
    ];
    for request in requests {
        let answer = request.answer().await;
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("none: {answer:?}"));
        assert!(!id.is_empty() && seen.insert(id.to_owned()), "{id} again: {answer:?}");
    }
}

#[tokio::test]
async fn every_answer_is_protected_from_sniffing_and_framing() {
    let client = Client::shared();
    let protected = |answer: Answer| {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            answer.header("x-frame-options") == Some("DENY")
                || policy.contains("frame-ancestors 'none'"),
            "{answer:?}"
        );
        // Signet does not end TLS here, so it must not speak for who does.
        assert_eq!(answer.header("strict-transport-security"), None);
    };
    for path in GET_ROUTES.into_iter().chain(["/docs/", "/nothing", "/users/me", "/oauth2/token"]) {
        protected(client.get(path).answer().await);
    }
    protected(client.post("/signup").body("{").answer().await);
}

#[tokio::test]
async fn head_is_served_where_get_is() {
    let client = Client::shared();
    for path in GET_ROUTES {
        let get = client.get(path).answer().await.expect(200);
        let head = client.request(Method::HEAD, path).answer().await.expect(200);
        assert_eq!(head.body, "", "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn odd_requests_are_answered_and_harm_nothing() {
    let client = Client::shared();
    for path in ["/%00", "/%ff", "/users/me/sessions/%2e%2e", "/users/me/sessions/not-an-id"] {
        let answer = client.request(Method::DELETE, path).answer().await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        assert!(answer.media_type().ends_with("json"), "{path}: {answer:?}");
    }
    let long = format!("/{}", "x".repeat(60_000));
    if let Ok(answer) = client.get(&long).try_answer().await {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    client.get("/health/live").answer().await.expect(200);
}
