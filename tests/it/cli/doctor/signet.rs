//! A real Signet, as it comes and with a closed feed; what the command prints, and how it is misused.

use std::collections::BTreeSet;

use super::{Found, doctor, doctor_with};
use crate::cli::assert_misused;
use crate::support::fixtures;
use crate::support::signet::Signet;

#[test]
fn all_is_well_with_a_running_signet() {
    let signet = Signet::shared();
    let output = doctor(&["--issuer", signet.issuer(), "--json"]);
    let found = Found::of(&output);
    assert_eq!(found.0["issuer"], signet.issuer());
    assert!(found.0["ok"] == true && found.names("warning").is_empty(), "{found:?}");
    let skipped: BTreeSet<_> = found.names("skipped").into_iter().collect();
    assert_eq!(skipped, BTreeSet::from(["dns", "tls", "token"]));
    for measured in ["tcp", "clock", "jwks", "stream", "heartbeat", "heartbeat jitter"] {
        assert!(found.check(measured)["milliseconds"].is_number(), "{found:?}");
    }
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(progress.contains("listening to the stream"), "{progress}");
}

#[test]
fn people_get_a_table() {
    let output = doctor(&["--issuer", Signet::shared().issuer()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("CHECK "), "{text}");
    assert!(text.lines().any(|line| line.starts_with("jwks ") && line.contains(" ok ")), "{text}");
    assert!(text.ends_with("\nNothing to do.\n"), "{text}");

    let output = doctor(&["--issuer", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (table, to_do) = text.split_once("\nTo do:\n").expect("what to do");
    assert!(
        table.lines().any(|line| line.starts_with("tcp ") && line.contains("failed")),
        "{text}"
    );
    assert!(to_do.starts_with("  tcp (failed): start the service"), "{text}");
}

#[test]
fn a_client_hears_of_its_tokens_end_within_a_second() {
    let (client_id, secret) = fixtures::bystander();
    let arguments = ["--client-id", client_id, "--client-secret-stdin"];
    let issuer = Signet::shared().issuer();
    let arguments = [&["--issuer", issuer, "--json"], &arguments[..]].concat();
    let output = doctor_with(&[], &arguments, &format!("{secret}\n"));
    let found = Found::of(&output);
    assert!(found.names("failed").is_empty(), "{found:?}");
    for (check, limit) in [("stream latency", 1000.0), ("statement latency", 2000.0)] {
        let took = found.check(check)["milliseconds"].as_f64().expect("it was measured");
        assert!(found.seen(check, "ok").contains("shown") && took < limit, "{found:?}");
    }
    for check in ["token", "token signature", "token claims", "revocation", "introspection"] {
        found.seen(check, "ok");
    }
    let said = format!("{output:?}");
    // Three parts, the first of them JSON. A kid, which may begin in any way, has no dots.
    let is_token = |word: &str| word.starts_with("eyJ") && word.matches('.').count() == 2;
    let in_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let shows_token = said.split(|c| !in_token(c)).any(is_token);
    assert!(!said.contains(secret) && !shows_token, "{said}");
}

#[test]
fn a_wrong_secret_is_told_as_such_and_not_shown() {
    let (client_id, _) = fixtures::bystander();
    let issuer = Signet::shared().issuer();
    let arguments =
        ["--issuer", issuer, "--json", "--client-id", client_id, "--client-secret-stdin"];
    let output = doctor_with(&[], &arguments, "twenty-wrong-lanterns\n");
    Found::of(&output).assert_failed("token", "invalid_client", "id and secret");
    assert!(!format!("{output:?}").contains("lanterns"), "{output:?}");
}

#[test]
fn a_closed_feed_opens_to_a_client_with_the_scope() {
    let signet = Signet::builder().set("revocations.open", "false").start();
    let found = Found::at(signet.issuer(), &[]);
    assert!(found.seen("statement", "skipped").contains("not open to all"), "{found:?}");

    let options = ["--grants", "client_credentials", "--scopes", "read"];
    let deaf = signet.add_confidential("deaf", &options);
    let options = ["--grants", "client_credentials", "--scopes", "revocations:read"];
    let hearing = signet.add_confidential("hearing", &options);
    let ask = |client_id: &str, secret: &str| {
        let issuer = signet.issuer();
        let arguments =
            ["--issuer", issuer, "--json", "--client-id", client_id, "--client-secret-stdin"];
        Found::of(&doctor_with(&[], &arguments, secret))
    };
    ask("deaf", &deaf).assert_failed("statement", "invalid_scope", "revocations:read");
    let found = ask("hearing", &hearing);
    assert!(found.names("failed").is_empty(), "{found:?}");
    found.seen("stream latency", "ok");
}

#[test]
fn a_configuration_is_neither_needed_nor_read() {
    let issuer = Signet::shared().issuer();
    let variables = [("SIGNET__NONSENSE", "1"), ("SIGNET__ISSUER", "nonsense")];
    let arguments = ["--issuer", issuer, "--config", "nowhere.toml", "--json"];
    assert!(Found::of(&doctor_with(&variables, &arguments, "")).names("failed").is_empty());
}

#[test]
fn wrong_usage_exits_with_2() {
    let issuer = ["--issuer", "http://127.0.0.1:1"];
    for arguments in [
        &[][..],
        &["--issuer", "id.example.com"],
        &["--issuer", "ftp://id.example.com"],
        &["--issuer", "https://user:password@id.example.com"],
        &["--issuer", "https://id.example.com?tenant=a"],
        &[&issuer[..], &["--timeout", "soon"]].concat(),
        &[&issuer[..], &["--timeout", "0s"]].concat(),
        &[&issuer[..], &["--timeout", "1h"]].concat(),
        &[&issuer[..], &["--client-id", "a"]].concat(),
        &[&issuer[..], &["--client-secret-stdin"]].concat(),
        &[&issuer[..], &["--client-id", "a", "--client-secret", "b"]].concat(),
    ] {
        assert_misused(&doctor(arguments));
    }
}
