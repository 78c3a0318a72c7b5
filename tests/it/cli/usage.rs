//! Wrong usage is told apart from failure, and passwords are never arguments.

use super::{assert_fails, assert_misused};
use crate::support::signet::Signet;

#[test]
fn wrong_usage_exits_with_2() {
    let signet = Signet::builder().prepare();
    for arguments in [
        &["nonsense"][..],
        &["serve", "nonsense"],
        &["--nonsense"],
        &["keys"],
        &["keys", "nonsense"],
        &["users"],
        &["users", "add"],
        &["users", "disable"],
        &["users", "add", "a@example.com", "--password", "given on the command line"],
        &["users", "set-password", "a@example.com", "given on the command line"],
        &["clients", "add"],
        &["clients", "add", "both", "--public", "--confidential"],
        &["clients", "add", "neither"],
        &["clients", "remove"],
        &["config"],
    ] {
        assert_misused(&signet.cli(arguments, ""));
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let signet = Signet::builder().prepare();
    for arguments in [&["--help"][..], &["users", "--help"], &["clients", "add", "--help"]] {
        let help = signet.cli_ok(arguments, "");
        assert!(help.contains("Usage:"), "{help}");
    }
    let version = signet.cli_ok(&["--version"], "");
    assert_eq!(version.trim(), format!("signet {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn failures_are_one_clear_line() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    for (arguments, named) in [
        (&["users", "disable", "nobody@example.com"][..], "nobody@example.com"),
        (&["users", "enable", "nobody@example.com"], "nobody@example.com"),
        (&["clients", "rotate-secret", "nobody"], "nobody"),
        (&["clients", "remove", "nobody"], "nobody"),
        (&["clients", "rotate-secret", "signet-first-party"], "signet-first-party"),
    ] {
        let error = assert_fails(&signet.cli(arguments, ""));
        assert!(error.contains(named), "{arguments:?}: {error}");
    }
    let set = ["users", "set-password", "nobody@example.com", "--password-stdin"];
    assert_fails(&signet.cli(&set, "a good long password"));
}

#[test]
fn a_database_that_does_not_answer_is_a_failure() {
    // Nobody listens on port 1.
    let signet = Signet::builder().postgres("postgres://signet@127.0.0.1:1/signet").prepare();
    for arguments in [&["migrate"][..], &["users", "list"], &["keys", "list"], &["clients", "list"]]
    {
        assert_fails(&signet.cli(arguments, ""));
    }
}

#[test]
fn bad_configuration_is_a_failure_that_names_the_key() {
    let signet = Signet::builder().set("tokens.access_token_lifetime", "1s").prepare();
    for arguments in [&["serve"][..], &["migrate"], &["config", "check"]] {
        let output = signet.cli(arguments, "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("tokens.access_token_lifetime"), "{error}");
    }
}
