//! Whoever can write the database, and has not the key-encryption key, makes no key that anybody
//! believes: rows that were planted, changed, swapped or brought back, on both databases. The service
//! goes on, starts again, and raises an alarm.

use std::time::Duration;

use rsa::pkcs8::EncodePublicKey;
use serde_json::json;
use signet::base::random::Random;
use signet::base::sealing::SealingKey;

use super::attacker::{NEVER, SIGNING, VERIFYING, World, database, stored};
use crate::support::keys::{active, foreign_key, key, kids, published, spare};
use crate::support::on_each;
use crate::support::process::poll_async;
use crate::support::signet::{Backend, Builder, Signet};

on_each!(Backend [Sqlite PostgresSql], |backend| backend, {
    a_planted_row_is_no_key,
    a_changed_row_is_no_key_and_the_spare_signs,
    a_key_that_only_verifies_stays_as_it_was_imported,
    nothing_is_authenticated_a_second_time,
    rows_of_before_are_authenticated_once_and_told,
});

async fn a_planted_row_is_no_key(backend: Backend) {
    let mut world = World::start(backend).await;
    let (private, thumbprint) = foreign_key();
    let public = stored(&private);
    let sealed = key(&world.signet, &active(&world.signet))["sealed_under"].clone();
    let garbage = format!("v1.{}.{}", sealed.as_str().expect("an id"), "A".repeat(200));
    let own = SealingKey::parse(SealingKey::generate(&Random::system()).expose()).expect("a key");
    let before = published(&world.client().jwks().await);

    world.plant(&thumbprint, &public, &garbage, SIGNING).await;
    world.plant("waits", &public, &garbage, [Some(9000), None, None]).await;
    world.plant("foreign", &public, "", VERIFYING).await;
    world.plant("with-another-tag", &public, &garbage, SIGNING).await;
    let tag = "SELECT tag FROM signing_keys WHERE tag IS NOT NULL LIMIT 1";
    world
        .sql(&format!("UPDATE signing_keys SET tag = ({tag}) WHERE kid = 'with-another-tag'"))
        .await;
    world.plant("with-an-own-tag", &public, &own.seal(b"x", "y"), SIGNING).await;
    let tag = own.seal(b"", "with-an-own-tag");
    world
        .sql(&format!("UPDATE signing_keys SET tag = '{tag}' WHERE kid = 'with-an-own-tag'"))
        .await;
    world.plant("no-algorithm", &public, "", VERIFYING).await;
    world.sql("UPDATE signing_keys SET algorithm = 'ROT13' WHERE kid = 'no-algorithm'").await;

    let planted =
        [&*thumbprint, "waits", "foreign", "with-another-tag", "with-an-own-tag", "no-algorithm"];
    world.alarms(planted.len()).await;
    for kid in planted {
        world.assert_no_key(kid, Some(&private)).await;
        // Of the others, the first of two statements may have been seen by itself.
        if [&*thumbprint, "waits", "foreign"].contains(&kid) {
            assert_eq!(world.logged(kid), 1, "however often it is looked at: {kid}");
        }
    }
    assert_eq!(published(&world.client().jwks().await), before);
    world.assert_serves().await;
    world.alarms(planted.len()).await;
    for kid in planted {
        world.assert_no_key(kid, Some(&private)).await;
    }
    // The keys go on beside it, also where its tag names a key-encryption key that nobody has.
    world.signet.cli_ok(&["keys", "rotate"], "");
    for kid in [&*thumbprint, "with-an-own-tag"] {
        world.signet.cli_ok(&["keys", "revoke", kid, "--reason", "planted"], "");
    }
    world.alarms(planted.len() - 2).await;
    assert!(kids(&world.signet, "active").len() == 1);
    // A list shows nothing of them but what is revoked, and nobody exports them for a key of Signet.
    let list = world.signet.cli(&["keys", "list", "--json"], "");
    let warned = String::from_utf8_lossy(&list.stderr).into_owned();
    assert!(warned.contains("foreign") && warned.contains("is not used"), "{warned}");
    assert!(!String::from_utf8_lossy(&list.stdout).contains("with-another-tag"), "{list:?}");
    assert!(!world.signet.cli(&["keys", "export", "foreign"], "").status.success());
}

async fn a_changed_row_is_no_key_and_the_spare_signs(backend: Backend) {
    let changes = [
        ("signs from another time", "activates_at = activates_at - 1"),
        ("signs for ever", "deactivates_at = NULL"),
        ("is published for ever", "retires_at = NULL"),
        ("has no tag", "tag = NULL"),
        ("has another public part", "public_key = '{public}'"),
        ("is for another algorithm", "algorithm = 'PS256'"),
    ];
    let mut world = World::start(backend).await;
    let (private, _) = foreign_key();
    let mut untagged = String::new();
    for (number, (what, change)) in changes.into_iter().enumerate() {
        let (old, next) = (active(&world.signet), spare(&world.signet));
        if what == "has no tag" {
            untagged = old.clone();
        }
        let change = change.replace("{public}", &stored(&private));
        world.sql(&format!("UPDATE signing_keys SET {change} WHERE kid = '{old}'")).await;
        world.alarms(number + 1).await;
        world.assert_no_key(&old, Some(&private)).await;
        world.assert_serves().await;
        // The spare has taken over, and there is another.
        assert_eq!(active(&world.signet), next, "{what}");
        let made = poll_async(Duration::from_secs(20), async || {
            (kids(&world.signet, "pending").len() == 1).then_some(())
        });
        assert!(made.await.is_some(), "{what}: there is no spare");
    }
    // One for which somebody vouches does not sign any more, since others do.
    world.signet.cli_ok(&["keys", "adopt", &untagged, "--reason", "a drill"], "");
    world.alarms(5).await;
    assert_eq!(key(&world.signet, &untagged)["state"], "retiring");
    world.assert_published(&untagged).await;
    world.sql(&format!("UPDATE signing_keys SET tag = NULL WHERE kid = '{untagged}'")).await;
    world.alarms(6).await;
    // Two parts that change places; and a spare that gets another name.
    let (one, other) = (active(&world.signet), spare(&world.signet));
    let public =
        format!("(SELECT public_key FROM signing_keys WHERE kid = '{one}') WHERE kid = '{other}'");
    world.sql(&format!("UPDATE signing_keys SET public_key = {public}")).await;
    world.alarms(7).await;
    world.assert_no_key(&other, None).await;
    world.assert_serves().await;
    let renamed =
        poll_async(Duration::from_secs(20), async || kids(&world.signet, "pending").pop());
    let renamed = renamed.await.expect("another spare");
    world.sql(&format!("UPDATE signing_keys SET kid = 'renamed' WHERE kid = '{renamed}'")).await;
    world.alarms(8).await;
    world.assert_no_key("renamed", None).await;
    world.assert_serves().await;
    assert_eq!(active(&world.signet), one, "the one that signs was not touched");
    // A revoked key does not come back as a copy of one that is not, nor by its old times.
    world.signet.cli_ok(&["keys", "revoke", &one, "--reason", "stolen"], "");
    let next = active(&world.signet);
    world
        .sql(&format!(
            "UPDATE signing_keys SET revoked_at = NULL, retires_at = NULL, deactivates_at = NULL, \
             tag = (SELECT tag FROM signing_keys WHERE kid = '{next}') WHERE kid = '{one}'"
        ))
        .await;
    world.alarms(9).await;
    world.assert_no_key(&one, None).await;
    world.assert_serves().await;
    assert_eq!(active(&world.signet), next);
}

async fn a_key_that_only_verifies_stays_as_it_was_imported(backend: Backend) {
    let mut world = World::start(backend).await;
    let (private, _) = foreign_key();
    let import = ["keys", "import", "-", "--kid", "former", "--verify-for", "1h"];
    let pem = private.to_public_key().to_public_key_pem(rsa::pkcs8::LineEnding::LF).expect("PEM");
    world.signet.cli_ok(&import, &pem);
    let client = world.client();
    world.assert_published("former").await;
    assert!(client.is_active(world.credentials(), &world.forged(&private, "former")).await);
    world.sql("UPDATE signing_keys SET retires_at = retires_at + 1 WHERE kid = 'former'").await;
    world.alarms(1).await;
    world.assert_no_key("former", Some(&private)).await;
    world.assert_serves().await;
    // Nor is it taken for one of Signet's own.
    world.sql("UPDATE signing_keys SET retires_at = retires_at - 1 WHERE kid = 'former'").await;
    world.alarms(0).await;
    world.sql("UPDATE signing_keys SET sealed_private_key = 'v1.a.b' WHERE kid = 'former'").await;
    world.alarms(1).await;
    world.assert_no_key("former", Some(&private)).await;
    // An operator can vouch for it, with a reason.
    world.sql("UPDATE signing_keys SET sealed_private_key = '' WHERE kid = 'former'").await;
    world.sql("UPDATE signing_keys SET retires_at = retires_at + 60 WHERE kid = 'former'").await;
    let adopt = ["keys", "adopt", "former", "--reason", "extended by hand"];
    assert!(!world.signet.cli(&["keys", "adopt", "former"], "").status.success());
    assert!(!world.signet.cli(&["keys", "adopt", "nobody", "--reason", "x"], "").status.success());
    let told = world.signet.cli_ok(&adopt, "");
    assert!(told.contains("former") && told.contains("only verifies"), "{told}");
    let again = world.signet.cli(&adopt, "");
    assert!(String::from_utf8_lossy(&again.stderr).contains("authentic already"), "{again:?}");
    assert_eq!(world.events("key.adopted", "former").await, 1);
    world.alarms(0).await;
    world.assert_published("former").await;
    assert!(world.client().is_active(world.credentials(), &world.forged(&private, "former")).await);
}

async fn nothing_is_authenticated_a_second_time(backend: Backend) {
    let mut world = World::start(backend).await;
    let (private, _) = foreign_key();
    let kept = published(&world.client().jwks().await);
    // The record that it was done, and then every tag with it, as before the upgrade.
    let tags = ["", ", tag = NULL"];
    for (round, all) in tags.into_iter().enumerate() {
        let kid = format!("planted-{round}");
        world.signet.term();
        world.plant(&kid, &stored(&private), "", VERIFYING).await;
        world.sql("DELETE FROM sealed_secrets WHERE name LIKE '%adopted%'").await;
        if all.is_empty() {
            world.signet.restart();
            world.alarms(1).await;
            world.assert_no_key(&kid, Some(&private)).await;
            assert_eq!(published(&world.client().jwks().await), kept);
        } else {
            world.sql(&format!("UPDATE signing_keys SET created_at = created_at{all}")).await;
            // Nothing is authentic any more, and nothing is made of that.
            world.signet.spawn();
            let status = world.signet.process().wait(Duration::from_secs(60)).expect("it ends");
            assert_eq!(status.code(), Some(1), "{}", world.signet.output());
        }
        assert!(world.signet.output().contains("no key is authenticated again"));
        assert_eq!(world.events("key.adopted", &kid).await, 0);
    }
}

/// The database as the version before had it, with a key-encryption key of one's own.
async fn rows_of_before_are_authenticated_once_and_told(backend: Backend) {
    let kek = SealingKey::generate(&Random::system()).expose().clone();
    let set = |builder: Builder| builder.set("keys.encryption_key", &kek);
    let signet = set(Signet::builder().backend(backend)).prepare();
    signet.cli_ok(&["users", "list"], "");
    let db = database(&signet).await;
    let secret = signet.add_confidential("service", &["--grants", "client_credentials"]);
    let mut world = World { signet, db, claims: json!({}), secret };
    let sealing = SealingKey::parse(&kek).expect("a key");
    let lost = SealingKey::parse(SealingKey::generate(&Random::system()).expose()).expect("a key");
    let made = |sealing: &SealingKey| {
        let key = signet::domain::keys::SigningKey::generate(
            signet::domain::keys::Algorithm::Rs256,
            2048,
        );
        let key = key.expect("a key");
        let document = key.to_pkcs8().expect("PKCS#8");
        let sealed = sealing.seal(document.expose(), &key.public.kid);
        (key.public.kid.clone(), key.public.spki.clone(), sealed)
    };
    let [first, next, waiting] = [made(&sealing), made(&sealing), made(&lost)];
    let (former, _) = foreign_key();
    for ((kid, public, sealed), span) in [
        (&first, [Some(-9000), Some(NEVER), Some(NEVER)]),
        (&next, [Some(NEVER), None, None]),
        (&waiting, [Some(-99_000), Some(-9000), Some(9000)]),
    ] {
        world.plant(kid, public, sealed, span).await;
    }
    world.plant("former", &stored(&former), "", VERIFYING).await;
    world.plant("expired", &stored(&foreign_key().0), "", [Some(-99), Some(-99), Some(-9)]).await;

    let told = world.signet.cli_ok(&["migrate"], "");
    for kid in [&*first.0, &next.0, "former"] {
        assert!(told.contains(&format!("key {kid} is authenticated")), "{kid}: {told}");
        assert_eq!(world.events("key.adopted", kid).await, 1, "{kid}");
    }
    assert!(told.contains(&format!("signet keys adopt {}", waiting.0)), "{told}");
    assert!(!told.contains("expired"), "{told}");
    assert!(!world.signet.cli_ok(&["migrate"], "").contains("authenticated"), "once");

    world.signet.restart();
    let mut expected = vec![first.0.clone(), next.0.clone(), "former".to_owned()];
    expected.sort();
    assert_eq!(published(&world.client().jwks().await), expected);
    world.alarms(1).await;
    world.assert_no_key(&waiting.0, None).await;
    world.assert_serves().await;
    world.signet.cli_ok(&["keys", "adopt", &waiting.0, "--reason", "of the old data centre"], "");
    world.alarms(0).await;
    world.assert_published(&waiting.0).await;
    expected.push(waiting.0.clone());
    expected.sort();
    assert_eq!(published(&world.client().jwks().await), expected);
    // What comes later without a tag has none.
    world.plant("late", &stored(&former), "", VERIFYING).await;
    world.alarms(1).await;
    world.assert_no_key("late", None).await;
    world.assert_serves().await;
    assert_eq!(active(&world.signet), first.0);
    // Nor a second time where no private part says that there were tags, as on a token.
    world.signet.term();
    world.sql("DELETE FROM sealed_secrets WHERE name LIKE '%adopted%'").await;
    world.sql("DELETE FROM signing_keys").await;
    for ((kid, public, sealed), span) in
        [(&first, [Some(-9000), Some(NEVER), Some(NEVER)]), (&next, [Some(NEVER), None, None])]
    {
        world.plant(kid, public, sealed, span).await;
    }
    world.signet.spawn();
    let status = world.signet.process().wait(Duration::from_secs(60)).expect("it ends");
    assert_eq!(status.code(), Some(1), "{}", world.signet.output());
    assert!(world.signet.output().contains("no key is authenticated again"));
    assert_eq!(world.events("key.adopted", &first.0).await, 1);
}
