//! The feed of revocations as it should be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use signet_verifier::{Beyond, Error, Event, Reason, Status};

use crate::support::feed::{Feed, SNAPSHOT, STREAM, refused};
use crate::support::issuer::{Issuer, OAUTH, now};
use crate::support::server::Reply;
use crate::support::signing::SigningKey;
use crate::support::until;

const REVOKED: Result<signet_verifier::Token, Error> = Err(Error::Invalid(Reason::Revoked));

#[tokio::test]
async fn what_is_revoked_is_refused_within_a_second() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.revoke(json!({ "sid": "gone", "exp": now() + 600 }));
    let verifier = feed.verifier().await;
    let in_snapshot = issuer.token(json!({ "sid": "gone" }));
    assert_eq!(verifier.verify(&in_snapshot).await, REVOKED);
    feed.heard().await;
    for (member, name) in [("sid", "s"), ("jti", "t"), ("sub", "u"), ("client_id", "c")] {
        let (token, other) = (issuer.token(json!({ member: name })), issuer.token(json!({})));
        let mut entry = json!({ member: name, "exp": now() + 600 });
        if matches!(member, "sub" | "client_id") {
            // After the time at which the token was signed, whatever that took.
            entry["before"] = json!(now() + 1);
        }
        assert!(verifier.verify(&token).await.is_ok(), "{entry}");
        feed.revoke(entry.clone());
        let took = refused(&verifier, &token).await;
        assert!(took < Duration::from_secs(1), "{entry} took {took:?}");
        assert!(verifier.verify(&other).await.is_ok(), "{entry}");
    }
    assert_eq!(verifier.status(), Some(Status::Streaming));
    assert_eq!(verifier.revocations(), Some(5));
    assert!(verifier.staleness().unwrap() < Duration::from_secs(2));
    assert_eq!(issuer.count(SNAPSHOT), 1, "the stream was enough");
}

#[tokio::test]
async fn a_revoked_key_signs_nothing_any_longer() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let verifier = feed.verifier().await;
    feed.heard().await;
    let old = issuer.token(json!({}));
    let stolen = issuer.key();
    issuer.add_key(SigningKey::generate("2", "ES256"));
    feed.revoke(json!({ "kid": "1", "exp": now() + 600 }));
    refused(&verifier, &old).await;
    assert!(verifier.verify(&issuer.token(json!({}))).await.is_ok());
    // Not even a history without revocations.
    let mut claims = feed.snapshot_claims();
    claims["epoch"] = json!("forged");
    claims["revocations"] = json!([]);
    let forged = stolen.sign(&stolen.header("revocations+jwt").to_string(), &claims.to_string());
    issuer.on(SNAPSHOT, move |_| Reply::Whole(200, Vec::new(), forged.clone().into_bytes()));
    let before = issuer.count(SNAPSHOT);
    feed.close_stream();
    until("the snapshot is asked for", || issuer.count(SNAPSHOT) > before + 1).await;
    assert_eq!(verifier.verify(&old).await, REVOKED);
}

#[tokio::test]
async fn later_tokens_of_a_subject_are_good() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.revoke(json!({ "sub": "ada", "before": now() - 10, "exp": now() + 600 }));
    let verifier = feed.verifier().await;
    let at = |iat: i64| issuer.token(json!({ "sub": "ada", "iat": iat }));
    assert_eq!(verifier.verify(&at(now() - 20)).await, REVOKED);
    assert!(verifier.verify(&at(now())).await.is_ok());
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_where_it_was() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let verifier = feed.verifier().await;
    feed.heard().await;
    let token = issuer.token(json!({ "jti": "first" }));
    feed.revoke(json!({ "jti": "first", "exp": now() + 600 }));
    refused(&verifier, &token).await;
    // In the middle of an event, and the next change happens meanwhile.
    feed.send(b"event: revocation\nid: 2\ndata: eyJ".to_vec());
    let second = issuer.token(json!({ "jti": "second" }));
    feed.cut();
    feed.lose(json!({ "jti": "second", "exp": now() + 600 }));
    refused(&verifier, &second).await;
    feed.heard().await;
    let streams = issuer.requests(STREAM);
    assert_eq!(streams.last().unwrap().headers["last-event-id"], "1");
    assert!(!streams[0].headers.contains_key("last-event-id"));
    assert_eq!(issuer.count(SNAPSHOT), 1, "nothing was missed");
}

#[tokio::test]
async fn a_gap_is_closed_by_a_snapshot() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let verifier = feed.verifier().await;
    feed.heard().await;
    let (lost, told) =
        (issuer.token(json!({ "jti": "lost" })), issuer.token(json!({ "jti": "told" })));
    feed.lose(json!({ "jti": "lost", "exp": now() + 600 }));
    feed.revoke(json!({ "jti": "told", "exp": now() + 600 }));
    refused(&verifier, &told).await;
    refused(&verifier, &lost).await;
    assert!(issuer.count(SNAPSHOT) >= 2);
    // A change that is lost with nothing after it is noticed by the heartbeats.
    let silent = issuer.token(json!({ "jti": "silent" }));
    feed.lose(json!({ "jti": "silent", "exp": now() + 600 }));
    let took = refused(&verifier, &silent).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn another_history_replaces_what_was_held() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.revoke(json!({ "jti": "old", "exp": now() + 600 }));
    let verifier = feed.verifier().await;
    feed.heard().await;
    let (old, new) = (issuer.token(json!({ "jti": "old" })), issuer.token(json!({ "jti": "new" })));
    assert_eq!(verifier.verify(&old).await, REVOKED);
    feed.begin_anew();
    feed.revoke(json!({ "jti": "new", "exp": now() + 600 }));
    refused(&verifier, &new).await;
    until("the old history is gone", || verifier.revocations() == Some(1)).await;
    assert!(verifier.verify(&old).await.is_ok());
}

#[tokio::test]
async fn without_a_stream_the_snapshot_is_polled() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    let unchanged = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&unchanged);
    let options = signet_verifier::Feed::new(Duration::from_secs(10), Beyond::Refuse);
    let builder = issuer.builder().feed(options.poll_interval(Duration::from_millis(300)));
    let verifier = builder
        .observer(move |event| {
            if matches!(event, Event::SnapshotUnchanged) {
                *counted.lock().unwrap() += 1;
            }
        })
        .build()
        .unwrap();
    verifier.ready().await.unwrap();
    let token = issuer.token(json!({ "jti": "t" }));
    until("nothing is new", || *unchanged.lock().unwrap() > 2).await;
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(verifier.status(), Some(Status::Polling));
    feed.revoke(json!({ "jti": "t", "exp": now() + 600 }));
    let took = refused(&verifier, &token).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    // When there is a stream, it is used.
    feed.open_stream();
    until("the stream is found", || verifier.status() == Some(Status::Streaming)).await;
}

#[tokio::test]
async fn a_service_that_is_back_is_asked_at_once() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    let later = || vec![("retry-after", "60".to_owned())];
    issuer.on(SNAPSHOT, move |_| Reply::Whole(503, later(), Vec::new()));
    let options = signet_verifier::Feed::new(Duration::from_secs(5), Beyond::Refuse);
    let verifier = issuer.builder().feed(options).build().unwrap();
    assert!(verifier.ready().await.is_err());
    feed.open_snapshot();
    feed.open_stream();
    let token = issuer.token(json!({}));
    until("it hears", || verifier.status() == Some(Status::Streaming)).await;
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn a_feed_that_wants_a_token_gets_one() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let snapshot = feed.clone();
    let inner = issuer.clone();
    issuer.on(SNAPSHOT, move |request| {
        let bearer = request.headers.get("authorization").map(String::as_str);
        if bearer != Some("Bearer feed-token") {
            return Reply::status(401);
        }
        let claims = snapshot.snapshot_claims().to_string();
        let key = inner.key();
        let token = key.sign(&key.header("revocations+jwt").to_string(), &claims);
        Reply::Whole(200, Vec::new(), token.into_bytes())
    });
    let answers = Mutex::new(vec!["feed-token", "an old one"]);
    issuer.on("/token", move |_| {
        let mut answers = answers.lock().unwrap();
        let token = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0] };
        Reply::json(&json!({ "access_token": token, "token_type": "Bearer", "expires_in": 600 }))
    });
    let options = signet_verifier::Feed::new(Duration::from_secs(5), Beyond::Refuse);
    let open = issuer.builder().feed(options.clone()).build().unwrap();
    assert!(open.ready().await.is_err());
    let options = options.credentials("reports", "s3cret", "revocations:read");
    let verifier = issuer.builder().feed(options).build().unwrap();
    // The first token is not accepted, the second is.
    let token = issuer.token(json!({}));
    while verifier.verify(&token).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = &issuer.requests("/token")[0];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.body, "grant_type=client_credentials&scope=revocations%3Aread");
    assert_eq!(asked.headers["authorization"], "Basic cmVwb3J0czpzM2NyZXQ=");
    let streams = issuer.requests(STREAM);
    assert!(streams.iter().all(|request| {
        request.headers.get("authorization").is_none_or(|value| value.starts_with("Bearer "))
    }));
}

#[tokio::test]
async fn for_ever_is_a_time_too() {
    let issuer = Issuer::start().await;
    *issuer.cache_control.lock().unwrap() = "max-age=1".into();
    let feed = Feed::open(&issuer);
    let options = signet_verifier::Feed::new(Duration::MAX, Beyond::Accept);
    let options = options.silence(Duration::MAX).snapshot_timeout(Duration::MAX);
    let builder = issuer.builder().stale_if_error(Duration::MAX).remember_absent(Duration::MAX);
    let verifier = builder.feed(options).build().unwrap();
    verifier.ready().await.unwrap();
    feed.heard().await;
    let token = issuer.token(json!({ "jti": "t" }));
    feed.revoke(json!({ "jti": "t", "exp": now() + 600 }));
    refused(&verifier, &token).await;
    // Neither interval ever ends.
    let options = signet_verifier::Feed::new(Duration::MAX, Beyond::Refuse);
    let never = issuer.builder().refetch_budget(Duration::MAX, 1);
    let verifier = never.feed(options.poll_interval(Duration::MAX / 2)).build().unwrap();
    verifier.ready().await.unwrap();
    refused(&verifier, &token).await;
}

#[tokio::test]
async fn forged_tokens_do_not_keep_a_new_key_from_the_feed() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let options = signet_verifier::Feed::new(Duration::from_secs(5), Beyond::Refuse);
    let builder = issuer.builder().refetch_budget(Duration::from_secs(60), 1);
    let verifier = builder.feed(options).build().unwrap();
    verifier.ready().await.unwrap();
    feed.heard().await;
    let old = issuer.token(json!({ "jti": "old" }));
    let forger = SigningKey::generate("forged", "EdDSA");
    let forged = forger.sign(&forger.header("at+jwt").to_string(), &issuer.claims().to_string());
    assert_eq!(verifier.verify(&forged).await, Err(Error::Invalid(Reason::UnknownKey)));
    issuer.add_key(SigningKey::generate("2", "ES256"));
    let unknown = issuer.token(json!({}));
    assert!(verifier.verify(&unknown).await.is_err(), "the budget is used up");
    feed.revoke(json!({ "jti": "old", "exp": now() + 600 }));
    refused(&verifier, &old).await;
    assert!(verifier.verify(&unknown).await.is_ok(), "what the feed learnt is everybody's");
}

#[tokio::test]
async fn a_feed_that_moved_is_found() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    let verifier = feed.verifier().await;
    let moved = Feed::open(&issuer);
    moved.revoke(json!({ "jti": "t", "exp": now() + 600 }));
    for (path, name) in [(SNAPSHOT, "/moved"), (STREAM, "/moved/stream")] {
        issuer.rename(path, name);
    }
    let mut metadata = issuer.metadata();
    metadata["revocations_uri"] = json!(format!("{}/moved", issuer.name));
    metadata["revocations_stream_uri"] = json!(format!("{}/moved/stream", issuer.name));
    issuer.on(OAUTH, move |_| Reply::json(&metadata));
    refused(&verifier, &issuer.token(json!({ "jti": "t" }))).await;
}
