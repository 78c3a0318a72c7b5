//! The examples that listen for revocations: how soon they hear, and what they do while they cannot.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::issuer::Issuer;
use super::services::Example;
use super::world::{World, expect_challenge};
use super::{folder, text};
use crate::support::client::Send;
use crate::support::reaper;

/// Siblings are to hear within this time.
const SOON: Duration = Duration::from_secs(1);
/// Seconds for which an example may know nothing for certain.
const MAX_STALENESS: u32 = 4;
/// Long enough to come back after an outage, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn check(example: Example) {
    let mut world = World::start();
    let service = example.start(world.signet.issuer(), MAX_STALENESS, &world.secret);
    let (first, second, third) = (world.token().await, world.token().await, world.token().await);
    for token in [&first, &second, &third] {
        service.answers(token, 200, PATIENCE).await;
    }
    world.logout(&first).await;
    let took = service.answers(&first, 401, PATIENCE).await;
    assert!(took < SOON, "{example:?}: heard after {took:?}");
    let invalid = r#"Bearer realm="orders", error="invalid_token""#;
    expect_challenge(service.orders(&first).await, 401, invalid);

    // The stream is cut, and Signet comes back with the same data.
    world.signet.kill9();
    world.signet.restart();
    service.answers(&second, 200, PATIENCE).await;
    service.orders(&first).await.expect(401);
    world.logout(&second).await;
    service.answers(&second, 401, PATIENCE).await;

    // It is heard by stream again, not only by asking now and then.
    service.answers(&third, 200, PATIENCE).await;
    world.logout(&third).await;
    let took = service.answers(&third, 401, PATIENCE).await;
    assert!(took < SOON, "{example:?}: heard after {took:?}");

    let fourth = world.token().await;
    service.answers(&fourth, 200, PATIENCE).await;
    world.signet.kill9();
    let took = service.answers(&fourth, 503, PATIENCE).await;
    assert!(took < Duration::from_secs(u64::from(MAX_STALENESS)) + SOON, "{example:?}: {took:?}");
    let refused = service.orders(&fourth).await.expect(503);
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    assert_eq!(refused.header("www-authenticate"), None, "{refused:?}");
    // What is known for certain is still said.
    service.orders(&first).await.expect(401);
    service.orders("x").await.expect(401);
    service.client.get("/orders").answer().await.expect(401);
    world.signet.restart();
    service.answers(&fourth, 200, PATIENCE).await;
    service.orders(&first).await.expect(401);
}

#[tokio::test]
async fn fastapi_hears_within_a_second_and_outlives_outages() {
    check(Example::FastApi).await;
}

#[tokio::test]
async fn django_hears_within_a_second_and_outlives_outages() {
    check(Example::Django).await;
}

#[tokio::test]
async fn express_hears_within_a_second_and_outlives_outages() {
    check(Example::Express).await;
}

#[tokio::test]
async fn go_hears_within_a_second_and_outlives_outages() {
    check(Example::Go).await;
}

#[tokio::test]
async fn spring_boot_4_hears_within_a_second_and_outlives_outages() {
    check(Example::Spring).await;
}

/// Spring looks for the issuer at the first token, and would answer 401 by itself.
#[tokio::test]
async fn spring_boot_starts_without_signet_and_says_that_it_cannot_know() {
    let mut world = World::start();
    let token = world.token().await;
    for example in [Example::Spring, Example::Spring35] {
        world.signet.kill9();
        let service = example.start(world.signet.issuer(), MAX_STALENESS, &world.secret);
        let answer = service.orders(&token).await.expect(503);
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
        service.client.get("/orders").answer().await.expect(401);
        world.signet.restart();
        service.answers(&token, 200, PATIENCE).await;
    }
}

/// A copy of an example, in which it waits a second before it asks for keys again, and not thirty.
fn hasty(file: &str, constant: (&str, &str)) -> TempDir {
    let copy = tempfile::Builder::new().prefix("signet-ex-").tempdir().expect("a folder");
    reaper::remove_at_exit(copy.path());
    for language in ["python", "fastapi", "django", "java"] {
        std::fs::create_dir(copy.path().join(language)).expect("a folder");
        for entry in std::fs::read_dir(folder().join(language)).expect("the example") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder()).expect("an example").to_owned();
            if path.is_file() {
                std::fs::copy(path, copy.path().join(name)).expect("a copy");
            }
        }
    }
    let original = text(file);
    let changed = original.replace(constant.0, constant.1);
    assert_ne!(changed, original, "{file} has no {constant:?}");
    std::fs::write(copy.path().join(file), changed).expect("it can be written");
    copy
}

/// Whoever makes up kids while the issuer hangs does not hold up anybody else.
async fn goes_on_while_keys_cannot_be_had(example: Example, file: &str, constant: (&str, &str)) {
    let issuer = Issuer::start();
    let examples = hasty(file, constant);
    let service = example.start_in(examples.path(), &issuer.base, 60, "secret");
    let claims = issuer.claims(json!({}));
    let forged = |kid: usize| {
        issuer.keys[0].sign(json!({ "typ": "at+jwt", "kid": format!("made-up-{kid}") }), &claims)
    };
    let good = issuer.token(json!({}));
    service.orders(&good).await.expect(200);
    issuer.state().waiting = Some(Vec::new());
    let fetches = issuer.state().key_fetches;
    let start = Instant::now();
    for kid in 0.. {
        if issuer.state().key_fetches > fetches {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{example:?} does not ask for keys");
        let (client, token) = (service.client.clone(), forged(kid));
        tokio::spawn(async move { client.get("/orders").bearer_auth(token).try_answer().await });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One is waiting for the keys now.
    let start = Instant::now();
    service.orders(&good).await.expect(200);
    for kid in 1000..1005 {
        let answer = service.orders(&forged(kid)).await;
        assert_eq!(answer.status, 503, "{example:?}, it is not known now: {answer:?}");
    }
    service.orders(&good).await.expect(200);
    // The one that waits for them gives up after five seconds.
    let took = start.elapsed();
    assert!(took < Duration::from_millis(4500), "{example:?}: {took:?}");
    assert_eq!(issuer.state().key_fetches, fetches + 1, "{example:?}");
    // The issuer is back, and what is made up is told from what cannot be known.
    issuer.state().waiting = None;
    service.answers(&forged(2000), 401, PATIENCE).await;
    service.orders(&good).await.expect(200);
}

#[tokio::test]
async fn fastapi_is_not_held_up_by_made_up_kids() {
    let constant = ("BETWEEN_FETCHES = 30", "BETWEEN_FETCHES = 1");
    let file = "python/access_tokens.py";
    goes_on_while_keys_cannot_be_had(Example::FastApi, file, constant).await;
}

#[tokio::test]
async fn java_is_not_held_up_by_made_up_kids() {
    let constant = ("Duration.ofSeconds(30)", "Duration.ofSeconds(1)");
    goes_on_while_keys_cannot_be_had(Example::Java, "java/Orders.java", constant).await;
}
