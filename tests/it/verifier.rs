//! The crate `signet-verifier` as a sibling of the real service: what ends there is refused here within a
//! second, and whatever breaks in between, both know the same in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Commands;
use signet_verifier::{AllowHttp, Beyond, Error, Event, Feed, Reason, Status, Verifier};

use crate::support::client::{Client, FIRST_PARTY, Send, Tokens};
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;
use crate::support::signet::{Backend, Signet};

on_every_backend!(what_ends_at_one_instance_is_refused_by_who_listens_to_another);

/// Siblings are to refuse within this time.
const SOON: Duration = Duration::from_secs(1);
const MAX_STALENESS: Duration = Duration::from_secs(6);

/// A sibling that finds everything by the metadata at `issuer`, with the keys and the stream of it.
fn sibling(issuer: &str, beyond: Beyond) -> (Verifier, Arc<AtomicUsize>) {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = fetches.clone();
    let verifier = Verifier::builder(issuer)
        .audience(issuer)
        .allow_http(AllowHttp::Loopback)
        .feed(Feed::new(MAX_STALENESS, beyond).poll_interval(Duration::from_secs(1)))
        .observer(move |event| {
            if matches!(event, Event::KeysFetched { .. } | Event::KeysFailed { .. }) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()
        .expect("a verifier");
    (verifier, fetches)
}

async fn revoke(client: &Client, token: &str) {
    let fields = [("token", token), ("client_id", FIRST_PARTY)];
    client.form("/oauth2/revoke", &fields).await.expect(200);
}

async fn expect_revoked(verifier: &Verifier, token: &str, within: Duration) {
    let start = Instant::now();
    loop {
        match verifier.verify(token).await {
            Err(Error::Invalid(Reason::Revoked)) => return,
            other => assert!(start.elapsed() < within, "{other:?} after {:?}", start.elapsed()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the sibling holds as many entries as the statement has, hears by the stream, and may
/// vouch for what it holds.
async fn expect_the_same(client: &Client, verifier: &Verifier) {
    let start = Instant::now();
    loop {
        let answer = client.get("/revocations").answer().await.expect(200);
        let known = Jwt::decode(&answer.body).claims;
        let entries = known["revocations"].as_array().expect("entries").len();
        let is_same = verifier.revocations() == Some(entries);
        let is_fresh = verifier.staleness().is_some_and(|age| age < MAX_STALENESS / 2);
        if is_same && is_fresh && verifier.status() == Some(Status::Streaming) {
            return;
        }
        let (held, status) = (verifier.revocations(), verifier.status());
        assert!(start.elapsed() < Duration::from_secs(15), "{held:?} {status:?} of {known}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn what_ends_at_one_instance_is_refused_by_who_listens_to_another(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let mut other = signet.sibling();
    other.restart();
    let (here, there) = (Client::new(signet.base()), Client::new(other.base()));
    let (verifier, _) = sibling(signet.issuer(), Beyond::Refuse);
    verifier.ready().await.expect("keys and a statement");
    for _ in 0..3 {
        let Tokens { access_token, refresh_token, .. } = there.new_user().await.tokens;
        let token = verifier.verify(&access_token).await.expect("a good token");
        assert!(token.has_scope("openid"));
        assert_eq!(token.subject(), Jwt::decode(&access_token).claims["sub"]);
        revoke(&there, &refresh_token).await;
        expect_revoked(&verifier, &access_token, SOON).await;
    }
    let user = here.new_user().await;
    let request = here.post("/logout").bearer_auth(&user.tokens.access_token);
    request.answer().await.expect(204);
    expect_revoked(&verifier, &user.tokens.access_token, SOON).await;
    let again = here.login(&user.email, crate::support::client::PASSWORD).await;
    verifier.verify(&again.access_token).await.expect("a new session is a new one");
    expect_the_same(&here, &verifier).await;
}

#[tokio::test]
async fn a_killed_service_is_missed_and_found_again() {
    let mut signet = Signet::start();
    let client = Client::new(signet.base());
    let (verifier, _) = sibling(signet.issuer(), Beyond::Refuse);
    verifier.ready().await.expect("keys and a statement");
    let (good, ended) = (client.new_user().await.tokens, client.new_user().await.tokens);
    revoke(&client, &ended.refresh_token).await;
    expect_revoked(&verifier, &ended.access_token, SOON).await;

    signet.kill9();
    // What was heard still counts, and how old it is can be read.
    verifier.verify(&good.access_token).await.expect("known well enough");
    let start = Instant::now();
    let stale = loop {
        match verifier.verify(&good.access_token).await {
            Err(Error::Unavailable(_)) => break verifier.staleness().expect("it was fresh once"),
            other => assert!(start.elapsed() < MAX_STALENESS * 2, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(stale > MAX_STALENESS, "{stale:?}");

    signet.restart();
    let client = Client::new(signet.base());
    expect_the_same(&client, &verifier).await;
    verifier.verify(&good.access_token).await.expect("fresh again");
    expect_revoked(&verifier, &ended.access_token, SOON).await;
    // And the stream is one that tells.
    revoke(&client, &good.refresh_token).await;
    expect_revoked(&verifier, &good.access_token, SOON).await;
}

#[tokio::test]
async fn a_lost_redis_and_a_gap_change_nothing_in_the_end() {
    let mut redis = Redis::start();
    let database = Postgres::shared().fresh_database();
    let signet = Signet::builder().postgres(&database).redis(&redis.url()).start();
    let client = Client::new(signet.base());
    let (verifier, _) = sibling(signet.issuer(), Beyond::Refuse);
    verifier.ready().await.expect("keys and a statement");
    let ended = client.new_user().await.tokens;
    revoke(&client, &ended.refresh_token).await;
    expect_revoked(&verifier, &ended.access_token, SOON).await;

    let mut connection =
        ::redis::Client::open(redis.url()).unwrap().get_connection().expect("a connection");
    let (): () = ::redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    expect_revoked(&verifier, &ended.access_token, Duration::ZERO).await;
    client.me(&ended.access_token).await.expect(401);
    redis.kill();
    redis.restart();
    let keys: Vec<String> = loop {
        let open = ::redis::Client::open(redis.url()).unwrap().get_connection();
        if let Ok(mut connection) = open {
            break connection.keys("signet:*:s:*").unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(keys.is_empty(), "{keys:?}");
    expect_the_same(&client, &verifier).await;
    expect_revoked(&verifier, &ended.access_token, Duration::ZERO).await;

    // Numbers that nobody was told of, as after a purge that was late: the statement is taken anew.
    let sql = "UPDATE revocation_history SET last_seq = last_seq + 5";
    Postgres::shared().sql(&database, sql);
    let next = loop {
        // Redis may still be on its way back.
        let answer = client.try_signup(&crate::support::client::unique_email(), "x").await;
        if answer.status == 400 {
            break client.new_user().await.tokens;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    revoke(&client, &next.refresh_token).await;
    expect_revoked(&verifier, &next.access_token, SOON).await;
    expect_the_same(&client, &verifier).await;
    expect_revoked(&verifier, &ended.access_token, Duration::ZERO).await;
    // Another history altogether.
    Postgres::shared().sql(&database, "UPDATE revocation_history SET epoch = 'restored'");
    let last = client.new_user().await.tokens;
    revoke(&client, &last.refresh_token).await;
    expect_revoked(&verifier, &last.access_token, SOON).await;
    expect_the_same(&client, &verifier).await;
}

#[tokio::test]
async fn forged_kids_cost_no_more_fetches_than_the_budget() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let (verifier, fetches) = sibling(signet.issuer(), Beyond::Refuse);
    verifier.ready().await.expect("keys and a statement");
    let token = client.new_user().await.tokens.access_token;
    let (_, rest) = token.split_once('.').expect("a header");
    let start = Instant::now();
    for number in 0..10_000 {
        let header = format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"forged-{number}"}}"#);
        let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        let refused = verifier.verify(&forged).await.expect_err("forged");
        assert_eq!(refused.status(), 401, "{refused:?}");
    }
    // One in five seconds, and the one at the start.
    let budget = 2 + start.elapsed().as_secs() as usize / 5;
    let metrics = client.get("/metrics").answer().await.expect(200).body;
    let served = metrics.lines().find(|line| {
        line.starts_with("signet_http_requests_total")
            && line.contains("jwks")
            && line.contains("2xx")
    });
    let served: usize = served.expect("its count").rsplit(' ').next().unwrap().parse().unwrap();
    assert!(served <= budget && fetches.load(Ordering::Relaxed) <= budget, "{served} of {budget}");
    verifier.verify(&token).await.expect("the good one");
}

#[tokio::test]
async fn a_closed_feed_opens_to_a_client_with_the_scope() {
    let signet = Signet::builder().set("revocations.open", "false").start();
    let client = Client::new(signet.base());
    let secret = signet.add_confidential("orders", &["--scopes", "revocations:read"]);
    let feed = Feed::new(MAX_STALENESS, Beyond::Refuse);
    let verifier = Verifier::builder(signet.issuer())
        .audience(signet.issuer())
        .allow_http(AllowHttp::Loopback)
        .feed(feed.credentials("orders", secret, "revocations:read"))
        .build()
        .expect("a verifier");
    verifier.ready().await.expect("keys and a statement");
    let ended = client.new_user().await.tokens;
    verifier.verify(&ended.access_token).await.expect("a good token");
    revoke(&client, &ended.refresh_token).await;
    expect_revoked(&verifier, &ended.access_token, SOON).await;
}

/// The statement and the changes are signed by the same keys as access tokens, and are none.
#[tokio::test]
async fn what_is_told_is_no_access_token() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let (verifier, _) = sibling(signet.issuer(), Beyond::Accept);
    verifier.ready().await.expect("keys and a statement");
    let statement = client.get("/revocations").answer().await.expect(200).body;
    let refused = verifier.verify(&statement).await;
    assert_eq!(refused.expect_err("no access token"), Error::Invalid(Reason::Type));
}
