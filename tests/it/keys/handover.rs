//! After a revocation the spare signs at once, and a key that nobody has seen takes over later:
//! at the appointed second, through restarts, crashes and further revocations, on both databases.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::jwt::Jwt;
use crate::support::keys::{active, key, kids, published, spare};
use crate::support::on_each;
use crate::support::signet::{Backend, Signet};

on_each!(Backend [Sqlite PostgresSql], |backend| start(backend), {
    the_spare_signs_until_the_new_key_does,
    a_handover_that_is_due_survives_a_restart_and_a_second_revocation,
    without_a_wait_the_new_key_signs_at_once,
    a_handover_is_made_by_whoever_follows_the_keys,
    every_published_key_that_is_revoked_makes_a_handover,
});

fn start(backend: Backend) -> (Signet, String) {
    let signet = Signet::builder()
        .backend(backend)
        .set("keys.algorithm", "ES256")
        .set("keys.publish_ahead", "30s")
        .set("keys.jwks_max_age", "5s")
        .set("keys.rotate_every", "off")
        .start();
    let secret = signet.add_confidential("worker", &["--grants", "client_credentials"]);
    (signet, secret)
}

fn revoke(signet: &Signet, kid: &str, handover_in: &str) -> Value {
    let handover = ["--handover-in", handover_in];
    let revoke = ["keys", "revoke", kid, "--reason", "stolen"];
    signet.cli_json(&[&revoke[..], &handover[..]].concat(), "")
}

fn text<'a>(view: &'a Value, member: &str) -> &'a str {
    view[member].as_str().unwrap_or_else(|| panic!("no {member}: {view}"))
}

/// Seconds since 1970.
fn seconds(time: &str) -> u64 {
    let time = humantime::parse_rfc3339(time).expect("RFC 3339");
    time.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Asks until there is an answer, or for this long.
async fn eventually<T>(limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = std::time::Instant::now();
    loop {
        let answer = ask().await;
        if answer.is_some() || start.elapsed() > limit {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A token's `kid`, and the second at which it was issued.
async fn signed(signet: &Signet, secret: &str) -> (String, u64) {
    let token = Client::new(signet.base()).client_token(("worker", secret)).await;
    let jwt = Jwt::decode(&token);
    let kid = jwt.header["kid"].as_str().expect("a kid").to_owned();
    (kid, jwt.claims["iat"].as_u64().expect("seconds"))
}

/// Takes tokens until one is issued at or after the handover; before that, the other key signs. The
/// clock is set to the last second before it.
async fn expect_handover(signet: &mut Signet, secret: &str, from: &str, to: &str, at: u64) {
    let client = Client::new(signet.base());
    let has_it = eventually(Duration::from_secs(30), async || {
        published(&client.jwks().await).iter().any(|kid| kid == to).then_some(())
    });
    assert!(has_it.await.is_some(), "{to} is not published");
    let (kid, issued_at) = signed(signet, secret).await;
    assert_eq!(kid, if issued_at < at { from } else { to }, "issued {issued_at}, due {at}");
    signet.advance(at.saturating_sub(issued_at + 1));
    let handed_over = eventually(Duration::from_secs(60), async || {
        let (kid, issued_at) = signed(signet, secret).await;
        assert_eq!(kid, if issued_at < at { from } else { to }, "issued {issued_at}, due {at}");
        (issued_at >= at).then_some(())
    });
    assert!(handed_over.await.is_some(), "the time of the handover never comes");
}

async fn the_spare_signs_until_the_new_key_does((mut signet, secret): (Signet, String)) {
    let client = Client::new(signet.base());
    let (first, next) = (active(&signet), spare(&signet));
    let before = published(&client.jwks().await);
    let view = revoke(&signet, &first, "4s");
    assert_eq!(text(&view, "active_kid"), next);
    let new = text(&view, "handover_kid");
    assert!(!before.iter().any(|kid| kid == new), "nobody has seen {new}: {before:?}");
    let shown = key(&signet, new);
    let [created, at] = ["created_at", "activates_at"].map(|time| seconds(text(&shown, time)));
    assert_eq!(shown["activates_at"], view["handover_at"]);
    assert_eq!(at, created + 4, "it is published for that long: {shown}");
    assert!(created > seconds(text(&key(&signet, &first), "revoked_at")), "{shown}");
    let has_them = eventually(Duration::from_secs(30), async || {
        let kids = published(&client.jwks().await);
        (!kids.contains(&first) && kids.iter().any(|kid| kid == new)).then_some(())
    });
    assert!(has_them.await.is_some(), "it is published");
    let reserve = spare(&signet);
    assert!(reserve != new && reserve != next, "there is a further spare");
    expect_handover(&mut signet, &secret, &next, new, at).await;
    // The spare that signed meanwhile stays for its tokens.
    assert_eq!(kids(&signet, "retiring"), [next]);
}

async fn a_handover_that_is_due_survives_a_restart_and_a_second_revocation(
    (mut signet, secret): (Signet, String),
) {
    let (first, next) = (active(&signet), spare(&signet));
    let view = revoke(&signet, &first, "9s");
    let (new, at) = (text(&view, "handover_kid"), seconds(text(&view, "handover_at")));
    signet.kill9();
    let second = revoke(&signet, &next, "1h");
    let signs = text(&second, "active_kid");
    assert!(signs != new && signs != next, "the spare, and not the one whose turn is due");
    let latest = text(&second, "handover_kid");
    assert!(latest != new && latest != signs, "{second}");
    assert!(seconds(text(&second, "handover_at")) > at + 3000, "{second}");
    signet.restart();
    expect_handover(&mut signet, &secret, signs, new, at).await;
    assert_eq!(key(&signet, latest)["activates_at"], second["handover_at"]);
}

async fn without_a_wait_the_new_key_signs_at_once((signet, secret): (Signet, String)) {
    let (first, next) = (active(&signet), spare(&signet));
    let view = revoke(&signet, &first, "0s");
    let new = text(&view, "handover_kid");
    assert!(new != next && new != first);
    assert_eq!(active(&signet), new);
    let signs = eventually(Duration::from_secs(30), async || {
        (signed(&signet, &secret).await.0 == new).then_some(())
    });
    assert!(signs.await.is_some(), "the process follows");
}

async fn a_handover_is_made_by_whoever_follows_the_keys((mut signet, secret): (Signet, String)) {
    let (first, next) = (active(&signet), spare(&signet));
    signet.kill9();
    // It dies when the revocation is stored, and before a key is made.
    let doomed = signet.sibling_with(|builder| builder.die_at("keys.committed"));
    let revoke = ["keys", "revoke", &first, "--reason", "stolen", "--handover-in", "6s"];
    assert!(!doomed.cli(&revoke, "").status.success(), "it is killed");
    assert_eq!((active(&signet), kids(&signet, "pending").len()), (next.clone(), 0));
    signet.restart();
    let planned = eventually(Duration::from_secs(60), async || {
        let keys = signet.cli_json(&["keys", "list"], "");
        let is_new = |key: &&Value| key["kid"] != *first && key["kid"] != *next;
        let planned = |key: &&Value| is_new(key) && key["activates_at"].is_string();
        keys.as_array().expect("a list").iter().find(planned).cloned()
    });
    let shown = planned.await.expect("a key that takes over");
    let new = text(&shown, "kid").to_owned();
    let at = seconds(text(&shown, "activates_at"));
    assert_eq!(at, seconds(text(&shown, "created_at")) + 6, "{shown}");
    expect_handover(&mut signet, &secret, &next, &new, at).await;
}

/// Verifiers keep each of them, so each can be forged with.
async fn every_published_key_that_is_revoked_makes_a_handover((signet, _): (Signet, String)) {
    let first = active(&signet);
    let waits = spare(&signet);
    let view = revoke(&signet, &waits, "20m");
    assert_eq!(text(&view, "active_kid"), first);
    let new = text(&view, "handover_kid").to_owned();
    assert_eq!(key(&signet, &new)["activates_at"], view["handover_at"]);
    // The one that was to take over: there is another in its place.
    let view = revoke(&signet, &new, "30m");
    let waiting = kids(&signet, "pending");
    let turns = waiting.iter().filter(|kid| key(&signet, kid)["activates_at"].is_string());
    assert_eq!(turns.count(), 2, "{waiting:?}");
    assert!(waiting.iter().any(|kid| kid == text(&view, "handover_kid")), "{waiting:?}");
    // A key that retires.
    let rotate = ["keys", "rotate", "--activate-in", "0s", "--force", "--reason", "a drill"];
    signet.cli_ok(&rotate, "");
    let view = revoke(&signet, &first, "40m");
    assert_eq!(key(&signet, text(&view, "handover_kid"))["activates_at"], view["handover_at"]);
    // However many are revoked, JWKS does not grow without end.
    for _ in 0..8 {
        revoke(&signet, &spare(&signet), "50m");
    }
    let waiting = kids(&signet, "pending").len();
    assert!((5..=9).contains(&waiting), "{waiting} wait");
}

#[tokio::test]
async fn the_wait_is_longer_than_every_cache_keeps_keys() {
    for (max_age, expected) in [("5s", 930), ("20m", 1230)] {
        let signet = Signet::builder()
            .set("keys.algorithm", "ES256")
            .set("keys.jwks_max_age", max_age)
            .prepare();
        signet.cli_ok(&["keys", "rewrap"], "");
        let first = active(&signet);
        let view = signet.cli_json(&["keys", "revoke", &first, "--reason", "stolen"], "");
        let shown = key(&signet, text(&view, "handover_kid"));
        let [created, at] = ["created_at", "activates_at"].map(|time| seconds(text(&shown, time)));
        assert_eq!(at - created, expected, "{max_age}");
        let clients = view["verifiers"].as_array().expect("a list").iter();
        let seconds = |name: &str| {
            let named = |view: &&Value| text(view, "clients").contains(name);
            clients.clone().find(named).unwrap_or_else(|| panic!("{name}: {view}"))["seconds"]
                .as_u64()
        };
        assert_eq!((seconds("jwks-rsa"), seconds("keyfunc")), (Some(36_000), Some(3600)));
        assert!(seconds("go-oidc 3").is_some_and(|until| until >= expected), "{view}");
    }
}

#[tokio::test]
async fn a_revoked_key_of_an_unused_algorithm_makes_the_default_one_hand_over() {
    let before = Signet::builder().set("keys.algorithm", "ES256").prepare();
    before.cli_ok(&["keys", "rewrap"], "");
    let unused = active(&before);
    let mut signet = before.sibling_with(|builder| builder.set("keys.algorithm", "EdDSA"));
    signet.restart();
    let view = revoke(&signet, &unused, "20m");
    let new = key(&signet, text(&view, "handover_kid"));
    assert_eq!((&new["algorithm"], &new["activates_at"]), (&json!("EdDSA"), &view["handover_at"]));
}
