//! What is revoked stays revoked: through the loss of Redis, through crashes, for a session that an
//! older copy of Redis brings back.

use std::time::{Duration, Instant};

use redis::Commands;

use super::{expect_refused, refuses, snapshot};
use crate::support::client::{Client, FIRST_PARTY, Send, Tokens, User};
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::redis::Redis;
use crate::support::signet::{Backend, Signet, status_of};

on_every_backend!(a_killed_process_forgets_nothing);

const SERVICE: &str = "reports";

async fn revoke(client: &Client, token: &str) {
    let fields = [("token", token), ("client_id", FIRST_PARTY)];
    client.form("/oauth2/revoke", &fields).await.expect(200);
}

/// An instance on a Redis of its own; of a service, whose tokens rest on no session, one token revoked
/// and one not; and a user whose session is.
struct World {
    redis: Redis,
    signet: Signet,
    client: Client,
    secret: String,
    revoked: String,
    good: String,
    user: User,
}

impl World {
    async fn new() -> Self {
        let redis = Redis::start();
        let builder = Signet::builder().postgres(&Postgres::shared().fresh_database());
        let signet = builder.redis(&redis.url()).start();
        let client = Client::new(signet.base());
        let secret = signet.add_confidential(SERVICE, &[]);
        let service = (SERVICE, secret.as_str());
        let (revoked, good) =
            (client.client_token(service).await, client.client_token(service).await);
        let user = client.new_user().await;
        let request = client.post("/oauth2/revoke").basic_auth(SERVICE, Some(&secret));
        request.form(&[("token", &revoked)]).answer().await.expect(200);
        revoke(&client, &user.tokens.refresh_token).await;
        Self { redis, signet, client, secret, revoked, good, user }
    }

    async fn expect_still_revoked(&self) {
        let (client, service) = (&self.client, (SERVICE, self.secret.as_str()));
        assert!(!client.is_active(service, &self.revoked).await);
        assert!(client.is_active(service, &self.good).await);
        let Tokens { access_token, refresh_token, .. } = &self.user.tokens;
        client.me(access_token).await.expect(401);
        client.refresh(refresh_token).await.expect_oauth_error(400, "invalid_grant");
        expect_refused(client, &[&self.revoked, access_token], "still revoked").await;
        let known = snapshot(client).await.claims;
        assert!(!refuses(&known, &self.good), "{known}");
    }
}

fn wait_until_ready(signet: &Signet) {
    let ready = || (status_of(signet.address(), "/health/ready") == Some(200)).then_some(());
    poll(Duration::from_secs(10), ready).expect("ready again");
}

/// The keys of revoked tokens.
fn revoked_tokens(connection: &mut redis::Connection) -> Vec<String> {
    connection.keys("signet:*:t:*").expect("keys")
}

#[tokio::test]
async fn an_emptied_redis_is_told_again_before_the_service_is_ready() {
    let world = World::new().await;
    wait_until_ready(&world.signet);
    let mut connection =
        ::redis::Client::open(world.redis.url()).unwrap().get_connection().expect("a connection");
    let before = revoked_tokens(&mut connection);
    assert_eq!(before.len(), 1);
    let (): () = ::redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    // At once, and not only when all is written back.
    world.expect_still_revoked().await;
    wait_until_ready(&world.signet);
    assert_eq!(revoked_tokens(&mut connection), before, "readiness waits for it");
    world.expect_still_revoked().await;
    let ttl: i64 = connection.ttl(&before[0]).unwrap();
    assert!((1..=660).contains(&ttl), "{ttl}");
}

/// Who logs out then has an access token that siblings would go on to accept.
#[tokio::test]
async fn a_log_out_is_told_also_where_redis_has_lost_the_session() {
    let world = World::new().await;
    let user = world.client.new_user().await;
    let mut connection =
        ::redis::Client::open(world.redis.url()).unwrap().get_connection().expect("a connection");
    let (): () = ::redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    assert!(!refuses(&snapshot(&world.client).await.claims, &user.tokens.access_token));
    revoke(&world.client, &user.tokens.refresh_token).await;
    expect_refused(&world.client, &[&user.tokens.access_token], "logged out").await;
    // Told once.
    let seq = snapshot(&world.client).await.claims["seq"].clone();
    revoke(&world.client, &user.tokens.refresh_token).await;
    tokio::time::sleep(super::SOON).await;
    assert_eq!(snapshot(&world.client).await.claims["seq"], seq);
}

#[tokio::test]
async fn a_redis_that_lost_its_last_writes_is_told_again() {
    let mut world = World::new().await;
    wait_until_ready(&world.signet);
    // What the disk holds is older than what was answered: no append-only file here.
    world.redis.kill();
    expect_refused(&world.client, &[&world.revoked], "while Redis is away").await;
    world.redis.restart();
    wait_until_ready(&world.signet);
    world.expect_still_revoked().await;
    let mut connection =
        ::redis::Client::open(world.redis.url()).unwrap().get_connection().expect("a connection");
    assert_eq!(revoked_tokens(&mut connection).len(), 1);
}

#[tokio::test]
async fn a_session_that_comes_back_from_an_old_copy_stays_dead() {
    let redis = Redis::start();
    let builder = Signet::builder().postgres(&Postgres::shared().fresh_database());
    let signet = builder.redis(&redis.url()).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let mut connection =
        ::redis::Client::open(redis.url()).unwrap().get_connection().expect("a connection");
    let keys: Vec<String> = connection.keys("signet:*:s:*").unwrap();
    assert_eq!(keys.len(), 1);
    let record: Vec<u8> = connection.get(&keys[0]).unwrap();
    revoke(&client, &user.tokens.refresh_token).await;
    expect_refused(&client, &[&user.tokens.access_token], "revoked").await;

    let (): () = connection.set_ex(&keys[0], record, 3600).unwrap();
    client.refresh(&user.tokens.refresh_token).await.expect_oauth_error(400, "invalid_grant");
    client.me(&user.tokens.access_token).await.expect(401);
    let left: Vec<String> = connection.keys("signet:*:s:*").unwrap();
    assert!(left.is_empty(), "{left:?}");
}

async fn a_killed_process_forgets_nothing(backend: Backend) {
    let mut signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    revoke(&client, &user.tokens.refresh_token).await;
    signet.kill9();
    let epoch_and_seq =
        |claims: &serde_json::Value| (claims["epoch"].clone(), claims["seq"].clone());
    signet.restart();
    // The connections of before are broken.
    let client = Client::new(signet.base());
    let known = snapshot(&client).await.claims;
    assert!(refuses(&known, &user.tokens.access_token), "{known}");
    assert_eq!(known["seq"], 1);
    let mut sibling = signet.sibling();
    sibling.restart();
    let there = snapshot(&Client::new(sibling.base())).await.claims;
    assert_eq!(epoch_and_seq(&there), epoch_and_seq(&known));
}

/// The command line has no connection to the instances: they find it in the record.
#[tokio::test]
async fn what_the_command_line_ends_is_heard_within_a_second() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    signet.cli_ok(&["users", "disable", &user.email], "");
    expect_refused(&client, &[&user.tokens.access_token], "disabled").await;
}

/// Redis answers, the database does not: nothing may be called revoked that is not on record.
#[tokio::test]
async fn without_the_record_nothing_is_acknowledged() {
    let mut postgres = Postgres::start();
    let builder = Signet::builder().postgres(&postgres.url());
    let signet = builder.redis(&Redis::shared().fresh_database()).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    postgres.freeze();
    let fields = [("token", user.tokens.refresh_token.as_str()), ("client_id", FIRST_PARTY)];
    let refused = client.form("/oauth2/revoke", &fields).await;
    refused.expect_oauth_error(503, "temporarily_unavailable");
    // The statement is still given out, and says how old it is.
    let age = async || {
        let answer = client.get("/revocations").answer().await.expect(200);
        answer.header("age").expect("Age").parse::<u64>().expect("seconds")
    };
    let start = Instant::now();
    while age().await < 2 {
        assert!(start.elapsed() < Duration::from_secs(10), "its age does not grow");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    postgres.thaw();
    wait_until_ready(&signet);
    revoke(&client, &user.tokens.refresh_token).await;
    expect_refused(&client, &[&user.tokens.access_token], "revoked").await;
    assert!(age().await < 2);
}
