//! The key-encryption key: changed without ending a session, missed, mistaken, and what a copy of
//! the database is worth without it.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Duration;

use signet::base::random::Random;
use signet::base::sealing::SealingKey;

use crate::support::client::Client;
use crate::support::keys::kids;
use crate::support::signet::{Builder, Signet};

/// A new key as it is written, and its id.
fn new_key() -> (String, String) {
    let text = SealingKey::generate(&Random::system());
    let id = SealingKey::parse(text.expose()).expect("a key").id().to_owned();
    (text.expose().clone(), id)
}

fn with_key(builder: Builder, key: &str) -> Builder {
    builder.set("keys.encryption_key", key)
}

/// Checks that neither the service nor a command starts; returns what the service says.
fn assert_does_not_start(signet: &mut Signet) -> String {
    signet.spawn();
    let status = signet.process().wait(Duration::from_secs(60)).expect("it ends");
    assert_eq!(status.code(), Some(1), "{}", signet.output());
    let Output { status, stdout, stderr } = signet.cli(&["keys", "rotate"], "");
    assert_eq!((status.code(), stdout.len()), (Some(1), 0));
    String::from_utf8(stderr).expect("UTF-8")
}

#[tokio::test]
async fn it_is_changed_without_ending_a_session() {
    let ((old, old_id), (new, new_id)) = (new_key(), new_key());
    let mut signet = with_key(Signet::builder(), &old).set("keys.algorithm", "ES256").start();
    let user = Client::new(signet.base()).new_user().await;
    signet.term();
    let sealed_under = |signet: &Signet| {
        let list = signet.cli_json(&["keys", "list"], "");
        let ids = list.as_array().expect("a list").iter();
        let ids = ids.map(|key| key["sealed_under"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(sealed_under(&signet), [old_id.clone(), old_id.clone()]);

    // Only the new one: what is missing is told by its name.
    let mut only_new = signet.sibling_with(|builder| with_key(builder, &new));
    let error = assert_does_not_start(&mut only_new);
    assert!(error.contains(&old_id) && error.contains(&new_id), "{error}");
    assert!(!error.contains(&new), "{error}");

    // Both, the newest first; from a file, as secrets are given.
    let file = signet.folder().join("kek");
    std::fs::write(&file, format!("{new}\n{old}\n")).expect("written");
    let mut both = signet.sibling_with(|builder| {
        builder.unset("keys.encryption_key").set("keys.encryption_key_file", "kek")
    });
    both.restart();
    let client = Client::new(both.base());
    client.me(&user.tokens.access_token).await.expect(200);
    let tokens = client.refresh(&user.tokens.refresh_token).await.tokens();
    // What is made now is sealed under the new one.
    both.cli_ok(&["keys", "rotate"], "");
    let mut ids = sealed_under(&both);
    ids.sort_by_key(|id| *id == new_id);
    assert_eq!(ids, [old_id.clone(), old_id.clone(), new_id.clone()]);

    let done = both.cli_json(&["keys", "rewrap"], "");
    // Two signing keys, and the key of the refresh tokens.
    let expected = serde_json::json!({
        "sealed_under": new_id,
        "rewrapped": 4,
        "no_longer_needed": [old_id],
    });
    assert_eq!(done, expected);
    let again = both.cli_ok(&["keys", "rewrap"], "");
    assert!(again.contains("nothing was sealed under another"), "{again}");
    // The running instance goes on.
    let tokens = client.refresh(&tokens.refresh_token).await.tokens();
    both.term();

    only_new.restart();
    let client = Client::new(only_new.base());
    client.me(&tokens.access_token).await.expect(200);
    client.refresh(&tokens.refresh_token).await.tokens();
    assert_eq!(sealed_under(&only_new), vec![new_id; 3]);
    // And the old one is good for nothing any more.
    assert_does_not_start(&mut signet.sibling());
}

#[tokio::test]
async fn the_one_of_development_is_changed_in_its_file() {
    let mut signet = Signet::builder().set("keys.algorithm", "ES256").start();
    let user = Client::new(signet.base()).new_user().await;
    signet.term();
    let file = signet.folder().join("keys/encryption.key");
    let old = std::fs::read_to_string(&file).expect("it was made");
    let (new, new_id) = new_key();
    std::fs::write(&file, format!("{new}\n{old}")).expect("written");
    let done = signet.cli_json(&["keys", "rewrap"], "");
    assert_eq!((&done["sealed_under"], &done["rewrapped"]), (&new_id.into(), &4.into()));
    std::fs::write(&file, &new).expect("written");
    signet.restart();
    Client::new(signet.base()).refresh(&user.tokens.refresh_token).await.tokens();
}

#[test]
fn a_mistaken_or_missing_one_starts_nothing_and_adds_nothing() {
    let signet = Signet::builder().set("keys.algorithm", "ES256").prepare();
    signet.cli_ok(&["keys", "rewrap"], "");
    let before = (kids(&signet, "active"), kids(&signet, "pending"));
    let (other, other_id) = new_key();
    let mut mistaken = signet.sibling_with(|builder| with_key(builder, &other));
    let error = assert_does_not_start(&mut mistaken);
    assert!(error.contains(&other_id), "{error}");
    for arguments in [&["keys", "rewrap"][..], &["keys", "rotate"]] {
        assert_eq!(mistaken.cli(arguments, "").status.code(), Some(1), "{arguments:?}");
    }
    for malformed in ["short", "AAAA", &format!("{other},short")] {
        let mut signet = signet.sibling_with(|builder| with_key(builder, malformed));
        assert_does_not_start(&mut signet);
    }

    let file = signet.folder().join("keys/encryption.key");
    let kept = std::fs::read_to_string(&file).expect("it was made");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("opened");
    let error = assert_does_not_start(&mut signet.sibling());
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::remove_file(&file).expect("removed");
    let error = assert_does_not_start(&mut signet.sibling());
    assert!(error.contains("there is no key-encryption key"), "{error}");
    assert!(!file.exists(), "no other takes its place");

    std::fs::write(&file, kept).expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("closed");
    assert_eq!((kids(&signet, "active"), kids(&signet, "pending")), before);
    // A stolen key can be revoked in any case. No spare is made under a key that is mistaken.
    mistaken.cli_ok(&["keys", "revoke", &before.0[0], "--reason", "stolen"], "");
    assert_eq!((kids(&signet, "active"), kids(&signet, "pending").len()), (before.1, 0));
    signet.cli_ok(&["keys", "rotate"], "");
}

#[tokio::test]
async fn a_copy_of_the_database_alone_opens_nothing() {
    let mut signet = Signet::builder().set("keys.algorithm", "ES256").start();
    let user = Client::new(signet.base()).new_user().await;
    signet.term();
    let issuer = signet.issuer().to_owned();
    let mut thief =
        Signet::builder().set("keys.algorithm", "ES256").set("issuer", &issuer).prepare();
    let copy = thief.folder().join("data");
    std::fs::create_dir_all(&copy).expect("a folder");
    for entry in std::fs::read_dir(signet.folder().join("data")).expect("a folder") {
        let path = entry.expect("a file").path();
        std::fs::copy(&path, copy.join(path.file_name().expect("a name"))).expect("copied");
    }
    assert_does_not_start(&mut thief);
    assert_does_not_start(&mut thief.sibling_with(|builder| with_key(builder, &new_key().0)));
    // Nor do its tokens mean anything to an instance that began anew under the same name.
    std::fs::remove_dir_all(&copy).expect("removed");
    thief.restart();
    let client = Client::new(thief.base());
    client.me(&user.tokens.access_token).await.expect(401);
    let refused = client.refresh(&user.tokens.refresh_token).await;
    refused.expect_oauth_error(400, "invalid_grant");
}
