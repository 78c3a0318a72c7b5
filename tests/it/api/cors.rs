//! Which web pages may read which answers.

use reqwest::Method;

use crate::support::client::{Answer, Client, Send};
use crate::support::signet::Signet;

const OURS: &str = "https://app.example.com";
const THEIRS: &str = "https://evil.example";

/// Open to everybody.
const PUBLIC: [&str; 3] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
];

/// Open to the configured origins: the token, revocation, userinfo and account endpoints.
const CONFIGURED: [(&str, &str); 10] = [
    ("POST", "/oauth2/token"),
    ("POST", "/oauth2/revoke"),
    ("GET", "/oauth2/userinfo"),
    ("POST", "/signup"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/users/me"),
    ("PATCH", "/users/me"),
    ("POST", "/users/me/password"),
    ("DELETE", "/users/me/sessions"),
];

/// Open to none.
const CLOSED: [(&str, &str); 7] = [
    ("GET", "/admin/keys"),
    ("POST", "/admin/keys/rotate"),
    ("POST", "/oauth2/introspect"),
    ("GET", "/metrics"),
    ("GET", "/health/ready"),
    ("GET", "/openapi.json"),
    ("GET", "/revocations"),
];

async fn preflight(client: &Client, method: &str, path: &str, origin: &str) -> Answer {
    let request = client.request(Method::OPTIONS, path).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    let headers = "authorization,content-type";
    request.header("access-control-request-headers", headers).answer().await
}

async fn simple(client: &Client, method: &str, path: &str, origin: &str) -> Answer {
    let method = method.parse().expect("a method");
    client.request(method, path).header("origin", origin).answer().await
}

#[track_caller]
fn assert_allows(answer: &Answer, origin: Option<&str>) {
    assert_eq!(answer.header("access-control-allow-origin"), origin, "{answer:?}");
    // Tokens travel in headers, so no page ever needs cookies.
    assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer:?}");
}

fn service() -> Signet {
    let origins = format!("{OURS},https://other.example.com");
    Signet::builder().set("http.cors_origins", &origins).start()
}

#[tokio::test]
async fn metadata_and_keys_are_open_to_everybody() {
    let signet = service();
    for base in [signet.base(), Signet::shared().base()] {
        let client = Client::new(base);
        for path in PUBLIC {
            for origin in [OURS, THEIRS, "null"] {
                let answer = simple(&client, "GET", path, origin).await.expect(200);
                assert_allows(&answer, Some("*"));
                // A browser's reload adds these to what its page asks.
                let request = client.request(Method::OPTIONS, path).header("origin", origin);
                let request = request.header("access-control-request-method", "GET");
                let headers = "cache-control,pragma,if-none-match";
                let request = request.header("access-control-request-headers", headers);
                assert_allows(&request.answer().await.expect(200), Some("*"));
            }
        }
    }
}

#[tokio::test]
async fn configured_origins_reach_what_applications_need() {
    let signet = service();
    let client = Client::new(signet.base());
    for (method, path) in CONFIGURED {
        let answer = preflight(&client, method, path, OURS).await;
        assert!([200, 204].contains(&answer.status), "{method} {path}: {answer:?}");
        assert_allows(&answer, Some(OURS));
        let list = |name: &str| answer.header(name).unwrap_or_default().to_lowercase();
        let methods = list("access-control-allow-methods");
        assert!(methods.contains(&method.to_lowercase()), "{path}: {methods}");
        let headers = list("access-control-allow-headers");
        assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");

        // Errors too, or the page cannot tell what was wrong.
        let answer = simple(&client, method, path, OURS).await;
        assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
        assert_allows(&answer, Some(OURS));
        let vary = list_of(&answer, "vary");
        assert!(vary.contains("origin"), "{method} {path}: {vary}");
    }
}

/// All values of a header that may stand more than once.
fn list_of(answer: &Answer, name: &str) -> String {
    let values = answer.headers.get_all(name).iter();
    let values: Vec<_> = values.map(|value| value.to_str().unwrap().to_lowercase()).collect();
    values.join(",")
}

#[tokio::test]
async fn other_origins_reach_nothing_more() {
    let signet = service();
    let unconfigured = Signet::shared().base();
    for (base, origin) in [(signet.base(), THEIRS), (unconfigured, OURS)] {
        let client = Client::new(base);
        for (method, path) in CONFIGURED {
            assert_allows(&preflight(&client, method, path, origin).await, None);
            assert_allows(&simple(&client, method, path, origin).await, None);
        }
    }
}

#[tokio::test]
async fn what_pages_have_no_business_with_is_closed_to_all() {
    let signet = service();
    let client = Client::new(signet.base());
    for (method, path) in CLOSED {
        for origin in [OURS, THEIRS] {
            assert_allows(&preflight(&client, method, path, origin).await, None);
            assert_allows(&simple(&client, method, path, origin).await, None);
        }
    }
}

#[tokio::test]
async fn what_swagger_ui_sends_is_allowed() {
    let signet = service();
    let client = Client::new(signet.base());
    for path in ["/login", "/oauth2/token"] {
        let request = client.request(Method::OPTIONS, path).header("origin", OURS);
        let request = request.header("access-control-request-method", "POST");
        let wanted = "authorization,content-type,x-requested-with";
        let answer = request.header("access-control-request-headers", wanted).answer().await;
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        assert_allows(&answer, Some(OURS));
        let allowed = list_of(&answer, "access-control-allow-headers");
        for header in wanted.split(',') {
            assert!(allowed.split(',').any(|name| name.trim() == header), "{path}: {allowed}");
        }
    }
}

#[tokio::test]
async fn a_listed_origin_may_send_any_header() {
    let signet = service();
    let client = Client::new(signet.base());
    let wanted = "authorization,baggage,content-type,sentry-trace,traceparent,tracestate,x-b3-traceid,x-my-own";
    for (method, path) in CONFIGURED {
        for (origin, allowed) in [(OURS, true), (THEIRS, false)] {
            let request = client.request(Method::OPTIONS, path).header("origin", origin);
            let request = request.header("access-control-request-method", method);
            let answer = request.header("access-control-request-headers", wanted).answer().await;
            assert_eq!((200..300).contains(&answer.status), allowed, "{method} {path}: {answer:?}");
            assert_allows(&answer, allowed.then_some(OURS));
            let listed = list_of(&answer, "access-control-allow-headers");
            for header in wanted.split(',').filter(|_| allowed) {
                assert!(listed.split(',').any(|name| name.trim() == header), "{path}: {listed}");
            }
        }
    }
    // And one that needs a header to be allowed is let through with it.
    let request = client.get("/users/me").header("origin", OURS).header("traceparent", "00-1-2-01");
    assert_allows(&request.answer().await.expect(401), Some(OURS));
}

#[tokio::test]
async fn origins_of_hybrid_apps_and_of_one_label_are_let_in() {
    let origins = "capacitor://localhost,ionic://localhost,tauri://localhost,http://localhost,\
                   https://*.example.com,http://*.dev.example:5173";
    let signet = Signet::builder().set("http.cors_origins", origins).start();
    let client = Client::new(signet.base());
    for (origin, allowed) in [
        ("capacitor://localhost", true),
        ("ionic://localhost", true),
        ("tauri://localhost", true),
        ("http://localhost", true),
        ("https://app.example.com", true),
        ("https://pr-7.example.com", true),
        ("http://tenant.dev.example:5173", true),
        ("https://localhost", false),
        ("capacitor://evil", false),
        ("capacitor://localhost.evil.example", false),
        ("https://example.com", false),
        ("https://a.b.example.com", false),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("https://app.example.com.evil.example", false),
        ("https://evilexample.com", false),
        ("http://tenant.dev.example", false),
        ("null", false),
        ("file://", false),
    ] {
        for path in ["/oauth2/token", "/login", "/users/me"] {
            let method = if path == "/users/me" { "GET" } else { "POST" };
            let expected = allowed.then_some(origin);
            assert_allows(&preflight(&client, method, path, origin).await, expected);
            assert_allows(&simple(&client, method, path, origin).await, expected);
        }
        // Everything else is as closed to it as to others.
        assert_allows(&preflight(&client, "GET", "/admin/users", origin).await, None);
    }
}

#[test]
fn origins_that_would_never_match_are_refused() {
    for origin in [
        "null",
        "*",
        "https://*",
        "https://*.com",
        "https://*.*.example.com",
        "https://app.*.example",
        "https://app.example.com/",
        "capacitor://",
        "capacitor://localhost/",
        "file://",
        "localhost",
    ] {
        let signet = Signet::builder().set("http.cors_origins", origin).prepare();
        let output = signet.cli(&["config", "check"], "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("http.cors_origins"), "{origin}: {told}");
    }
}

#[tokio::test]
async fn a_refused_preflight_speaks_like_its_endpoint() {
    let signet = service();
    let client = Client::new(signet.base());
    for path in ["/login", "/oauth2/token", "/oauth2/revoke", "/oauth2/userinfo"] {
        let answer = preflight(&client, "POST", path, THEIRS).await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        assert_allows(&answer, None);
        let status = answer.status;
        let answer = answer.expect_oauth_error(status, "invalid_request");
        let body = answer.json();
        if path == "/login" {
            assert_eq!(body["detail"], body["error_description"], "{answer:?}");
        }
    }
    for path in ["/signup", "/users/me"] {
        let answer = preflight(&client, "POST", path, THEIRS).await;
        assert_allows(&answer, None);
        let status = answer.status;
        answer.expect_problem(status);
    }
}
