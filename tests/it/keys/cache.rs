//! How long verifiers may cache the key set: as long as configured, and never beyond the moment at
//! which a key could sign that this instance has not heard of.

use std::time::{Duration, Instant};

use crate::support::client::{Client, Send};
use crate::support::postgres::Postgres;
use crate::support::signet::Signet;

/// The slow one: the key set is good for half a minute without the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_caches_are_told_to_come_back_sooner_and_sooner() {
    let mut postgres = Postgres::start();
    let signet = Signet::builder()
        .postgres(&postgres.url())
        .set("keys.algorithm", "ES256")
        .set("keys.publish_ahead", "30s")
        .set("keys.jwks_max_age", "20s")
        .start();
    let client = Client::new(signet.base());
    let max_age = async || {
        let answer = client.get("/.well-known/jwks.json").answer().await.expect(200);
        let value = answer.header("cache-control").expect("Cache-Control").to_owned();
        let seconds = value.strip_prefix("public, max-age=").expect("max-age");
        seconds.parse::<u64>().expect("never below zero")
    };
    for _ in 0..20 {
        assert_eq!(max_age().await, 20);
    }
    postgres.stop();
    let start = Instant::now();
    let mut last = 20;
    while last > 0 {
        let now = max_age().await;
        assert!(now <= last, "{now} after {last}");
        assert!(start.elapsed() < Duration::from_secs(40), "it stays at {now}");
        last = now;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Not before it has to: at least 30 s less the time between two looks at the database.
    assert!(start.elapsed() > Duration::from_secs(25), "{:?}", start.elapsed());
    assert_eq!(max_age().await, 0);
    postgres.restart();
    let back = Instant::now();
    while max_age().await != 20 {
        assert!(back.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
