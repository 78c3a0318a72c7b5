//! keys list, rotate, retire, revoke and export: what they do, print and leave in the audit trail.

use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use serde_json::json;

use super::{assert_fails, assert_misused};
use crate::support::client::Client;
use crate::support::jwt::{Jwt, public_key};
use crate::support::keys::{active, key, kids, published, spare};
use crate::support::postgres::Postgres;
use crate::support::signet::Signet;

fn prepared() -> Signet {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["keys", "rewrap"], "");
    signet
}

#[test]
fn a_list_shows_what_signs_and_what_waits() {
    let signet = prepared();
    let (active, spare) = (active(&signet), spare(&signet));
    let table = signet.cli_ok(&["keys", "list"], "");
    let line = |kid: &str| table.lines().find(|line| line.contains(kid)).expect("its line");
    for word in ["RS256", "active"] {
        assert!(line(&active).contains(word), "{table}");
    }
    for word in ["RS256", "pending", "in reserve"] {
        assert!(line(&spare).contains(word), "{table}");
    }
    assert!(table.lines().next().is_some_and(|line| line.contains("SIGNS FROM")), "{table}");

    let shown = key(&signet, &spare);
    let mut members: Vec<_> = shown.as_object().expect("a key").keys().collect();
    members.sort();
    let expected = [
        "activates_at",
        "algorithm",
        "created_at",
        "deactivates_at",
        "in_all_caches_in",
        "kept_in",
        "kid",
        "next_at",
        "next_state",
        "retires_at",
        "revoked_at",
        "sealed_under",
        "state",
    ];
    assert_eq!(members, expected);
    assert_eq!((&shown["algorithm"], &shown["next_state"]), (&json!("RS256"), &json!("active")));
    assert!(shown["in_all_caches_in"].as_u64().is_some_and(|s| (1..=605).contains(&s)), "{shown}");
    // Both of them change over at the same moment.
    let signs = key(&signet, &active);
    assert_eq!((&signs["next_state"], &signs["next_at"]), (&json!("retiring"), &shown["next_at"]));
}

#[tokio::test]
async fn a_rotation_plans_the_spares_turn_and_the_old_key_signs_till_then() {
    let mut signet = Signet::start();
    let client = Client::new(signet.base());
    let (first, next) = (active(&signet), spare(&signet));
    let mut all = vec![first.clone(), next.clone()];
    all.sort();
    assert_eq!(published(&client.jwks().await), all);

    let rotated = signet.cli_json(&["keys", "rotate"], "");
    assert_eq!(rotated["kid"], next.as_str());
    let planned = key(&signet, &next);
    assert_eq!(planned["activates_at"], rotated["activates_at"]);
    assert_eq!(key(&signet, &first)["retires_at"], rotated["old_retires_at"]);
    assert_eq!(active(&signet), first);
    // The one after it has its turn when it will have signed for as long as keys do.
    let after = spare(&signet);
    let expected = key(&signet, &after)["next_at"].clone();
    assert_ne!(expected, key(&signet, &first)["next_at"]);
    assert!(expected.as_str() > planned["activates_at"].as_str(), "{expected}");
    // One rotation under way is enough, unless the next is to be sooner.
    let error = assert_fails(&signet.cli(&["keys", "rotate"], ""));
    assert!(error.contains("under way"), "{error}");
    let sooner = signet.cli_json(&["keys", "rotate", "--activate-in", "11m"], "");
    assert_eq!(sooner["kid"], next.as_str());
    assert!(sooner["activates_at"].as_str() < rotated["activates_at"].as_str());
    assert_eq!((active(&signet), spare(&signet)), (first.clone(), after.clone()));

    signet.term();
    signet.restart();
    let client = Client::new(signet.base());
    all.push(after);
    all.sort();
    let jwks = client.jwks().await;
    assert_eq!(published(&jwks), all);
    let token = client.new_user().await.tokens.access_token;
    assert_eq!(Jwt::verify(&token, &jwks).header["kid"], first.as_str());
}

#[test]
fn a_key_signs_sooner_than_verifiers_can_follow_only_by_force() {
    let signet = prepared();
    let (first, next) = (active(&signet), spare(&signet));
    let at_once = ["keys", "rotate", "--activate-in", "0s"];
    let error = assert_fails(&signet.cli(&["keys", "rotate", "--activate-in", "604s"], ""));
    assert!(error.contains("published for at least 10m 5s"), "{error}");
    assert_misused(&signet.cli(&["keys", "rotate", "--activate-in", "soon"], ""));
    assert_misused(&signet.cli(&[&at_once[..], &["--force"]].concat(), ""));
    let error = signet.cli(&[&at_once[..], &["--force", "--reason", " "]].concat(), "");
    assert!(assert_fails(&error).contains("a reason of 1 to 500"), "{error:?}");
    let long = "x".repeat(501);
    assert_fails(&signet.cli(&[&at_once[..], &["--force", "--reason", &long]].concat(), ""));
    assert_eq!(active(&signet), first);
    signet.cli_ok(&[&at_once[..], &["--force", "--reason", "a drill"]].concat(), "");
    assert_eq!((active(&signet), kids(&signet, "retiring")), (next, vec![first]));
}

#[test]
fn a_key_for_the_far_future_is_refused() {
    let signet = prepared();
    let before = (active(&signet), kids(&signet, "pending"));
    for wait in ["91d", "1000000000d"] {
        let output = signet.cli(&["keys", "rotate", "--activate-in", wait], "");
        assert!([Some(1), Some(2)].contains(&output.status.code()), "{output:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!((active(&signet), kids(&signet, "pending")), before);
    // No successor that never comes is in the way.
    signet.cli_ok(&["keys", "rotate"], "");
}

#[test]
fn a_key_that_is_not_needed_retires() {
    let signet = prepared();
    let (first, waits) = (active(&signet), spare(&signet));
    for (kid, why) in [(first.as_str(), "the key is active"), ("unknown", "no key has the kid")] {
        let error = assert_fails(&signet.cli(&["keys", "retire", kid], ""));
        assert!(error.contains(why), "{error}");
        let forced = ["keys", "retire", kid, "--force", "--reason", "because"];
        assert_fails(&signet.cli(&forced, ""));
    }
    assert_misused(&signet.cli(&["keys", "retire", &waits, "--force"], ""));
    let retired = signet.cli_json(&["keys", "retire", &waits], "");
    assert_eq!((&retired["kid"], &retired["state"]), (&json!(waits), &json!("retired")));
    let error = assert_fails(&signet.cli(&["keys", "retire", &waits], ""));
    assert!(error.contains("retired already"), "{error}");
    assert_ne!(spare(&signet), waits, "there is another in its place");

    let rotate = ["keys", "rotate", "--activate-in", "0s", "--force", "--reason", "a drill"];
    signet.cli_ok(&rotate, "");
    let error = assert_fails(&signet.cli(&["keys", "retire", &first], ""));
    assert!(error.contains("can be valid until"), "{error}");
    signet.cli_ok(&["keys", "retire", &first, "--force", "--reason", "its tokens too"], "");
    assert_eq!(key(&signet, &first)["state"], "retired");
    assert_eq!(key(&signet, &first)["revoked_at"], json!(null));
}

#[test]
fn the_last_key_of_an_unused_algorithm_ends_with_its_tokens() {
    let postgres = Postgres::shared();
    let database = postgres.fresh_database();
    let before = Signet::builder().postgres(&database).set("keys.algorithm", "ES256").prepare();
    before.cli_ok(&["keys", "rewrap"], "");
    let kid = active(&before);
    let signet = before.sibling_with(|builder| builder.set("keys.algorithm", "RS256"));
    let error = assert_fails(&signet.cli(&["keys", "retire", &kid], ""));
    assert!(error.contains("the key is active"), "{error}");
    let forced = ["keys", "retire", &kid, "--force", "--reason", "nobody asks for it"];
    let told = signet.cli_ok(&forced, "");
    assert!(told.contains("signs no longer; it leaves JWKS at"), "{told}");
    let shown = key(&signet, &kid);
    assert_eq!(shown["state"], "retiring");
    let leaves_at = shown["retires_at"].as_str().expect("a time");
    let query = "SELECT detail FROM audit_events WHERE event = 'key.withdrawn'";
    let expected =
        format!("signs no longer, leaves JWKS at {leaves_at}; reason: nobody asks for it");
    assert_eq!(postgres.sql(&database, query).trim(), expected);
}

#[tokio::test]
async fn a_revoked_key_is_gone_and_the_spare_signs() {
    let signet = Signet::start();
    let (first, next) = (active(&signet), spare(&signet));
    assert_misused(&signet.cli(&["keys", "revoke", &first], ""));
    assert_fails(&signet.cli(&["keys", "revoke", &first, "--reason", ""], ""));
    assert_fails(&signet.cli(&["keys", "revoke", "unknown", "--reason", "stolen"], ""));
    assert_eq!(active(&signet), first);

    let revoked = signet.cli_json(&["keys", "revoke", &first, "--reason", "stolen"], "");
    assert_eq!((&revoked["kid"], &revoked["active_kid"]), (&json!(first), &json!(next)));
    let shown = key(&signet, &first);
    assert_eq!(
        (&shown["state"], &revoked["tokens_issued_until"]),
        (&json!("retired"), &shown["revoked_at"],)
    );
    assert_eq!(revoked["tokens_issued_from"], shown["activates_at"]);
    assert_eq!(revoked["active_published_at"], key(&signet, &next)["created_at"]);
    for member in ["active_in_all_caches_at", "handover_kid", "handover_at"] {
        assert!(revoked[member].is_string(), "{revoked}");
    }
    assert_misused(&signet.cli(&["keys", "revoke", &next, "--handover-in", "soon"], ""));
    let too_late = ["keys", "revoke", &next, "--reason", "stolen", "--handover-in", "91d"];
    assert!(assert_fails(&signet.cli(&too_late, "")).contains("within 90 days"));
    let table = signet.cli_ok(&["keys", "list"], "");
    let line = table.lines().find(|line| line.contains(&first)).expect("its line");
    assert!(line.contains("revoked"), "{table}");
    assert_eq!(active(&signet), next);
    assert_fails(&signet.cli(&["keys", "revoke", &first, "--reason", "again"], ""));

    // For people; and one that never signed.
    let waits = spare(&signet);
    let text = signet.cli_ok(&["keys", "revoke", &waits, "--reason", "seen in a backup"], "");
    for part in [waits.as_str(), "none: it never signed", "signs now", next.as_str(), "takes over"]
    {
        assert!(text.contains(part), "{text}");
    }
    // How long it lives, by client, and no promise for all of them.
    for (clients, until) in [
        ("revocation feed", "for a second at most"),
        ("Nimbus, Spring", "(5m)"),
        ("go-oidc 3, zitadel/oidc", "its first token of the new key"),
        ("Quarkus", "its first token of the new key"),
        ("keyfunc", "(1h)"),
        ("jwks-rsa", "(10h)"),
        ("any other client", "as long as it keeps JWKS"),
    ] {
        let line = text.lines().find(|line| line.contains(clients));
        assert!(line.is_some_and(|line| line.contains(until)), "{clients}: {text}");
    }
    assert_ne!(spare(&signet), waits);
}

#[tokio::test]
async fn a_public_part_is_exported_as_jwk_and_as_pem() {
    let signet = Signet::start();
    let jwks = Client::new(signet.base()).jwks().await;
    for published in jwks["keys"].as_array().expect("keys") {
        let kid = published["kid"].as_str().expect("a kid");
        let jwk = signet.cli_ok(&["keys", "export", kid], "");
        let jwk: serde_json::Value = serde_json::from_str(&jwk).expect("JSON");
        assert_eq!(&jwk, published);
        let pem = signet.cli_ok(&["keys", "export", kid, "--pem"], "");
        let key = RsaPublicKey::from_public_key_pem(&pem).expect("PEM");
        assert_eq!(key, public_key(published));
    }
    assert_fails(&signet.cli(&["keys", "export", "unknown"], ""));
}

#[test]
fn private_keys_are_never_shown() {
    let signet = prepared();
    let kid = active(&signet);
    for arguments in [
        &["keys", "list"][..],
        &["keys", "list", "--json"],
        &["keys", "rotate"],
        &["keys", "export", &kid],
        &["keys", "export", &kid, "--pem"],
        &["keys", "rewrap"],
        &["keys", "revoke", &kid, "--reason", "stolen"],
    ] {
        let shown = signet.cli_ok(arguments, "");
        // None of these can be part of a kid or of base64.
        for word in ["PRIVATE KEY", "\"private", "v1."] {
            assert!(!shown.contains(word), "{arguments:?}: {shown}");
        }
    }
}

#[test]
fn the_audit_trail_says_who_did_what_and_why() {
    let postgres = Postgres::shared();
    let database = postgres.fresh_database();
    let signet = Signet::builder().postgres(&database).prepare();
    signet.cli_ok(&["keys", "rewrap"], "");
    let (first, next) = (active(&signet), spare(&signet));
    let forced = ["--activate-in", "0s", "--force", "--reason", "a drill"];
    signet.cli_ok(&[&["keys", "rotate"][..], &forced].concat(), "");
    let waits = spare(&signet);
    signet.cli_ok(&["keys", "retire", &waits], "");
    signet.cli_ok(&["keys", "retire", &first, "--force", "--reason", "the end"], "");
    signet.cli_ok(&["keys", "revoke", &next, "--reason", "on a lost disk"], "");
    // What is refused leaves nothing.
    assert_fails(&signet.cli(&["keys", "retire", &next], ""));

    let events = |event: &str| {
        let query = format!(
            "SELECT actor, subject, detail FROM audit_events WHERE event = '{event}' ORDER BY id"
        );
        let rows = postgres.sql(&database, &query);
        rows.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let made = events("key.created");
    assert!(made.contains(&format!("system|{first}|for RS256")), "{made:?}");
    assert!(made.iter().all(|row| row.starts_with("system|")), "{made:?}");
    let one = |event: &str| {
        let [row] = events(event).try_into().expect("one");
        row
    };
    let rotated = one("key.rotated");
    assert!(rotated.starts_with(&format!("cli|{next}|signs from ")), "{rotated}");
    assert!(rotated.ends_with("; reason: a drill"), "{rotated}");
    let withdrawn =
        [format!("cli|{waits}|left JWKS"), format!("cli|{first}|left JWKS; reason: the end")];
    let mut kept = events("key.withdrawn");
    kept.sort_by_key(|row| row.contains("reason"));
    assert_eq!(kept, withdrawn);
    let signs = active(&signet);
    let revoked = format!("cli|{next}|{signs} signs now; reason: on a lost disk");
    assert_eq!(one("key.revoked"), revoked);
    assert!(one("keys.rewrapped").contains("|0 sealed anew"));
}
