//! Redis or PostgreSQL stopped, killed or frozen: callers are told to come back, never that their
//! tokens are bad, and go on with the same tokens when it is back, without a restart of Signet.

use std::time::{Duration, Instant};

use crate::support::client::{Answer, Client, PASSWORD, Send, Tokens, User};
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::redis::Redis;
use crate::support::signet::{Signet, status_of};

/// Two seconds by contract, and slack for a machine that runs other tests beside.
const ANSWERED_WITHIN: Duration = Duration::from_millis(3500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Postgres,
    Redis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Stopped,
    Killed,
    Frozen,
}

struct Servers {
    postgres: Postgres,
    redis: Redis,
}

impl Servers {
    fn break_down(&mut self, store: Store, fault: Fault) {
        match (store, fault) {
            (Store::Postgres, Fault::Stopped) => self.postgres.stop(),
            (Store::Postgres, Fault::Killed) => self.postgres.kill(),
            (Store::Postgres, Fault::Frozen) => self.postgres.freeze(),
            (Store::Redis, Fault::Stopped) => self.redis.stop(),
            (Store::Redis, Fault::Killed) => self.redis.kill(),
            (Store::Redis, Fault::Frozen) => self.redis.freeze(),
        }
    }

    fn bring_back(&mut self, store: Store, fault: Fault) {
        match (store, fault) {
            (Store::Postgres, Fault::Frozen) => self.postgres.thaw(),
            (Store::Postgres, _) => self.postgres.restart(),
            (Store::Redis, Fault::Frozen) => self.redis.thaw(),
            (Store::Redis, _) => self.redis.restart(),
        }
    }
}

/// Checks that the request is answered in time, by: come back later.
async fn assert_unavailable(what: &str, request: impl Future<Output = Answer>) {
    let start = Instant::now();
    let answer = request.await;
    let elapsed = start.elapsed();
    assert_eq!(answer.status, 503, "{what}: {answer:?}");
    let retry_after = answer.header("retry-after").unwrap_or_default();
    assert!(retry_after.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{what}: {answer:?}");
    assert_eq!(answer.json()["error"], "temporarily_unavailable", "{what}: {answer:?}");
    assert!(elapsed < ANSWERED_WITHIN, "{what} took {elapsed:?}");
}

async fn assert_all_unavailable(client: &Client, asks: (&str, &str), email: &str, tokens: &Tokens) {
    assert_unavailable("refresh", client.refresh(&tokens.refresh_token)).await;
    assert_unavailable("introspection", client.introspect(asks, &tokens.access_token)).await;
    assert_unavailable("login", client.try_login(email, PASSWORD)).await;
    let request = client.get("/users/me").bearer_auth(&tokens.access_token);
    let start = Instant::now();
    let answer = request.answer().await.expect_problem(503);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!(start.elapsed() < ANSWERED_WITHIN, "/users/me took {:?}", start.elapsed());
}

async fn outage(store: Store, fault: Fault) {
    let mut servers = Servers { postgres: Postgres::start(), redis: Redis::start() };
    let builder = Signet::builder().postgres(&servers.postgres.url()).redis(&servers.redis.url());
    let signet = builder.start();
    let secret = signet.add_confidential("asks", &["--grants", "client_credentials"]);
    let asks = ("asks", secret.as_str());
    let client = Client::new(signet.base());
    let User { email, tokens, .. } = client.new_user().await;
    let tokens = client.refresh(&tokens.refresh_token).await.tokens();
    assert!(client.is_active(asks, &tokens.access_token).await);

    servers.break_down(store, fault);
    // The first finds connections that look alive, the later ones none.
    for _ in 0..3 {
        assert_all_unavailable(&client, asks, &email, &tokens).await;
    }
    let ready = client.get("/health/ready").answer().await;
    assert_eq!(ready.status, 503, "{ready:?}");
    // What needs no store goes on.
    client.get("/health/live").answer().await.expect(200);
    client.get("/.well-known/jwks.json").answer().await.expect(200);

    servers.bring_back(store, fault);
    let is_ready = || status_of(signet.address(), "/health/ready") == Some(200);
    let ready = poll(Duration::from_secs(20), || is_ready().then_some(()));
    assert!(ready.is_some(), "Signet does not become ready again");
    assert!(client.is_active(asks, &tokens.access_token).await);
    let next = client.refresh(&tokens.refresh_token).await.tokens();
    client.refresh(&next.refresh_token).await.tokens();
    client.login(&email, PASSWORD).await;
}

#[tokio::test]
async fn redis_stopped() {
    outage(Store::Redis, Fault::Stopped).await;
}

#[tokio::test]
async fn redis_killed() {
    outage(Store::Redis, Fault::Killed).await;
}

#[tokio::test]
async fn redis_frozen() {
    outage(Store::Redis, Fault::Frozen).await;
}

#[tokio::test]
async fn postgres_stopped() {
    outage(Store::Postgres, Fault::Stopped).await;
}

#[tokio::test]
async fn postgres_killed() {
    outage(Store::Postgres, Fault::Killed).await;
}

#[tokio::test]
async fn postgres_frozen() {
    outage(Store::Postgres, Fault::Frozen).await;
}
