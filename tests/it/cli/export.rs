//! users export: all users in the form that import reads, hashes only when asked for.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::assert_fails;
use super::import::{everybody, lines, password_hash, write};
use crate::support::client::{Client, PASSWORD};
use crate::support::signet::{Backend, Signet};

/// An instance with users of every kind, more than one page of them.
fn filled(backend: Backend) -> Signet {
    let signet = Signet::builder().backend(backend).prepare();
    let hash = password_hash();
    let mut users = vec![
        json!({"email": "Jos\u{e9}@b\u{fc}cher.example",
               "name": "\u{41f}\u{451}\u{442}\u{440}, \"the\" \u{5d0}\u{1f980}",
               "password_hash": hash, "roles": ["b", "a:x.y-z_1"], "email_verified": true,
               "created_at": "2001-09-09", "id": "old \u{1f511} id; 'x' = 1"}),
        json!({"email": "off@example.com", "password_hash": hash, "disabled": true,
               "metadata": {"floats": [0.30000000000000004, 5e-324, 4_503_599_627_370_495.5],
                            "whole": -9_007_199_254_740_991_i64,
                            "nested": {"\u{fc}": [-2, true, null, "a\u{0}\r\n\t\",;b"]}}}),
        json!({"email": "none@example.com", "name": "=cmd|' /C calc'!A0"}),
    ];
    users.extend((0..1100).map(|number| json!({"email": format!("u{number}@example.com")})));
    write(&signet, "users.jsonl", lines(&users));
    signet.cli_ok(&["users", "import", "users.jsonl"], "");
    signet
}

#[tokio::test]
async fn what_goes_out_comes_in_the_same_in_another_database() {
    for (from, to, file) in [
        (Backend::Sqlite, Backend::PostgresSql, "out.jsonl"),
        (Backend::PostgresSql, Backend::Sqlite, "out.csv"),
    ] {
        let (source, target) = (filled(from), Signet::builder().backend(to).start());
        source.cli_ok(&["users", "export", "--with-password-hashes", "--output", file], "");
        std::fs::copy(source.folder().join(file), target.folder().join(file)).expect("a copy");
        let sum = target.cli_json(&["users", "import", file], "");
        assert_eq!((&sum["imported"], &sum["refused"]), (&json!(1103), &json!(0)), "{sum}");
        let mut there = everybody(&target);
        // A development start makes the first administrator.
        there.retain(|user| user["email"] != "admin@example.com");
        assert_eq!(there, everybody(&source), "{file}");
        let client = Client::new(target.base());
        client.login("jos\u{e9}@b\u{fc}cher.example", PASSWORD).await;
        client.try_login("none@example.com", PASSWORD).await.expect(400);
        let sum = target.cli_json(&["users", "import", file], "");
        assert_eq!((&sum["imported"], &sum["present"]), (&json!(0), &json!(1103)), "{sum}");
    }
}

/// What a user chooses must not run on the machine of whoever opens the export.
#[test]
fn no_cell_of_a_table_is_a_formula() {
    let signet = Signet::builder().prepare();
    let users = [
        json!({"email": "=cmd@example.com", "name": "=cmd|' /C calc'!A0"}),
        json!({"email": "+tag@example.com", "name": "'=already quoted"}),
        json!({"email": "-dash@example.com", "name": "@SUM(1)", "roles": ["-r"]}),
        json!({"email": "o'brien@example.com", "name": "'plain'"}),
    ];
    write(&signet, "users.jsonl", lines(&users));
    signet.cli_ok(&["users", "import", "users.jsonl"], "");
    let before = everybody(&signet);
    let table =
        signet.cli_ok(&["users", "export", "--with-password-hashes", "--format", "csv"], "");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    for record in reader.records() {
        for cell in &record.expect("a record") {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
        }
    }
    let other = Signet::builder().prepare();
    write(&other, "out.csv", table);
    other.cli_ok(&["users", "import", "out.csv"], "");
    assert_eq!(everybody(&other), before);
}

#[test]
fn hashes_go_out_only_when_asked_for() {
    let signet = filled(Backend::Sqlite);
    for format in ["jsonl", "csv"] {
        let export = ["users", "export", "--format", format];
        let without = signet.cli_ok(&export, "");
        assert!(!without.contains("argon2") && !without.contains("password_hash"));
        let with = signet.cli_ok(&[&export[..], &["--with-password-hashes"]].concat(), "");
        assert_eq!(with.matches("$argon2id$").count(), 1103);
        assert_eq!(with.matches(&password_hash()[..28]).count(), 2);
    }
    // The table says that hashes are missing; lines of JSON may be without.
    signet.cli_ok(&["users", "export", "--output", "out.csv"], "");
    let error = assert_fails(&signet.cli(&["users", "import", "out.csv"], ""));
    assert!(error.contains("password_hash"), "{error}");
}

#[test]
fn a_file_is_whole_private_and_never_replaced_unasked() {
    let signet = filled(Backend::Sqlite);
    let names = || {
        let entries = std::fs::read_dir(signet.folder()).expect("the folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .filter(|name| name.contains("out"))
            .collect();
        names.sort();
        names
    };
    let export = ["users", "export", "--output", "out"];
    signet.cli_ok(&export, "");
    let path = signet.folder().join("out");
    let mode = || path.metadata().expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode(), names()), (0o600, vec!["out".to_owned()]));

    write(&signet, "out", "mine");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("a mode");
    assert!(assert_fails(&signet.cli(&export, "")).contains("--force"));
    assert_eq!(std::fs::read_to_string(&path).expect("text"), "mine");
    signet.cli_ok(&[&export[..], &["--force"]].concat(), "");
    assert_eq!((mode(), names()), (0o600, vec!["out".to_owned()]));
    assert_eq!(std::fs::read_to_string(&path).expect("text").lines().count(), 1103);

    assert_fails(&signet.cli(&["users", "export", "--output", "nowhere/out"], ""));
    assert_eq!(names().len(), 1);
}
