//! Two instances on the same stores: what one does to the keys the other does too, in time.

use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::jwt::Jwt;
use crate::support::keys::{active, published, spare};
use crate::support::signet::{Backend, Signet};

/// Two instances, and the secret of the client `worker`.
fn start(backend: Backend) -> ([Signet; 2], String) {
    let first = Signet::builder().backend(backend).set("keys.algorithm", "ES256").start();
    let mut second = first.sibling();
    second.restart();
    let secret = first.add_confidential("worker", &["--grants", "client_credentials"]);
    ([first, second], secret)
}

/// Waits until the key set of `client` suits; fails when it takes longer than `limit`.
async fn jwks_becomes(client: &Client, limit: Duration, suits: impl Fn(&[String]) -> bool) {
    let start = Instant::now();
    loop {
        let kids = published(&client.jwks().await);
        if suits(&kids) {
            return;
        }
        assert!(start.elapsed() < limit, "after {:?} still {kids:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_rotation_is_followed_at_the_appointed_second() {
    let (instances, secret) = start(Backend::PostgresRedis);
    let clients = [0, 1].map(|number: usize| Client::new(instances[number].base()));
    let (old, next) = (active(&instances[0]), spare(&instances[0]));
    let rotate = ["keys", "rotate", "--activate-in", "4s", "--force", "--reason", "a drill"];
    let rotated = instances[0].cli_json(&rotate, "");
    let new_spare = spare(&instances[0]);
    for client in &clients {
        let has_it = |kids: &[String]| kids.contains(&new_spare);
        jwks_becomes(client, Duration::from_secs(5), has_it).await;
    }
    let at = rotated["activates_at"].as_str().expect("a time");
    let at = humantime::parse_rfc3339(at).expect("RFC 3339");
    let at = at.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let (mut before, mut after) = (0, 0);
    let start = Instant::now();
    while after < 10 {
        for client in &clients {
            let jwt = Jwt::decode(&client.client_token(("worker", &secret)).await);
            let signed_by_next = jwt.claims["iat"].as_u64().expect("seconds") >= at;
            let kid = if signed_by_next { &next } else { &old };
            assert_eq!(jwt.header["kid"], kid.as_str(), "{jwt:?}, planned at {at}");
            *(if signed_by_next { &mut after } else { &mut before }) += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it never comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(before > 0, "it came at once");
    for client in &clients {
        let kids = published(&client.jwks().await);
        assert!(kids.contains(&old) && kids.contains(&next), "{kids:?}");
    }
}

/// Revokes the key that signs by one instance; the other has to follow within `limit`.
async fn revoke(instances: &[Signet; 2], secret: &str, limit: Duration) {
    let clients = [0, 1].map(|number: usize| Client::new(instances[number].base()));
    let old = active(&instances[0]);
    let user = clients[1].new_user().await;
    assert_eq!(Jwt::decode(&user.tokens.access_token).header["kid"], old.as_str());
    clients[0].me(&user.tokens.access_token).await.expect(200);
    let revoked = instances[0].cli_json(&["keys", "revoke", &old, "--reason", "stolen"], "");
    let start = Instant::now();
    for client in &clients {
        let left = limit.saturating_sub(start.elapsed());
        jwks_becomes(client, left, |kids| !kids.is_empty() && !kids.contains(&old)).await;
        // Its tokens are dead, and the next ones are good everywhere.
        client.me(&user.tokens.access_token).await.expect(401);
        let token = client.client_token(("worker", secret)).await;
        assert_eq!(Jwt::decode(&token).header["kid"], revoked["active_kid"]);
    }
    // The session goes on.
    let next = clients[1].refresh(&user.tokens.refresh_token).await.tokens();
    clients[0].me(&next.access_token).await.expect(200);
}

#[tokio::test]
async fn a_revocation_is_heard_of_at_once() {
    let (instances, secret) = start(Backend::PostgresRedis);
    // More than once: an instance that only looks for itself would not be in time every time.
    for _ in 0..4 {
        revoke(&instances, &secret, Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_revocation_is_found_without_notices() {
    let (instances, secret) = start(Backend::PostgresSql);
    for _ in 0..2 {
        revoke(&instances, &secret, Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn what_became_of_a_key_is_recorded_once() {
    let postgres = crate::support::postgres::Postgres::shared();
    let database = postgres.fresh_database();
    let first = Signet::builder().postgres(&database).set("keys.algorithm", "ES256").start();
    let mut second = first.sibling();
    second.restart();
    let kid = active(&first);
    let rotate = ["keys", "rotate", "--activate-in", "2s", "--force", "--reason", "a drill"];
    let rotated = first.cli_json(&rotate, "");
    let events = |kid: &str| {
        let query =
            format!("SELECT event, actor FROM audit_events WHERE subject = '{kid}' ORDER BY event");
        postgres.sql(&database, &query)
    };
    let expected = "key.activated|system\nkey.created|system\nkey.deactivated|system";
    let start = Instant::now();
    while events(&kid) != expected {
        assert!(start.elapsed() < Duration::from_secs(15), "{}", events(&kid));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let next = rotated["kid"].as_str().expect("a kid");
    let expected = "key.activated|system\nkey.created|system\nkey.rotated|cli";
    assert_eq!(events(next), expected);
}
