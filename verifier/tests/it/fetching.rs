//! How the keys are found, fetched and kept, whatever the server does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use signet_verifier::{Error, FetchError, Reason, Unavailable, Verifier};

use crate::support::issuer::{AUDIENCE, Issuer, JWKS, OAUTH, OIDC};
use crate::support::server::{Reply, Server};
use crate::support::signing::SigningKey;
use crate::support::until;

/// Why there are no keys.
async fn failure(verifier: &Verifier) -> FetchError {
    match verifier.ready().await {
        Err(Unavailable::Keys(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn build(issuer: &Issuer) -> Verifier {
    issuer.builder().build().unwrap()
}

#[tokio::test]
async fn either_document_leads_to_the_keys() {
    let issuer = Issuer::start().await;
    let metadata = issuer.metadata();
    issuer.on(OAUTH, |_| Reply::status(404));
    issuer.on(OIDC, move |_| Reply::json(&metadata));
    let verifier = issuer.verifier().await;
    assert!(verifier.verify(&issuer.token(json!({}))).await.is_ok());
    // What is no document is passed over too.
    issuer.on(OAUTH, |_| Reply::Whole(200, Vec::new(), b"<html>".to_vec()));
    assert!(build(&issuer).ready().await.is_ok());
}

#[tokio::test]
async fn a_document_that_names_another_issuer_is_not_used() {
    let issuer = Issuer::start().await;
    for name in [format!("{}/", issuer.name), "https://id.example.com".to_owned()] {
        let mut metadata = issuer.metadata();
        metadata["issuer"] = json!(name);
        issuer.on(OAUTH, move |_| Reply::json(&metadata));
        assert_eq!(failure(&build(&issuer)).await, FetchError::Issuer, "{name}");
    }
    assert_eq!(issuer.count(JWKS), 0);
}

#[tokio::test]
async fn plain_http_elsewhere_is_not_used() {
    let issuer = Issuer::start().await;
    let mut metadata = issuer.metadata();
    metadata["jwks_uri"] = json!("http://id.example.com/jwks.json");
    issuer.on(OAUTH, move |_| Reply::json(&metadata));
    assert_eq!(failure(&build(&issuer)).await, FetchError::Url);
}

#[tokio::test]
async fn ten_thousand_forged_keys_cost_the_budget() {
    let issuer = Issuer::start().await;
    let budget = Duration::from_millis(200);
    let verifier = issuer.builder().refetch_budget(budget, 3).build().unwrap();
    verifier.ready().await.unwrap();
    let forger = SigningKey::shared("x", "RS256");
    let claims = issuer.claims().to_string();
    let genuine = issuer.token(json!({}));
    let forged = forger.sign(&forger.header("at+jwt").to_string(), &claims);
    let rest = forged.split_once('.').unwrap().1;
    let began = Instant::now();
    for n in 0..10_000 {
        let header = json!({ "alg": "RS256", "kid": format!("forged-{n}"), "typ": "at+jwt" });
        let token = format!("{}.{rest}", crate::support::signing::encode(header.to_string()));
        assert_eq!(verifier.verify(&token).await, Err(Error::Invalid(Reason::UnknownKey)));
        if n % 1000 == 0 {
            assert!(verifier.verify(&genuine).await.is_ok());
        }
    }
    assert!(began.elapsed() < Duration::from_secs(60), "within the minute of the budget");
    let fetches = issuer.count(JWKS);
    assert!((2..=1 + 3).contains(&fetches), "{fetches} fetches");
}

#[tokio::test]
async fn a_forged_key_that_comes_again_costs_one_fetch() {
    let issuer = Issuer::start().await;
    let verifier = issuer.builder().refetch_budget(Duration::ZERO, 100).build().unwrap();
    verifier.ready().await.unwrap();
    let forger = SigningKey::shared("forged", "RS256");
    let token = forger.sign(&forger.header("at+jwt").to_string(), &issuer.claims().to_string());
    let before = issuer.count(JWKS);
    for _ in 0..50 {
        assert_eq!(verifier.verify(&token).await, Err(Error::Invalid(Reason::UnknownKey)));
    }
    // With an interval of nothing, the server's max-age alone counts for the others.
    assert_eq!(issuer.count(JWKS) - before, 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_once_for_all_who_meet_it() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier().await;
    let old = issuer.token(json!({}));
    issuer.add_key(SigningKey::generate("2", "ES256"));
    let tokens: Vec<_> = (0..100).map(|_| issuer.token(json!({}))).collect();
    let verified = tokens.into_iter().map(|token| {
        let verifier = verifier.clone();
        tokio::spawn(async move { verifier.verify(&token).await.is_ok() })
    });
    for verified in verified.collect::<Vec<_>>() {
        assert!(verified.await.unwrap());
    }
    assert_eq!(issuer.count(JWKS), 2);
    // The old key is still published, then no longer.
    assert!(verifier.verify(&old).await.is_ok());
    issuer.keep_newest_key();
    *issuer.cache_control.lock().unwrap() = "max-age=1".into();
    let eager = issuer.builder().refetch_budget(Duration::from_millis(50), 9).build().unwrap();
    eager.ready().await.unwrap();
    assert!(eager.verify(&old).await.is_err());
}

#[tokio::test]
async fn keys_are_fetched_by_the_servers_max_age_and_nobody_waits() {
    let issuer = Issuer::start().await;
    *issuer.cache_control.lock().unwrap() = "max-age=1".into();
    let builder = issuer.builder().refetch_budget(Duration::from_millis(100), 10);
    let verifier = builder.timeout(Duration::from_secs(10)).build().unwrap();
    let began = Instant::now();
    verifier.ready().await.unwrap();
    until("the keys are fetched again", || issuer.count(JWKS) >= 2).await;
    assert!(began.elapsed() > Duration::from_millis(700), "{:?}", began.elapsed());
    // The next fetch hangs. Tokens are verified meanwhile.
    issuer.on(JWKS, |_| Reply::Silence);
    until("a fetch hangs", || issuer.count(JWKS) >= 3).await;
    let token = issuer.token(json!({}));
    let began = Instant::now();
    for _ in 0..100 {
        assert!(verifier.verify(&token).await.is_ok());
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_outage_is_survived_up_to_the_bound() {
    let issuer = Issuer::start().await;
    *issuer.cache_control.lock().unwrap() = "no-store".into();
    let builder = issuer.builder().refetch_budget(Duration::from_millis(100), 10);
    let verifier = builder.stale_if_error(Duration::from_secs(3)).build().unwrap();
    verifier.ready().await.unwrap();
    let token = issuer.token(json!({}));
    issuer.on(JWKS, |_| Reply::status(500));
    let before = issuer.count(JWKS);
    until("a fetch failed", || issuer.count(JWKS) > before).await;
    assert!(verifier.verify(&token).await.is_ok());
    let began = Instant::now();
    let refusal = loop {
        if let Err(error) = verifier.verify(&token).await {
            break error;
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let down = FetchError::Status { code: 500, retry_after: Duration::ZERO };
    assert_eq!(refusal, Error::Unavailable(Unavailable::Keys(down)));
    assert_eq!((refusal.status(), refusal.www_authenticate()), (503, None));
    // And when it is over, it is over.
    issuer.serve_keys();
    while verifier.verify(&token).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(40));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn redirects_lead_nowhere_else() {
    let (issuer, other) = (Issuer::start().await, Server::start().await);
    let elsewhere = format!("http://{}{JWKS}", other.address);
    let to = |location: &str| {
        let location = location.to_owned();
        move |_: &_| Reply::Whole(302, vec![("Location", location.clone())], Vec::new())
    };
    issuer.on(JWKS, to(&elsewhere));
    assert_eq!(failure(&build(&issuer)).await, FetchError::Redirect);
    assert_eq!(other.count(JWKS), 0);
    issuer.on(JWKS, to(JWKS));
    assert_eq!(failure(&build(&issuer)).await, FetchError::Redirect);
    assert!(issuer.count(JWKS) <= 6, "a circle is left");
    issuer.on(JWKS, to("/moved"));
    let keys = issuer.clone();
    issuer.on("/moved", move |_| keys.jwks());
    assert!(build(&issuer).ready().await.is_ok());
}

#[tokio::test]
async fn answers_that_are_too_large_too_slow_or_none_are_not_used() {
    let issuer = Issuer::start().await;
    issuer.on(JWKS, |_| Reply::Whole(200, Vec::new(), vec![b' '; 2 << 20]));
    assert_eq!(failure(&build(&issuer)).await, FetchError::TooLarge);
    for garbage in [&b"<html>"[..], b"", b"[]", b"{}", b"\xff\xfe", b"{\"keys\":7}"] {
        issuer.on(JWKS, move |_| Reply::Whole(200, Vec::new(), garbage.to_vec()));
        assert_eq!(failure(&build(&issuer)).await, FetchError::Invalid("the JWK Set"));
    }
    issuer.on(JWKS, |_| {
        Reply::Whole(200, vec![("Content-Encoding", "br".into())], b"{\"keys\":[]}".to_vec())
    });
    assert_eq!(failure(&build(&issuer)).await, FetchError::Invalid("the content encoding"));
    let quick = || issuer.builder().timeout(Duration::from_millis(300)).build().unwrap();
    issuer.on(JWKS, |_| Reply::Silence);
    assert_eq!(failure(&quick()).await, FetchError::Timeout);
    let senders = Arc::new(std::sync::Mutex::new(Vec::new()));
    issuer.on(JWKS, move |_| {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        sender.send(b"{\"keys\":".to_vec()).unwrap();
        senders.lock().unwrap().push(sender);
        Reply::Pieces("application/json", receiver)
    });
    assert_eq!(failure(&quick()).await, FetchError::Timeout);
}

#[tokio::test]
async fn an_empty_set_is_one() {
    let issuer = Issuer::start().await;
    let verifier = issuer.builder().refetch_budget(Duration::ZERO, 10).build().unwrap();
    let token = issuer.token(json!({}));
    issuer.on(JWKS, |_| Reply::json(&json!({ "keys": [] })));
    assert_eq!(verifier.verify(&token).await, Err(Error::Invalid(Reason::UnknownKey)));
}

#[tokio::test]
async fn nobody_is_there_at_first() {
    let server = Server::start().await;
    let issuer = Verifier::builder(format!("http://{}", server.address))
        .audience(AUDIENCE)
        .allow_http(signet_verifier::AllowHttp::Anywhere);
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refusals);
    let verifier = issuer
        .observer(move |event| {
            if matches!(event, signet_verifier::Event::Unavailable) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()
        .unwrap();
    let error = verifier.verify("a.b.c").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(Unavailable::Keys(FetchError::Status { .. }))));
    assert_eq!(refusals.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_last_verifier_takes_its_tasks_along() {
    let issuer = Issuer::start().await;
    *issuer.cache_control.lock().unwrap() = "no-store".into();
    let builder = issuer.builder().refetch_budget(Duration::from_millis(20), 10);
    let verifier = builder.build().unwrap();
    verifier.ready().await.unwrap();
    let clone = verifier.clone();
    drop(verifier);
    let before = issuer.count(JWKS);
    until("a clone keeps them", || issuer.count(JWKS) > before + 2).await;
    drop(clone);
    until("the connection is closed", || issuer.connections() == 0).await;
    let before = issuer.count(JWKS);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(issuer.count(JWKS), before);
}
