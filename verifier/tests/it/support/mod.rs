//! An issuer for tests: signing keys, a small HTTP server that does what it is told, and a feed.

pub mod feed;
pub mod issuer;
pub mod server;
pub mod signing;

use std::time::{Duration, Instant};

/// Waits until `holds`, and fails where that takes too long.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
