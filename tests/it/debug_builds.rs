//! What tests set by environment variables (the place of a crash, the clock, ready-made keys) is part
//! of debug builds alone.

use std::path::Path;
use std::process::Command;

use crate::support::client::Client;
use crate::support::keys::published;
use crate::support::signet::Signet;

const VARIABLES: [&str; 3] = ["SIGNET_FAULT", "SIGNET_CLOCK_FILE", "SIGNET_READY_KEYS"];

/// Those of the variables that a program knows.
fn known_to(program: &Path) -> Vec<&'static str> {
    let program = std::fs::read(program).expect("a program");
    let text = String::from_utf8_lossy(&program);
    VARIABLES.into_iter().filter(|name| text.contains(name)).collect()
}

#[test]
fn the_service_under_test_knows_them() {
    assert_eq!(known_to(Path::new(env!("CARGO_BIN_EXE_signet"))), VARIABLES);
}

#[test]
#[ignore = "slow: makes a release build"]
fn a_release_build_knows_none_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = ["build", "--release", "--locked", "--features", "pkcs11", "--bin", "signet"];
    let built = Command::new(env!("CARGO")).args(build).current_dir(folder).status();
    assert!(built.expect("cargo runs").success());
    // Beside the folder of the debug build, wherever that is.
    let debug = Path::new(env!("CARGO_BIN_EXE_signet")).parent().expect("a folder");
    assert_eq!(known_to(&debug.with_file_name("release").join("signet")), [""; 0]);
}

#[tokio::test]
async fn two_instances_have_no_key_in_common() {
    let shared = published(&Client::shared().jwks().await);
    let instances = [Signet::start(), Signet::start()];
    let mut all = shared;
    for instance in &instances {
        all.extend(published(&Client::new(instance.base()).jwks().await));
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), count), (6, 6), "{all:?}");
}

#[tokio::test]
async fn the_clock_is_that_of_commands_too() {
    let mut signet = Signet::start();
    let created = |signet: &Signet, name: &str| {
        signet.add_public(name, &[]);
        let list = signet.cli_json(&["clients", "list"], "");
        let client =
            list.as_array().expect("a list").iter().find(|client| client["client_id"] == name);
        let time = client.expect("the client")["created_at"].as_str().expect("a time");
        humantime::parse_rfc3339(time).expect("RFC 3339")
    };
    let before = created(&signet, "one");
    signet.advance(3600);
    signet.advance(3600);
    let apart = created(&signet, "two").duration_since(before).expect("later");
    assert!((7200..7260).contains(&apart.as_secs()), "{apart:?}");
}
