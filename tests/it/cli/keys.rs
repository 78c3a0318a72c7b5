//! keys list and rotate: the next key is published before it signs.

use serde_json::Value;

use super::{assert_fails, assert_misused, items};
use crate::support::client::Client;
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

fn kids(signet: &Signet, state: &str) -> Vec<String> {
    let list = signet.cli_json(&["keys", "list"], "");
    let in_state = items(&list).iter().filter(|key| key["state"] == state);
    in_state.map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

fn published(jwks: &Value) -> Vec<String> {
    let keys = jwks["keys"].as_array().expect("keys");
    let mut kids: Vec<_> =
        keys.iter().map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect();
    kids.sort();
    kids
}

#[tokio::test]
async fn a_rotation_publishes_the_next_key_and_signs_with_the_old_one_still() {
    let mut signet = Signet::start();
    let client = Client::new(signet.base());
    let active = kids(&signet, "active");
    assert_eq!(published(&client.jwks().await), active);
    assert_eq!(kids(&signet, "pending"), [""; 0]);
    let table = signet.cli_ok(&["keys", "list"], "");
    assert!(table.contains(&active[0]) && table.contains("active"), "{table}");
    assert!(table.contains("RS256"), "{table}");

    signet.cli_ok(&["keys", "rotate"], "");
    let pending = kids(&signet, "pending");
    assert_eq!((kids(&signet, "active"), pending.len()), (active.clone(), 1));
    // One that waits is enough.
    assert_fails(&signet.cli(&["keys", "rotate"], ""));

    signet.term();
    signet.restart();
    let client = Client::new(signet.base());
    let mut both = [active.clone(), pending].concat();
    both.sort();
    let jwks = client.jwks().await;
    assert_eq!(published(&jwks), both);
    let token = client.new_user().await.tokens.access_token;
    assert_eq!(Jwt::verify(&token, &jwks).header["kid"], active[0].as_str());
}

#[test]
fn a_key_cannot_sign_before_verifiers_know_it() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let output = signet.cli(&["keys", "rotate", "--activate-in", "1s"], "");
    let error = assert_fails(&output);
    assert!(error.contains("published for at least 10m"), "{error}");
    assert_misused(&signet.cli(&["keys", "rotate", "--activate-in", "soon"], ""));
}

#[test]
fn private_keys_are_never_shown() {
    let signet = Signet::start();
    for arguments in [&["keys", "list"][..], &["keys", "list", "--json"], &["keys", "rotate"]] {
        let shown = signet.cli_ok(arguments, "");
        for word in ["PRIVATE", "private", "sealed"] {
            assert!(!shown.contains(word), "{arguments:?}: {shown}");
        }
    }
}

#[test]
fn a_key_for_the_far_future_is_refused() {
    let signet = Signet::start();
    let before = signet.cli_ok(&["keys", "list", "--json"], "");
    let output = signet.cli(&["keys", "rotate", "--activate-in", "1000000000d"], "");
    assert!([Some(1), Some(2)].contains(&output.status.code()), "{output:?}");
    assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(signet.cli_ok(&["keys", "list", "--json"], ""), before);
    // No successor that never comes is in the way.
    signet.cli_ok(&["keys", "rotate"], "");
}
