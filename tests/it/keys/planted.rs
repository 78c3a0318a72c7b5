//! What is planted stops nothing: neither by its number, nor by a tag that nobody can tell, nor by what is
//! stored beside the keys; and an operator who vouches for it gives it no power over Signet.

use std::time::Duration;

use serde_json::Value;
use signet::base::random::Random;
use signet::base::sealing::SealingKey;

use super::attacker::{SIGNING, VERIFYING, World, now, stored};
use crate::support::client::Send;
use crate::support::keys::{active, foreign_key, key, kids, published, spare};
use crate::support::on_each;
use crate::support::process::poll_async;
use crate::support::signet::Backend;

on_each!(Backend [Sqlite PostgresSql], |backend| backend, {
    an_adopted_row_that_does_not_open_only_verifies_for_others,
    any_number_of_rows_displaces_no_key,
    a_tag_of_an_unknown_key_stops_neither_rotation_nor_handover,
    a_stored_handover_is_kept_within_bounds,
});

async fn an_adopted_row_that_does_not_open_only_verifies_for_others(backend: Backend) {
    let mut world = World::start(backend).await;
    let sealed = key(&world.signet, &active(&world.signet))["sealed_under"].clone();
    let garbage = format!("v1.{}.{}", sealed.as_str().expect("an id"), "A".repeat(200));
    for (kid, private_part) in [("sealed", &*garbage), ("token", "pkcs11.00"), ("other", "x")] {
        let (private, _) = foreign_key();
        world.plant(kid, &stored(&private), private_part, SIGNING).await;
        world.alarms(1).await;
        let told = world.signet.cli_ok(&["keys", "adopt", kid, "--reason", "a drill"], "");
        assert!(told.contains("does not open") && told.contains("only verifies"), "{told}");
        world.alarms(0).await;
        world.assert_published(kid).await;
        assert_eq!(key(&world.signet, kid)["kept_in"], "nowhere");
        let forged = world.forged(&private, kid);
        let client = world.client();
        assert!(client.is_active(world.credentials(), &forged).await, "it verifies for others");
        for path in ["/admin/keys", "/users/me"] {
            client.get(path).bearer_auth(&forged).answer().await.expect_problem(401);
        }
    }
    world.assert_serves().await;
}

async fn any_number_of_rows_displaces_no_key(backend: Backend) {
    let mut world = World::start(backend).await;
    let before = published(&world.client().jwks().await);
    let (public, at) = (stored(&foreign_key().0), now());
    for prefix in ["!", "~"] {
        let row = |number: usize| {
            format!(
                "('{prefix}{number}', 'RS256', '{public}', '', {at}, {}, NULL, NULL)",
                at + 90_000
            )
        };
        let rows: Vec<_> = (0..600).map(row).collect();
        world
            .sql(&format!(
                "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, \
                 created_at, activates_at, deactivates_at, retires_at) VALUES {}",
                rows.join(", ")
            ))
            .await;
    }
    world.assert_serves().await;
    assert_eq!(published(&world.client().jwks().await), before);
    // Also what is changed goes on, and the list still shows the keys.
    let next = spare(&world.signet);
    world.signet.cli_ok(&["keys", "rotate", "--activate-in", "0s", "--force", "--reason", "x"], "");
    assert_eq!(active(&world.signet), next);
    assert_eq!(kids(&world.signet, "pending").len(), 1);
    world.assert_serves().await;
}

async fn a_tag_of_an_unknown_key_stops_neither_rotation_nor_handover(backend: Backend) {
    let mut world = World::start(backend).await;
    let own = SealingKey::parse(SealingKey::generate(&Random::system()).expose()).expect("a key");
    world.plant("planted", &stored(&foreign_key().0), "v1.deadbeef.AAAA", SIGNING).await;
    let tag = "UPDATE signing_keys SET deactivates_at = NULL, tag = 'v1.deadbeef.AAAA'";
    world.sql(&format!("{tag} WHERE kid = 'planted'")).await;
    world.alarms(1).await;
    let (old, next) = (active(&world.signet), spare(&world.signet));
    let revoked = ["keys", "revoke", &old, "--reason", "stolen", "--handover-in", "1h", "--json"];
    let revoked: Value = serde_json::from_str(&world.signet.cli_ok(&revoked, "")).expect("JSON");
    assert_eq!(active(&world.signet), next);
    assert!(revoked["handover_kid"].is_string(), "a key takes over: {revoked}");
    world.signet.cli_ok(&["keys", "rotate", "--activate-in", "20m"], "");
    world.assert_serves().await;
    // Where a key is missing, it may be that one: the error says what to do.
    let tag = own.seal(b"", "x");
    let signs = active(&world.signet);
    world.sql(&format!("UPDATE signing_keys SET tag = '{tag}' WHERE kid = '{signs}'")).await;
    let refused = world.signet.cli(&["keys", "rotate", "--activate-in", "11m"], "");
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("keys revoke") && refused.contains("is not used"), "{refused}");
}

async fn a_stored_handover_is_kept_within_bounds(backend: Backend) {
    let mut world = World::start(backend).await;
    let (private, _) = foreign_key();
    world.plant("former", &stored(&private), "", VERIFYING).await;
    world.alarms(1).await;
    let waiting = kids(&world.signet, "pending").len();
    world
        .sql(
            "UPDATE key_chain_versions SET handover_since = 9999999999, handover_in = 35 \
             WHERE algorithm = 'RS256'",
        )
        .await;
    let made = poll_async(Duration::from_secs(60), async || {
        (kids(&world.signet, "pending").len() > waiting).then_some(())
    });
    assert!(made.await.is_some(), "the successor is not made: {}", world.signet.output());
    let latest = now() + 200;
    for kid in kids(&world.signet, "pending") {
        let query = "SELECT activates_at FROM signing_keys WHERE kid = $1";
        let row = world.db.fetch_optional(sqlx::query(query).bind(kid)).await.expect("a row");
        let at: i64 = sqlx::Row::try_get(&row.expect("a row"), 0).expect("a time");
        assert!(at < latest || at == super::attacker::NEVER, "{at}");
    }
    assert!(
        world.signet.output().contains("the nearest bound is used"),
        "{}",
        world.signet.output()
    );
    world.assert_serves().await;
}
