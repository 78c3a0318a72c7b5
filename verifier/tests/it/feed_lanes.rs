//! Several lanes in one feed, each a history of its own; what a service of before and one of now sign;
//! and a snapshot that has become too large.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use signet_verifier::{Beyond, Event, Status, Verifier};

use crate::support::feed::{Feed, SNAPSHOT, STREAM, event, refused};
use crate::support::issuer::{Issuer, now};
use crate::support::server::Reply;
use crate::support::until;

const OTHER: &str = "/revocations?lane=eu-1";

/// The claims of a document of `lane`, as services sign it now.
fn claims(issuer: &Issuer, lane: &str, epoch: &str, seq: u64, jtis: &[&str]) -> Value {
    let name = format!("{}/revocations", issuer.name);
    let entry = |jti: &&str| json!({ "jti": jti, "exp": now() + 600 });
    json!({
        "iss": name, "aud": name, "iat": now(), "exp": now() + 300, "jti": "x", "lane": lane,
        "epoch": epoch, "first_seq": seq, "seq": seq,
        "revocations": jtis.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn sign(issuer: &Issuer, typ: &str, claims: &Value) -> String {
    let key = issuer.key();
    key.sign(&key.header(typ).to_string(), &claims.to_string())
}

/// Answers `path` with a snapshot of these claims.
fn serve(issuer: &Issuer, path: &str, claims: &Value) {
    let token = sign(issuer, "revocations+jwt", claims);
    issuer.on(path, move |_| {
        Reply::Whole(200, vec![("Age", "0".into())], token.clone().into_bytes())
    });
}

fn beat(lane: &str, epoch: &str, seq: u64) -> Vec<u8> {
    let data = json!({ "lane": lane, "epoch": epoch, "seq": seq, "age": 0.001 });
    event("heartbeat", None, &data.to_string())
}

fn options() -> signet_verifier::Feed {
    signet_verifier::Feed::new(Duration::from_secs(5), Beyond::Refuse)
        .poll_interval(Duration::from_secs(1))
}

#[tokio::test]
async fn each_lane_is_a_history_of_its_own() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let verifier = feed.verifier().await;
    feed.heard().await;
    let token = |jti: &str| issuer.token(json!({ "jti": jti }));
    let (first, second, third) = (token("first"), token("second"), token("third"));
    // A lane that is met first by a heartbeat: its snapshot is taken.
    serve(&issuer, OTHER, &claims(&issuer, "eu-1", "z", 70, &["first"]));
    feed.send(beat("eu-1", "z", 70));
    refused(&verifier, &first).await;
    // Its changes have numbers of their own, and leave the others' alone.
    let change = sign(&issuer, "secevent+jwt", &claims(&issuer, "eu-1", "z", 71, &["second"]));
    feed.send(event("revocation", None, &change));
    refused(&verifier, &second).await;
    feed.revoke(json!({ "jti": "third", "exp": now() + 600 }));
    refused(&verifier, &third).await;
    assert_eq!(issuer.count(SNAPSHOT), 1, "the stream was enough");
    assert_eq!(verifier.revocations(), Some(3));
    // Another history of one lane replaces what was held of that lane.
    serve(&issuer, OTHER, &claims(&issuer, "eu-1", "y", 2, &["second"]));
    feed.send(beat("eu-1", "y", 2));
    until("the old history of the lane is gone", || verifier.revocations() == Some(2)).await;
    assert!(verifier.verify(&first).await.is_ok());
    refused(&verifier, &second).await;
    refused(&verifier, &third).await;
}

#[tokio::test]
async fn what_is_known_is_as_old_as_the_oldest_lane_and_a_lane_may_end() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let staleness = Duration::from_secs(3);
    let options = signet_verifier::Feed::new(staleness, Beyond::Refuse);
    let verifier = feed.following(options.poll_interval(Duration::from_millis(200))).await;
    feed.heard().await;
    issuer.on(OTHER, |_| Reply::status(503));
    feed.send(beat("eu-1", "z", 7));
    until("one lane is stale", || verifier.staleness() > Some(staleness)).await;
    assert!(verifier.verify(&issuer.token(json!({}))).await.is_err());
    assert_eq!(verifier.status(), Some(Status::Streaming));
    issuer.on(OTHER, |_| Reply::status(404));
    until("the lane has ended", || verifier.staleness() < Some(staleness)).await;
    assert!(verifier.verify(&issuer.token(json!({}))).await.is_ok());
}

#[tokio::test]
async fn several_changes_in_one_event_are_one_step() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let verifier = feed.verifier().await;
    feed.heard().await;
    let mut several = claims(&issuer, "0", "one", 3, &["several"]);
    several["first_seq"] = json!(1);
    for jti in ["a", "b", "c"] {
        feed.lose(json!({ "jti": jti, "exp": now() + 600 }));
    }
    let change = sign(&issuer, "secevent+jwt", &several);
    feed.send(event("revocation", None, &change));
    refused(&verifier, &issuer.token(json!({ "jti": "several" }))).await;
    feed.revoke(json!({ "jti": "next", "exp": now() + 600 }));
    refused(&verifier, &issuer.token(json!({ "jti": "next" }))).await;
    assert_eq!(issuer.count(SNAPSHOT), 1, "there was no gap");
}

#[tokio::test]
async fn the_feed_and_the_issuer_may_sign_and_nobody_else() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    let build = || issuer.builder().feed(options()).build().unwrap();
    let good = claims(&issuer, "0", "one", 0, &[]);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    serve(&issuer, SNAPSHOT, &good);
    assert_eq!(build().ready().await, Ok(()));
    for bad in [
        with("iss", json!("https://evil/revocations")),
        with("iss", json!(format!("{}/revocations/", issuer.name))),
        with("aud", json!("https://orders.example.com")),
        with("aud", Value::Null),
        with("lane", json!("1")),
        with("lane", json!(0)),
    ] {
        serve(&issuer, SNAPSHOT, &bad);
        assert!(build().ready().await.is_err(), "{bad}");
    }
    // As a service of before signs.
    serve(&issuer, SNAPSHOT, &feed.snapshot_claims());
    assert_eq!(build().ready().await, Ok(()));
    // Neither passes for an access token.
    let verifier: Verifier = build();
    verifier.ready().await.unwrap();
    for typ in ["revocations+jwt", "at+jwt"] {
        let mut claims = issuer.claims();
        claims["iss"] = json!(format!("{}/revocations", issuer.name));
        assert!(verifier.verify(&sign(&issuer, typ, &claims)).await.is_err(), "{typ}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_by_an_id_in_the_words_of_its_service() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    serve(&issuer, SNAPSHOT, &claims(&issuer, "0", "one", 5, &[]));
    let (senders, opened) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let (kept, counted) = (Arc::clone(&senders), Arc::clone(&opened));
    issuer.on(STREAM, move |_| {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        sender.send(beat("0", "one", 5)).unwrap();
        kept.lock().unwrap().push(sender);
        *counted.lock().unwrap() += 1;
        Reply::Pieces("text/event-stream", receiver)
    });
    let verifier = feed.following(options()).await;
    until("it listens", || verifier.status() == Some(Status::Streaming)).await;
    until("it is fresh", || verifier.staleness() < Some(Duration::from_secs(2))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    senders.lock().unwrap().clear();
    until("it is opened again", || *opened.lock().unwrap() > 1).await;
    let last = issuer.requests(STREAM).pop().unwrap();
    assert_eq!(last.headers["last-event-id"], "0:5");
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_leaves_what_is_held_and_is_told_of() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    feed.revoke(json!({ "jti": "gone", "exp": now() + 600 }));
    let told = Arc::new(Mutex::new((0, 0)));
    let noted = Arc::clone(&told);
    let staleness = Duration::from_secs(3);
    let options = signet_verifier::Feed::new(staleness, Beyond::Refuse)
        .poll_interval(Duration::from_millis(100))
        .longest_snapshot(10_000);
    let verifier = issuer
        .builder()
        .feed(options)
        .observer(move |event| match event {
            Event::SnapshotTooLarge { longest: 10_000 } => noted.lock().unwrap().0 += 1,
            Event::SnapshotFailed { .. } => noted.lock().unwrap().1 += 1,
            _ => {}
        })
        .build()
        .unwrap();
    verifier.ready().await.unwrap();
    issuer.on(SNAPSHOT, |_| Reply::Whole(200, Vec::new(), vec![b'a'; 10_001]));
    until("its age grows", || verifier.staleness() > Some(staleness)).await;
    let (too_large, failed) = *told.lock().unwrap();
    assert!(too_large > 0 && failed == 0, "{too_large} {failed}");
    refused(&verifier, &issuer.token(json!({ "jti": "gone" }))).await;
    assert_eq!(verifier.revocations(), Some(1));
    feed.open_snapshot();
    until("it is fresh again", || verifier.staleness() < Some(staleness)).await;
    assert!(verifier.verify(&issuer.token(json!({}))).await.is_ok());
}
