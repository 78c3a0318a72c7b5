//! Redis with a user who may do everything but what is dangerous: neither settings nor processes are
//! shown, and all works.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redis::Commands;

use crate::support::client::{Client, FIRST_PARTY};
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::redis::Redis;
use crate::support::signet::{Signet, status_of};

/// As hardened guides have it. It may reach Signet's keys and channels only.
const HARDENED: &str = "service on >secret ~signet:* &signet:* +@all -@dangerous";

fn hardened_url(redis: &Redis) -> String {
    redis.url().replace("redis://", "redis://service:secret@")
}

fn start(redis: &Redis) -> Signet {
    let builder = Signet::builder().postgres(&Postgres::shared().fresh_database());
    builder.redis(&hardened_url(redis)).start()
}

async fn revoke(client: &Client, token: &str) {
    let fields = [("token", token), ("client_id", FIRST_PARTY)];
    client.form("/oauth2/revoke", &fields).await.expect(200);
}

fn admin(redis: &Redis) -> redis::Connection {
    ::redis::Client::open(redis.url()).unwrap().get_connection().expect("a connection")
}

#[tokio::test]
async fn a_hardened_user_is_ready_and_warned_once() {
    let redis = Redis::start_with(&[("user", HARDENED)]);
    let signet = start(&redis);
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.refresh(&user.tokens.refresh_token).await.tokens();
    for _ in 0..20 {
        assert_eq!(status_of(signet.address(), "/health/ready"), Some(200));
    }
    let output = signet.output();
    assert_eq!(output.matches("does not show its settings").count(), 1, "{output}");
    // Refusals are entries of the ACL's log: it asks once, not once a second.
    let log: Vec<redis::Value> =
        ::redis::cmd("ACL").arg("LOG").arg(100).query(&mut admin(&redis)).unwrap();
    assert!(log.len() <= 4, "{log:?}");
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success());
}

#[tokio::test]
async fn a_restart_that_lost_writes_is_noticed_without_info() {
    let mut redis = Redis::start_with(&[("user", HARDENED)]);
    let signet = start(&redis);
    let client = Client::new(signet.base());
    let (kept, ended) = (client.new_user().await, client.new_user().await);
    // What the disk will hold.
    let copied = redis.folder().join("copied");
    copy(&redis.folder().join("appendonlydir"), &copied);
    revoke(&client, &ended.tokens.refresh_token).await;
    let records = |redis: &Redis| -> usize {
        admin(redis).keys::<_, Vec<String>>("signet:*:s:*").expect("keys").len()
    };
    assert_eq!(records(&redis), 1);
    redis.kill();
    std::fs::remove_dir_all(redis.folder().join("appendonlydir")).unwrap();
    std::fs::rename(&copied, redis.folder().join("appendonlydir")).unwrap();
    redis.restart();
    // The ended session is back for a moment, and then ended again.
    let repaired = poll(Duration::from_secs(10), || (records(&redis) == 1).then_some(()));
    assert!(repaired.is_some(), "the session that ended stays back: {}", signet.output());
    client.refresh(&ended.tokens.refresh_token).await.expect_oauth_error(400, "invalid_grant");
    client.me(&ended.tokens.access_token).await.expect(401);
    client.refresh(&kept.tokens.refresh_token).await.tokens();
    let ready = || (status_of(signet.address(), "/health/ready") == Some(200)).then_some(());
    poll(Duration::from_secs(10), ready).expect("ready again");
}

#[tokio::test]
async fn a_socket_leads_to_redis() {
    let redis = Redis::start_with(&[("user", HARDENED), ("unixsocket", "redis")]);
    let socket = redis.folder().join("redis");
    let url = format!("unix://{}?db=3&user=service&pass=secret", socket.display());
    let builder = Signet::builder().postgres(&Postgres::shared().fresh_database());
    let signet = builder.redis(&url).start();
    let user = Client::new(signet.base()).new_user().await;
    let mut connection = admin(&redis);
    let (): () = ::redis::cmd("SELECT").arg(3).query(&mut connection).unwrap();
    let keys: Vec<String> = connection.keys("signet:*:s:*").unwrap();
    assert_eq!(keys.len(), 1, "{} is in the database that was named", user.id);
}

#[test]
fn parameters_without_effect_are_refused() {
    for (key, value, part) in [
        ("redis.url", "redis://127.0.0.1:6379?db=3", "redis://host:6379/3"),
        ("redis.cluster", "redis://127.0.0.1:6379?db=3", "\"db\""),
        ("redis.sentinel", "redis://127.0.0.1:6379?timeout=3", "\"timeout\""),
        ("database.url", "postgres://signet@127.0.0.1/signet?sslmod=require", "\"sslmod\""),
        ("database.url", "sqlite://signet.db?journal=wal", "\"journal\""),
        ("redis.ca_file", "/nowhere.pem", "cannot be read"),
        ("redis.client_key", "/nowhere.pem", "redis.client_certificate"),
    ] {
        let signet = Signet::builder().set("sessions.store", "redis").set(key, value).prepare();
        let output = signet.cli(&["config", "check"], "");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{key}={value}: {text}");
        assert!(text.contains(part), "{key}={value}: {text}");
    }
}
