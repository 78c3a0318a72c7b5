//! A session store that lost its last writes, or is set up so that it would.

use std::time::Duration;

use crate::support::client::{Client, PASSWORD, User};
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::redis::Redis;
use crate::support::signet::{Signet, status_of};

#[tokio::test]
async fn a_store_that_lost_its_last_writes_logs_nobody_out() {
    let postgres = Postgres::shared();
    let database = postgres.fresh_database();
    let signet = Signet::builder().postgres(&database).start();
    let client = Client::new(signet.base());
    let User { tokens, .. } = client.new_user().await;
    postgres.sql(&database, "CREATE TABLE backup AS SELECT * FROM sessions");
    let mut token = tokens.refresh_token;
    for _ in 0..3 {
        token = client.refresh(&token).await.tokens().refresh_token;
    }
    postgres.sql(
        &database,
        "DELETE FROM sessions; INSERT INTO sessions SELECT * FROM backup; DROP TABLE backup",
    );
    for _ in 0..2 {
        token = client.refresh(&token).await.tokens().refresh_token;
    }
}

/// Whether Signet, alive on this Redis, calls itself ready within some seconds.
fn becomes_ready(redis: &Redis) -> bool {
    let mut signet = Signet::builder().redis(&redis.url()).prepare();
    signet.spawn();
    let alive = poll(Duration::from_secs(60), || {
        assert!(signet.process().ended().is_none(), "it ended: {}", signet.output());
        (status_of(signet.address(), "/health/live") == Some(200)).then_some(())
    });
    assert!(alive.is_some(), "it does not come alive: {}", signet.output());
    let ready = || status_of(signet.address(), "/health/ready") == Some(200);
    poll(Duration::from_secs(3), || ready().then_some(())).is_some()
}

#[test]
fn a_redis_that_forgets_is_not_ready() {
    assert!(becomes_ready(&Redis::start()));
    assert!(!becomes_ready(&Redis::start_with(&[("maxmemory-policy", "allkeys-lru")])), "evicts");
    assert!(!becomes_ready(&Redis::start_with(&[("appendonly", "no")])), "does not persist");
}

#[tokio::test]
async fn a_session_that_outlived_its_users_epoch_opens_nothing() {
    let postgres = Postgres::shared();
    let database = postgres.fresh_database();
    let redis = Redis::shared().fresh_database();
    let signet = Signet::builder().postgres(&database).redis(&redis).start();
    let client = Client::new(signet.base());
    let (user, other) = (client.new_user().await, client.new_user().await);
    client.me(&user.tokens.access_token).await.expect(200);
    // As if the session store had not answered when all sessions of the user were ended.
    let raise = "UPDATE users SET session_epoch = session_epoch + 1";
    postgres.sql(&database, &format!("{raise} WHERE id = '{}'", user.id));
    client.me(&user.tokens.access_token).await.expect_problem(401);
    client.me(&other.tokens.access_token).await.expect(200);
    let new = client.login(&user.email, PASSWORD).await;
    client.me(&new.access_token).await.expect(200);
}
