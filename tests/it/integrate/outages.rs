//! The examples that listen for revocations: how soon they hear, and what they do while they cannot.

use std::time::Duration;

use super::services::Example;
use super::world::{World, expect_challenge};
use crate::support::client::Send;

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
