//! What operators watch: health and metrics.

use crate::support::client::{Client, Send};
use crate::support::signet::Signet;

#[tokio::test]
async fn a_running_service_is_alive_and_ready() {
    let client = Client::shared();
    for path in ["/health/live", "/health/ready"] {
        let answer = client.get(path).answer().await.expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
}

/// Checks one line of the Prometheus text format, version 0.0.4.
fn assert_line(line: &str) {
    if line.is_empty() {
        return;
    }
    if let Some(comment) = line.strip_prefix("# ") {
        let words: Vec<_> = comment.splitn(3, ' ').collect();
        assert!(words.len() == 3 && ["HELP", "TYPE"].contains(&words[0]), "{line}");
        return;
    }
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    assert!(["NaN", "+Inf", "-Inf"].contains(&value) || value.parse::<f64>().is_ok(), "{line}");
    let name = series.split('{').next().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    assert!(!name.is_empty() && name.chars().all(allowed), "{line}");
    assert_eq!(series.contains('{'), series.ends_with('}'), "{line}");
}

#[tokio::test]
async fn metrics_are_in_the_text_format_and_count_requests() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    client.new_user().await;
    let answer = client.get("/metrics").answer().await.expect(200);
    assert_eq!(answer.media_type(), "text/plain");
    let content_type = answer.header("content-type").unwrap_or_default();
    assert!(content_type.contains("version=0.0.4"), "{content_type}");
    assert!(answer.body.ends_with('\n'));
    answer.body.lines().for_each(assert_line);
    let values = |body: &str| body.lines().filter(|line| !line.starts_with('#')).count();
    assert!(values(&answer.body) > 0, "{}", answer.body);
    // Labels are routes, not addresses: a scan must not grow the number of series.
    for number in 0..50 {
        client.get(&format!("/scan/{number}")).answer().await.expect(404);
    }
    let after = client.get("/metrics").answer().await.expect(200);
    assert_ne!(after.body, answer.body, "nothing was counted");
    assert!(values(&after.body) < values(&answer.body) + 40, "{}", after.body);
    assert!(!after.body.contains("example.com"), "{}", after.body);
}
