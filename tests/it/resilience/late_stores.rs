//! Stores that are late at the start are waited for; what time does not mend is not.

use std::time::Duration;

use redis::Commands;

use crate::support::client::Client;
use crate::support::postgres::Postgres;
use crate::support::process::{free_port, poll};
use crate::support::redis::Redis;
use crate::support::signet::{Signet, status_of};

const WAITING: &str = "waiting at most";

fn wait_for_the_line(signet: &Signet) {
    let line = poll(Duration::from_secs(30), || signet.output().contains(WAITING).then_some(()));
    assert!(line.is_some(), "it does not say that it waits: {}", signet.output());
    assert_eq!(
        status_of(signet.address(), "/health/ready"),
        None,
        "it listens only when it is ready"
    );
}

async fn expect_served(signet: &mut Signet) {
    signet.wait_until_ready();
    Client::new(signet.base()).new_user().await;
    assert_eq!(signet.output().matches(WAITING).count(), 1, "{}", signet.output());
}

#[tokio::test]
async fn a_redis_that_loads_its_data_is_waited_for() {
    let mut redis = Redis::start_with(&[("loading-process-events-interval-bytes", "1024")]);
    let mut connection =
        ::redis::Client::open(redis.url()).unwrap().get_connection().expect("a connection");
    for number in 0..2000 {
        let (): () = connection.set(format!("key:{number}"), "x".repeat(100)).unwrap();
    }
    // As one snapshot: while it loads that, Redis answers often.
    let (): () = ::redis::cmd("BGREWRITEAOF").query(&mut connection).map(|_: String| ()).unwrap();
    let rewritten = poll(Duration::from_secs(20), || {
        let info: String = ::redis::cmd("INFO").arg("persistence").query(&mut connection).unwrap();
        let done = ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0", "bgrewrite_status:ok"];
        done.iter().all(|line| info.contains(line)).then_some(())
    });
    rewritten.expect("the snapshot is written");
    redis.stop();
    // A while for each key.
    redis.change("key-load-delay", "3000");
    redis.spawn();
    let answer = poll(Duration::from_secs(20), || {
        let client = ::redis::Client::open(redis.url()).unwrap();
        let mut connection = client.get_connection().ok()?;
        Some(::redis::cmd("PING").query::<String>(&mut connection))
    });
    let error = answer.expect("Redis listens").expect_err("Redis loads");
    assert!(error.to_string().contains("loading"), "{error}");
    let builder = Signet::builder().postgres(&Postgres::shared().fresh_database());
    let mut signet = builder.redis(&redis.url()).prepare();
    signet.spawn();
    wait_for_the_line(&signet);
    expect_served(&mut signet).await;
}

#[tokio::test]
async fn stores_that_do_not_listen_yet_are_waited_for() {
    let (mut postgres, mut redis) = (Postgres::start(), Redis::start());
    postgres.stop();
    let mut signet = Signet::builder().postgres(&postgres.url()).prepare();
    signet.spawn();
    wait_for_the_line(&signet);
    postgres.restart();
    expect_served(&mut signet).await;

    redis.stop();
    let mut signet = Signet::builder().redis(&redis.url()).prepare();
    signet.spawn();
    wait_for_the_line(&signet);
    redis.restart();
    expect_served(&mut signet).await;
}

#[test]
fn what_time_does_not_mend_ends_the_start() {
    let redis = Redis::start_with(&[("requirepass", "right")]);
    let with_password = redis.url().replace("redis://", "redis://:wrong@");
    let stranger = Postgres::shared().fresh_database().replace("signet@", "stranger@");
    let database = format!("{}_missing", Postgres::shared().fresh_database());
    for builder in [
        Signet::builder().redis(&redis.url()),
        Signet::builder().redis(&with_password),
        Signet::builder().set("sessions.store", "redis").set("redis.cluster", &with_password),
        Signet::builder().postgres(&stranger),
        Signet::builder().postgres(&database),
    ] {
        let mut signet = builder.set("startup_timeout", "1h").prepare();
        signet.spawn();
        let ended = signet.process().wait(Duration::from_secs(30)).expect("it ends");
        let output = signet.output();
        assert_eq!(ended.code(), Some(1), "{output}");
        assert!(!output.contains(WAITING), "{output}");
    }
}

#[test]
fn the_wait_is_bounded() {
    let url = format!("postgres://signet@127.0.0.1:{}/signet", free_port());
    let mut signet = Signet::builder().postgres(&url).set("startup_timeout", "1s").prepare();
    signet.spawn();
    let ended = signet.process().wait(Duration::from_secs(30)).expect("it ends");
    assert_eq!(ended.code(), Some(1));
    let output = signet.output();
    assert_eq!(output.matches(WAITING).count(), 1, "{output}");
    assert!(output.contains("cannot be reached"), "{output}");
}
