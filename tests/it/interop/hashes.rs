//! Password hashes of other systems, made by the libraries themselves: whoever had the password
//! there logs in, nobody else does, and from then on the hash is Argon2id.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use signet::domain::credentials::password::check_stored;

use super::{folder, python};
use crate::support::client::Client;
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::signet::Signet;

/// One that a library has made and checked.
#[derive(Deserialize)]
struct Case {
    name: String,
    password: String,
    wrong: String,
    hash: String,
}

fn cases() -> Vec<Case> {
    let script = folder().join("hashes.py");
    let output = Command::new(python()).arg(script).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("a case")).collect()
}

fn email(number: usize) -> String {
    format!("user{number}@example.com")
}

/// Puts the hashes into the database as they are.
fn insert(database: &str, cases: &[Case]) {
    let row = |(number, case): (usize, &Case)| {
        let (email, hash) = (email(number), case.hash.replace('\'', "''"));
        format!("(gen_random_uuid()::text, '{email}', '{email}', '{hash}', '', 0, 0, 0)")
    };
    let rows: Vec<_> = cases.iter().enumerate().map(row).collect();
    let columns =
        "id, email, email_key, password_hash, roles, session_epoch, created_at, updated_at";
    let insert = format!("INSERT INTO users ({columns}) VALUES {}", rows.join(", "));
    Postgres::shared().sql(database, &insert);
}

#[tokio::test]
async fn whoever_logged_in_there_logs_in_here() {
    let cases = cases();
    assert!(cases.len() > 300, "only {} cases", cases.len());
    for case in &cases {
        assert_eq!(check_stored(&case.hash), Ok(()), "{}: {}", case.name, case.hash);
    }
    let database = Postgres::shared().fresh_database();
    // So many wrong passwords from one address are otherwise too many.
    let builder = Signet::builder().postgres(&database).set("login_limits.enabled", "false");
    let signet = builder.start();
    let client = Client::new(signet.base());
    insert(&database, &cases);

    for (number, case) in cases.iter().enumerate() {
        for wrong in [&case.wrong, "entirely different"] {
            let answer = client.try_login(&email(number), wrong).await;
            assert_eq!(answer.status, 400, "{}: {wrong} is accepted", case.name);
        }
        let answer = client.try_login(&email(number), &case.password).await;
        assert_eq!(answer.status, 200, "{}: {}", case.name, case.hash);
    }
    // The answers do not wait for the new hashes.
    let renewed = poll(Duration::from_secs(120), || {
        let hashes = stored_hashes(&database);
        let mut all = cases.iter().enumerate();
        all.all(|(number, case)| is_renewed(case, &hashes[&email(number)])).then_some(())
    });
    assert!(renewed.is_some(), "{:#?}", stored_hashes(&database));
    for (number, case) in cases.iter().enumerate() {
        client.try_login(&email(number), &case.password).await.expect(200);
        let answer = client.try_login(&email(number), &case.wrong).await;
        answer.expect_oauth_error(400, "invalid_grant");
    }
}

fn stored_hashes(database: &str) -> HashMap<String, String> {
    let sql = "SELECT email, password_hash FROM users WHERE email LIKE 'user%'";
    let rows = Postgres::shared().sql(database, sql);
    let row = |row: &str| row.split_once('|').map(|(email, hash)| (email.into(), hash.into()));
    rows.lines().map(|line| row(line).expect("two columns")).collect()
}

/// Whether the hash is Signet's own by now.
fn is_renewed(case: &Case, hash: &str) -> bool {
    let stays = case.name.starts_with("argon2-cffi as Signet's")
        && !case.name.ends_with("decomposed")
        && !case.name.ends_with("compatible");
    hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$") && (hash == case.hash) == stays
}
