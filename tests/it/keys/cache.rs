//! How long verifiers may cache the key set: as long as configured, and never beyond the moment at
//! which a key could sign that this instance has not heard of.

use std::time::{Duration, Instant};

use crate::support::client::{Client, Send};
use crate::support::postgres::Postgres;
use crate::support::signet::Signet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_caches_are_told_to_come_back_sooner_and_sooner() {
    let mut postgres = Postgres::start();
    let mut signet = Signet::builder()
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
    // Half a minute by the instance's clock, a step at a time.
    let (start, mut ahead) = (Instant::now(), Duration::ZERO);
    let mut last = 20;
    while last > 0 {
        let now = max_age().await;
        assert!(now <= last, "{now} after {last}");
        assert!(start.elapsed() + ahead < Duration::from_secs(40), "it stays at {now}");
        last = now;
        signet.advance(1);
        ahead += Duration::from_secs(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Not before it has to: at least 30 s less the time between two looks at the database.
    let elapsed = start.elapsed() + ahead;
    assert!(elapsed > Duration::from_secs(25), "{elapsed:?}");
    assert_eq!(max_age().await, 0);
    postgres.restart();
    let back = Instant::now();
    while max_age().await != 20 {
        assert!(back.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
