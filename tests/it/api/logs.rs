//! The log: a line a request that can be found by the id in the answer.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::{Client, PASSWORD};
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
async fn a_quiet_level_is_quiet() {
    let signet = Signet::builder().set("log.level", "error").start();
    let client = Client::new(signet.base());
    let answer = client.try_login("nobody@example.com", PASSWORD).await.expect(400);
    let id = answer.header("x-request-id").expect("an id").to_owned();
    assert!(!signet.output().contains(&id), "{}", signet.output());
}
