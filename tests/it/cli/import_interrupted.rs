//! users import: cut off, it goes on from where it was; beside a running service, it is in nobody's
//! way.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::import::{everybody, lines, password_hash, write};
use crate::support::client::{Client, PASSWORD, unique_email};
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, poll};
use crate::support::signet::{Backend, Signet};

/// How many users one step stores.
const BATCH: usize = 100;

fn users(count: usize) -> Vec<Value> {
    let hash = password_hash();
    let user = |number| {
        let email = format!("imported-{number}@example.com");
        json!({"id": number, "email": email, "password_hash": hash})
    };
    (0..count).map(user).collect()
}

on_every_backend!(a_killed_import_goes_on_where_it_was);

async fn a_killed_import_goes_on_where_it_was(backend: Backend) {
    let signet = Signet::builder().backend(backend).prepare();
    signet.cli_ok(&["migrate"], "");
    write(&signet, "users.jsonl", lines(&users(2 * BATCH + 50)));
    let import = ["users", "import", "users.jsonl"];
    for (point, stored) in [("users.before_commit", 0), ("users.committed", BATCH)] {
        let killed = signet.sibling_with(|builder| builder.die_at(point)).cli(&import, "");
        assert_eq!(killed.status.signal(), Some(Signal::KILL.as_raw()), "{killed:?}");
        assert_eq!(everybody(&signet).len(), stored, "{point}: a batch is stored whole or not");
    }
    let sum = signet.cli_json(&import, "");
    assert_eq!((&sum["imported"], &sum["present"]), (&json!(BATCH + 50), &json!(BATCH)));
    let sum = signet.cli_json(&import, "");
    assert_eq!((&sum["imported"], &sum["present"]), (&json!(0), &json!(2 * BATCH + 50)));
}

#[test]
fn an_interrupted_import_says_what_it_did() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.args(["users", "import", "-", "--format", "jsonl"]);
    command.current_dir(signet.folder()).env_clear().envs(signet.environment());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::spawn(&mut command, "KILL");
    let mut input = process.child().stdin.take().expect("a pipe");
    let file = lines(&users(BATCH + 1));
    input.write_all(file.as_bytes()).expect("it is read");
    let stored =
        poll(Duration::from_secs(60), || (everybody(&signet).len() == BATCH).then_some(()));
    assert!(stored.is_some(), "the first batch is not stored");
    process.signal(Signal::INT);
    // Its input is still open.
    let status = process.wait(Duration::from_secs(20)).expect("it ends");
    drop(input);
    let text = |pipe| std::io::read_to_string::<Box<dyn std::io::Read>>(pipe).expect("text");
    let out = text(Box::new(process.child().stdout.take().expect("a pipe")));
    let error = text(Box::new(process.child().stderr.take().expect("a pipe")));
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(out.starts_with("100 users imported"), "{out}");
    assert!(error.contains("interrupted"), "{error}");
    assert!(!error.contains('\r'), "no progress line without a terminal: {error}");
    let sum = signet.cli_json(&["users", "import", "-", "--format", "jsonl"], &file);
    assert_eq!((&sum["imported"], &sum["present"]), (&json!(1), &json!(BATCH)));
}

on_every_backend!(the_service_stays_usable_meanwhile);

async fn the_service_stays_usable_meanwhile(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    write(&signet, "users.jsonl", lines(&users(30 * BATCH)));
    let beside = signet.sibling();
    let import = move || beside.cli_json(&["users", "import", "users.jsonl"], "");
    let importing = std::thread::spawn(import);
    let mut served = 0;
    while !importing.is_finished() {
        // A login and a sign-up write; a refresh swaps.
        let tokens = client.login(&user.email, PASSWORD).await;
        client.refresh(&tokens.refresh_token).await.tokens();
        client.try_signup(&unique_email(), PASSWORD).await.expect(201);
        served += 1;
    }
    let sum = importing.join().expect("the import");
    assert_eq!((&sum["imported"], &sum["refused"]), (&json!(30 * BATCH), &json!(0)));
    assert!(served > 2, "only {served} rounds were served beside the import");
    client.login("imported-2999@example.com", PASSWORD).await;
}

#[test]
fn a_database_that_is_silent_for_a_while_is_waited_for() {
    let mut postgres = Postgres::start();
    let url = postgres.url();
    let signet = Signet::builder().postgres(&url).prepare();
    signet.cli_ok(&["migrate"], "");
    write(&signet, "users.jsonl", lines(&users(30 * BATCH)));
    let beside = signet.sibling();
    let import = move || beside.cli_json(&["users", "import", "users.jsonl"], "");
    let importing = std::thread::spawn(import);
    let begun = poll(Duration::from_secs(60), || {
        let count = postgres.sql(&url, "SELECT count(*) FROM users");
        (count != "0").then_some(())
    });
    assert!(begun.is_some() && !importing.is_finished());
    postgres.freeze();
    // Longer than a statement may take.
    std::thread::sleep(Duration::from_secs(2));
    postgres.thaw();
    let sum = importing.join().expect("the import");
    let count = |name: &str| sum[name].as_u64().expect("a count");
    assert_eq!(count("imported") + count("present"), 30 * BATCH as u64, "{sum}");
    assert_eq!(postgres.sql(&url, "SELECT count(*) FROM users"), "3000");
}
