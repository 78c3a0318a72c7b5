//! The log: a line a request that can be found by the id in the answer.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::{Client, PASSWORD, Send};
use crate::support::process::poll;
use crate::support::signet::Signet;

/// The line of the log with this request id, once it is written.
fn line_with(signet: &Signet, id: &str) -> String {
    let find = || signet.output().lines().find(|line| line.contains(id)).map(str::to_owned);
    poll(Duration::from_secs(5), find).unwrap_or_else(|| panic!("no {id}: {}", signet.output()))
}

#[tokio::test]
async fn text_and_json_lines_carry_the_request_id() {
    for format in ["text", "json"] {
        let signet = Signet::builder().set("log.format", format).start();
        let client = Client::new(signet.base());
        let answer = client.try_login("nobody@example.com", PASSWORD).await.expect(400);
        let line = line_with(&signet, answer.header("x-request-id").expect("an id"));
        if format == "json" {
            let line: Value = serde_json::from_str(&line).expect("one JSON object a line");
            assert!(line.is_object(), "{line}");
        }
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_names_requests() {
    for (proxies, trusted) in [("", false), ("10.0.0.0/8", false), ("127.0.0.1", true)] {
        let signet = Signet::builder().set("http.trusted_proxies", proxies).start();
        let client = Client::new(signet.base());
        for path in ["/health/live", "/login", "/no/such/path"] {
            let request = client.get(path).header("x-request-id", "named-by-the-caller");
            let answer = request.answer().await;
            let id = answer.header("x-request-id").expect("an id");
            assert_eq!(id == "named-by-the-caller", trusted, "{proxies} {path}");
        }
        if trusted {
            line_with(&signet, "named-by-the-caller");
        } else {
            assert!(!signet.output().contains("named-by-the-caller"));
        }
        // One that could be mistaken for something else in a log is nobody's.
        let request = client.get("/health/live").header("x-request-id", "a b");
        assert_ne!(request.answer().await.header("x-request-id"), Some("a b"));
    }
}

#[tokio::test]
async fn a_forwarded_address_of_a_stranger_is_warned_of_once() {
    for (proxies, warnings) in [("", 1), ("127.0.0.1", 0)] {
        let signet = Signet::builder().set("http.trusted_proxies", proxies).start();
        let client = Client::new(signet.base());
        client.get("/health/live").answer().await.expect(200);
        assert!(!signet.output().contains("X-Forwarded-For"), "{}", signet.output());
        for _ in 0..3 {
            let request = client.get("/health/live").header("x-forwarded-for", "203.0.113.9");
            request.answer().await.expect(200);
        }
        let answer = client.try_login("nobody@example.com", PASSWORD).await.expect(400);
        line_with(&signet, answer.header("x-request-id").expect("an id"));
        let output = signet.output();
        assert_eq!(output.matches("X-Forwarded-For is ignored").count(), warnings, "{output}");
        assert_eq!(output.contains("http.trusted_proxies"), warnings == 1, "{output}");
        assert!(!output.contains("203.0.113.9"), "nobody vouches for it: {output}");
    }
}

#[tokio::test]
async fn a_quiet_level_is_quiet() {
    let signet = Signet::builder().set("log.level", "error").start();
    let client = Client::new(signet.base());
    let answer = client.try_login("nobody@example.com", PASSWORD).await.expect(400);
    let id = answer.header("x-request-id").expect("an id").to_owned();
    assert!(!signet.output().contains(&id), "{}", signet.output());
}
