//! The feed as it should not be: forged, cut, endless, too large, silent.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use signet_verifier::{Beyond, Error, Event, FetchError, Reason, Status, Unavailable, Verifier};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::feed::{Feed, SNAPSHOT, STREAM, event, refused};
use crate::support::issuer::{Issuer, now};
use crate::support::server::Reply;
use crate::support::signing::SigningKey;
use crate::support::until;

fn options(staleness: Duration, beyond: Beyond) -> signet_verifier::Feed {
    signet_verifier::Feed::new(staleness, beyond).poll_interval(Duration::from_millis(200))
}

/// A stream that brings only what is sent to it, and a verifier that follows it and asks for no
/// snapshot by itself.
async fn by_hand(issuer: &Issuer, feed: &Feed) -> (Verifier, UnboundedSender<Vec<u8>>) {
    let (sender, receiver) = unbounded_channel();
    let receiver = Mutex::new(Some(receiver));
    issuer.on(STREAM, move |_| match receiver.lock().unwrap().take() {
        Some(receiver) => Reply::Pieces("text/event-stream", receiver),
        None => Reply::status(503),
    });
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let options = options(hour, Beyond::Refuse).poll_interval(minute).silence(minute);
    let verifier = feed.following(options).await;
    until("it listens", || verifier.status() == Some(Status::Streaming)).await;
    (verifier, sender)
}

fn begins(seq: u64) -> Vec<u8> {
    event("snapshot", None, &json!({ "epoch": "one", "seq": seq }).to_string())
}

/// Why there is no snapshot.
async fn failure(verifier: &Verifier) -> FetchError {
    match verifier.ready().await {
        Err(Unavailable::Feed(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn build(issuer: &Issuer) -> Verifier {
    let feed = options(Duration::from_secs(5), Beyond::Refuse).longest_snapshot(1 << 20);
    issuer.builder().feed(feed).build().unwrap()
}

#[tokio::test]
async fn a_snapshot_that_is_not_the_issuers_is_not_taken() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    let key = issuer.key();
    let header = key.header("revocations+jwt");
    let claims = feed.snapshot_claims();
    let with = |claims: &Value, name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let sign = |header: &Value, claims: &Value| key.sign(&header.to_string(), &claims.to_string());
    let stranger = SigningKey::generate("1", "RS256");
    let nobodys = SigningKey::generate("x", "EdDSA");
    let wrong = || FetchError::Invalid("revocations+jwt");
    for (name, token) in [
        ("an access token", sign(&key.header("at+jwt"), &claims)),
        ("a change", sign(&key.header("secevent+jwt"), &claims)),
        ("another issuer's", sign(&header, &with(&claims, "iss", json!("https://evil")))),
        ("expired", sign(&header, &with(&claims, "exp", json!(now() - 61)))),
        ("without an end", sign(&header, &with(&claims, "exp", Value::Null))),
        ("without entries", sign(&header, &with(&claims, "revocations", Value::Null))),
        ("a stranger's", stranger.sign(&header.to_string(), &claims.to_string())),
        (
            "nobody's",
            nobodys.sign(&nobodys.header("revocations+jwt").to_string(), &claims.to_string()),
        ),
        ("unsigned", sign(&header, &claims).rsplit_once('.').unwrap().0.to_owned() + "."),
        ("no token", "{}".to_owned()),
    ] {
        issuer.on(SNAPSHOT, move |_| Reply::Whole(200, Vec::new(), token.clone().into_bytes()));
        assert_eq!(failure(&build(&issuer)).await, wrong(), "{name}");
    }
    let whole = sign(&header, &claims);
    issuer.on(SNAPSHOT, move |_| Reply::Whole(200, Vec::new(), whole.clone().into_bytes()));
    assert_eq!(build(&issuer).ready().await, Ok(()));
}

#[tokio::test]
async fn a_snapshot_is_bounded_as_it_comes_and_as_it_unpacks() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    issuer.on(SNAPSHOT, |_| Reply::Whole(200, Vec::new(), vec![b'a'; (1 << 20) + 1]));
    assert_eq!(failure(&build(&issuer)).await, FetchError::TooLarge);
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = |body: Vec<u8>| {
        move |_: &_| Reply::Whole(200, vec![("Content-Encoding", "gzip".into())], body.clone())
    };
    issuer.on(SNAPSHOT, gzip(pack(&vec![b'a'; 8 << 20])));
    assert_eq!(failure(&build(&issuer)).await, FetchError::TooLarge);
    issuer.on(SNAPSHOT, gzip(b"no gzip".to_vec()));
    assert_eq!(failure(&build(&issuer)).await, FetchError::Invalid("the compression"));
    // A good one, packed.
    let key = issuer.key();
    let claims = feed.snapshot_claims().to_string();
    let token = key.sign(&key.header("revocations+jwt").to_string(), &claims);
    issuer.on(SNAPSHOT, gzip(pack(token.as_bytes())));
    assert_eq!(build(&issuer).ready().await, Ok(()));
    assert_eq!(issuer.requests(SNAPSHOT)[0].headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn garbage_in_the_stream_does_no_harm() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let verifier = feed.verifier().await;
    feed.heard().await;
    let good = issuer.token(json!({ "jti": "good" }));
    let stranger = SigningKey::generate("1", "RS256");
    let claims = json!({
        "iss": issuer.name, "epoch": "one", "seq": 1,
        "revocations": [{ "jti": "good", "exp": now() + 600 }],
    });
    let forged = stranger.sign(&stranger.header("secevent+jwt").to_string(), &claims.to_string());
    let key = issuer.key();
    let mistyped = key.sign(&key.header("at+jwt").to_string(), &claims.to_string());
    for bytes in [
        event("revocation", Some(1), &forged),
        event("revocation", Some(1), &mistyped),
        event("revocation", Some(1), "x"),
        event("revocation", Some(1), &"a".repeat(500_000)),
        event("heartbeat", None, "{}"),
        event("heartbeat", None, r#"{"epoch":"one","seq":0,"age":-1}"#),
        event("heartbeat", None, r#"{"epoch":"one","seq":0,"age":1e300}"#),
        event("heartbeat", None, r#"{"epoch":"one","seq":1e300,"age":0}"#),
        event("snapshot", None, "[]"),
        event("unheard-of", None, "x"),
        b"\xff\xfe\x00: :: data\n\n\r\r\r\n".to_vec(),
    ] {
        feed.send(bytes);
    }
    let told = issuer.token(json!({ "jti": "told" }));
    feed.revoke(json!({ "jti": "told", "exp": now() + 600 }));
    refused(&verifier, &told).await;
    assert!(verifier.verify(&good).await.is_ok());
    assert_eq!(verifier.status(), Some(Status::Streaming));
}

#[tokio::test]
async fn a_line_without_an_end_is_cut_off() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let lost = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lost);
    let builder = issuer.builder().feed(options(Duration::from_secs(5), Beyond::Refuse));
    let verifier = builder
        .observer(move |event| {
            if let Event::StreamLost { error } = event {
                noted.lock().unwrap().push((*error).clone());
            }
        })
        .build()
        .unwrap();
    verifier.ready().await.unwrap();
    feed.heard().await;
    let opened = issuer.count(STREAM);
    for _ in 0..40 {
        feed.send(vec![b'x'; 64 << 10]);
    }
    until("the stream is opened anew", || issuer.count(STREAM) > opened).await;
    assert_eq!(lost.lock().unwrap()[0], FetchError::TooLarge);
    feed.heard().await;
    let token = issuer.token(json!({ "jti": "t" }));
    feed.revoke(json!({ "jti": "t", "exp": now() + 600 }));
    refused(&verifier, &token).await;
}

#[tokio::test]
async fn a_stream_that_is_none_or_silent_is_left() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    issuer.on(STREAM, |_| Reply::json(&json!({})));
    let silence = Duration::from_millis(400);
    let verifier =
        feed.following(options(Duration::from_secs(5), Beyond::Refuse).silence(silence)).await;
    assert_eq!(verifier.status(), Some(Status::Polling));
    let senders = Arc::new(Mutex::new(Vec::new()));
    issuer.on(STREAM, move |_| {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        senders.lock().unwrap().push(sender);
        Reply::Pieces("text/event-stream; charset=utf-8", receiver)
    });
    until("it is opened", || verifier.status() == Some(Status::Streaming)).await;
    let opened = issuer.count(STREAM);
    until("it is opened anew", || issuer.count(STREAM) > opened).await;
    // Polling went on all the while.
    assert!(verifier.staleness().unwrap() < Duration::from_secs(2));
}

#[tokio::test]
async fn beyond_the_staleness_the_callers_choice_holds() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.revoke(json!({ "jti": "gone", "exp": now() + 600 }));
    let staleness = Duration::from_secs(3);
    let refusing = feed.following(options(staleness, Beyond::Refuse)).await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&events);
    let builder = issuer.builder().feed(options(staleness, Beyond::Accept));
    let accepting = builder
        .observer(move |event| match event {
            Event::Stale => noted.lock().unwrap().push("stale"),
            Event::Fresh => noted.lock().unwrap().push("fresh"),
            _ => {}
        })
        .build()
        .unwrap();
    accepting.ready().await.unwrap();
    let (good, gone) = (issuer.token(json!({})), issuer.token(json!({ "jti": "gone" })));
    assert!(refusing.verify(&good).await.is_ok() && accepting.verify(&good).await.is_ok());
    feed.close_stream();
    issuer.on(SNAPSHOT, |_| Reply::status(503));
    until("it is stale", || refusing.staleness() > Some(staleness)).await;
    let refusal = refusing.verify(&good).await.unwrap_err();
    assert!(matches!(refusal, Error::Unavailable(Unavailable::Stale(Some(_)))), "{refusal:?}");
    assert_eq!(refusal.status(), 503);
    until("it is stale", || accepting.staleness() > Some(staleness)).await;
    assert!(accepting.verify(&good).await.is_ok());
    for verifier in [&refusing, &accepting] {
        assert_eq!(verifier.verify(&gone).await, Err(Error::Invalid(Reason::Revoked)));
    }
    feed.open_snapshot();
    until("it is fresh again", || *events.lock().unwrap() == ["fresh", "stale", "fresh"]).await;
    until("it is fresh again", || refusing.staleness() < Some(staleness)).await;
    assert!(refusing.verify(&good).await.is_ok());
}

#[tokio::test]
async fn an_old_answer_is_as_old_as_it_says() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    feed.close_stream();
    let key = issuer.key();
    let claims = feed.snapshot_claims().to_string();
    let token = key.sign(&key.header("revocations+jwt").to_string(), &claims);
    issuer.on(SNAPSHOT, move |_| {
        Reply::Whole(200, vec![("Age", "7".into())], token.clone().into_bytes())
    });
    let verifier = feed.following(options(Duration::from_secs(5), Beyond::Refuse)).await;
    assert!(verifier.staleness().unwrap() >= Duration::from_secs(7));
    assert!(verifier.verify(&issuer.token(json!({}))).await.is_err());
    // It is asked at the pace of the polls, not without end.
    let (began, before) = (Instant::now(), issuer.count(SNAPSHOT));
    until("it is asked a few times", || issuer.count(SNAPSHOT) > before + 4).await;
    // The first one may be due already.
    assert!(began.elapsed() >= Duration::from_millis(3 * 200));
}

#[tokio::test]
async fn what_is_told_while_a_snapshot_is_under_way_is_not_forgotten() {
    for told in [begins(1), event("revocation", Some(1), "unreadable")] {
        let issuer = Issuer::start().await;
        let feed = Feed::open(&issuer);
        let (verifier, stream) = by_hand(&issuer, &feed).await;
        let (key, claims) = (issuer.key(), feed.snapshot_claims());
        let sign =
            |typ: &str, claims: &Value| key.sign(&key.header(typ).to_string(), &claims.to_string());
        // It asks for a snapshot, and the answer is of now, but takes its time.
        let (answer, pieces) = unbounded_channel();
        answer.send(sign("revocations+jwt", &claims).into_bytes()).unwrap();
        let pieces = Mutex::new(Some(pieces));
        issuer.on(SNAPSHOT, move |_| {
            Reply::Pieces("application/jwt", pieces.lock().unwrap().take().unwrap())
        });
        let asked = issuer.count(SNAPSHOT);
        stream.send(event("revocation", Some(1), "unreadable")).unwrap();
        until("it asks", || issuer.count(SNAPSHOT) > asked).await;
        // Meanwhile something is revoked and told of. What comes after that was heard, too.
        let lost = issuer.token(json!({ "jti": "lost" }));
        feed.lose(json!({ "jti": "lost", "exp": now() + 600 }));
        stream.send(told).unwrap();
        let mut marker = claims.clone();
        marker["revocations"] = json!([{ "jti": "marker", "exp": now() + 600 }]);
        stream.send(event("revocation", None, &sign("secevent+jwt", &marker))).unwrap();
        refused(&verifier, &issuer.token(json!({ "jti": "marker" }))).await;
        assert!(verifier.verify(&lost).await.is_ok());
        feed.open_snapshot();
        drop(answer);
        let took = refused(&verifier, &lost).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test]
async fn an_instance_that_lags_is_asked_ever_less_often() {
    let issuer = Issuer::start().await;
    let feed = Feed::open(&issuer);
    let (_verifier, stream) = by_hand(&issuer, &feed).await;
    let key = issuer.key();
    let claims = feed.snapshot_claims().to_string();
    let token = key.sign(&key.header("revocations+jwt").to_string(), &claims);
    issuer.on(SNAPSHOT, move |_| {
        Reply::Whole(200, vec![("Age", "30".into())], token.clone().into_bytes())
    });
    let before = issuer.count(SNAPSHOT);
    let began = Instant::now();
    stream.send(begins(u64::MAX)).unwrap();
    until("it is asked", || issuer.count(SNAPSHOT) > before).await;
    until("it is asked again", || issuer.count(SNAPSHOT) > before + 5).await;
    // A quarter of a second each would be less.
    assert!(began.elapsed() > Duration::from_millis(1900), "{:?}", began.elapsed());
}
