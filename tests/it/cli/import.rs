//! users import: what comes in, what is refused and told, and that a second run changes nothing.

use signet::domain::credentials::{Password, PasswordPolicy};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use signet::base::random::Random;
use signet::domain::credentials::password::{HashMemory, hash};

use super::assert_fails;
use crate::support::client::{Client, PASSWORD};
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::signet::{Backend, Signet};

/// A hash of [`PASSWORD`], of other settings than the service's.
pub fn password_hash() -> String {
    let policy = PasswordPolicy::new(16, 1, 1, 1, 1).expect("a policy");
    let memory = &mut HashMemory::default();
    hash(&Password::new(PASSWORD), &policy, &Random::system(), memory).expose().clone()
}

/// Writes a file into the working folder of `signet`.
pub fn write(signet: &Signet, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(signet.folder().join(name), content).expect("a file");
}

/// Lines of JSON.
pub fn lines(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("{object}\n")).collect()
}

/// Everybody, as an export with hashes tells them, by address.
pub fn everybody(signet: &Signet) -> Vec<Value> {
    let text = signet.cli_ok(&["users", "export", "--with-password-hashes"], "");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Imports a file of which something is refused; the sum, and what was told.
#[track_caller]
pub fn refused(signet: &Signet, arguments: &[&str]) -> (Value, String) {
    let arguments = [&["users", "import"][..], arguments, &["--json"]].concat();
    let output = signet.cli(&arguments, "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let sum = serde_json::from_slice(&output.stdout).expect("the sum");
    (sum, String::from_utf8(output.stderr).expect("UTF-8"))
}

fn counts(sum: &Value) -> [u64; 3] {
    ["imported", "present", "refused"].map(|name| sum[name].as_u64().expect("a count"))
}

pub const ID: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

on_every_backend!(a_file_of_each_form_comes_in_once);

async fn a_file_of_each_form_comes_in_once(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let hash = password_hash();
    let users = [
        json!({"id": ID, "email": "Ada@example.com", "name": "Ada Löve \u{1f980}",
               "password_hash": hash, "roles": ["editor", "member"], "disabled": false,
               "email_verified": true, "created_at": "2020-02-29T12:00:00+01:00",
               "metadata": {"team": ["a", 1, null]}}),
        json!({"id": 7, "email": "bob@example.com", "password_hash": hash, "disabled": true}),
        json!({"email": "eve@example.com"}),
    ];
    write(&signet, "users.jsonl", format!("{}\r\n\n{}", lines(&users[..2]), users[2]));
    write(
        &signet,
        "users.CSV",
        format!(
            "\u{feff}Email, id ,password_hash,roles,disabled,created_at,metadata,name\r\n\
             \"joe@example.com\",00042,\"{hash}\",\"a b\",t,2024-01-01 10:00:00.5+01,\"{{\"\"k\"\": \
             1}}\",\"Joe, the\"\"third\"\"\"\r\nsue@example.com,,\"{hash}\",,,,,\r\n"
        ),
    );
    for (file, count, without_password) in [("users.jsonl", 3, 1), ("users.CSV", 2, 0)] {
        let import = ["users", "import", file];
        let dry = signet.cli_json(&[&import[..], &["--dry-run"]].concat(), "");
        assert_eq!((counts(&dry), &dry["dry_run"]), ([count, 0, 0], &json!(true)));
        let sum = signet.cli_json(&import, "");
        assert_eq!(counts(&sum), [count, 0, 0], "the dry run did nothing: {sum}");
        assert_eq!(sum["without_password"], without_password);
        let before = everybody(&signet);
        assert_eq!(counts(&signet.cli_json(&import, "")), [0, count, 0]);
        assert_eq!(everybody(&signet), before, "a second run changes nothing");
    }
    let all: Vec<_> = everybody(&signet);
    let find = |email: &str| {
        let user = all.iter().find(|user| user["email"] == email);
        user.unwrap_or_else(|| panic!("no {email}: {all:?}"))
    };
    let ada = find("Ada@example.com");
    let mut expected = users[0].clone();
    expected["created_at"] = json!("2020-02-29T11:00:00Z");
    assert_eq!(*ada, expected);
    let bob = find("bob@example.com");
    assert_eq!((&bob["disabled"], &bob["metadata"]), (&json!(true), &json!({"imported_id": "7"})));
    let joe = find("joe@example.com");
    assert_eq!((&joe["roles"], &joe["name"]), (&json!(["a", "b"]), &json!("Joe, the\"third\"")));
    assert_eq!(joe["metadata"], json!({"imported_id": "00042", "k": 1}));
    assert_eq!(joe["created_at"], "2024-01-01T09:00:00Z");

    let tokens = client.login("ada@example.com", PASSWORD).await;
    assert_eq!(client.me(&tokens.access_token).await.expect(200).json()["id"], ID);
    client.login("sue@example.com", PASSWORD).await;
    let inactive = client.try_login("bob@example.com", PASSWORD).await;
    assert_eq!(inactive.expect_oauth_error(400, "invalid_grant").json()["detail"], "Inactive user");
    for password in ["", "!", PASSWORD] {
        client.try_login("eve@example.com", password).await.expect(400);
    }
    // A login renews the hash, which makes nobody somebody else.
    let renewed = poll(Duration::from_secs(20), || {
        let sum = signet.cli_json(&["users", "import", "users.jsonl"], "");
        assert_eq!(counts(&sum), [0, 3, 0]);
        (sum["with_other_password"] == 1).then_some(())
    });
    assert!(renewed.is_some(), "the hash is not renewed");
}

on_every_backend!(who_is_there_is_left_alone);

async fn who_is_there_is_left_alone(backend: Backend) {
    let signet = Signet::builder().backend(backend).prepare();
    let hash = password_hash();
    let ada = json!({"id": ID, "email": "ada@example.com", "password_hash": hash});
    let bob = json!({"id": 7, "email": "bob@example.com", "password_hash": hash});
    write(&signet, "first.jsonl", lines(&[ada.clone(), bob]));
    signet.cli_ok(&["users", "import", "first.jsonl"], "");
    let before = everybody(&signet);
    let other = ID.replace("0190", "0191");
    let cases = [
        (json!({"id": other, "email": "ADA@example.com", "password_hash": hash}), "another id"),
        (json!({"id": ID, "email": "new@example.com"}), "the id belongs to"),
        (json!({"id": 8, "email": "bob@example.com"}), "another id"),
        (json!({"email": "bob@example.com", "roles": ["editor"]}), "differs in roles"),
        (
            json!({"id": ID, "email": "ada@example.com", "disabled": true, "name": "A"}),
            "differs in name, disabled",
        ),
        (
            json!({"email": "ada@example.com", "password_hash": password_hash()}),
            "differs in password_hash",
        ),
        (json!({"email": "ada@example.com", "created_at": "2001-01-01"}), "differs in created_at"),
        // Within the file, the first one has the address, and the id.
        (json!({"id": other, "email": "eve@example.com"}), ""),
        (json!({"id": other, "email": "joe@example.com"}), "the id belongs to"),
        (json!({"id": other, "email": "Eve@example.com", "name": "Eve"}), "differs in name"),
        (json!({"id": other, "email": "eve@example.com"}), ""),
        (json!({"email": "new@example.com"}), "the address is that of line 2, refused"),
    ];
    let objects: Vec<_> = cases.iter().map(|(object, _)| object.clone()).collect();
    write(&signet, "second.jsonl", lines(&objects));
    let (dry, _) = refused(&signet, &["second.jsonl", "--dry-run"]);
    assert_eq!((&dry["imported"], everybody(&signet).len()), (&json!(1), 2));
    let (sum, told) = refused(&signet, &["second.jsonl", "--rejects", "rejects.jsonl"]);
    assert_eq!(counts(&sum), [1, 1, 10], "{told}");
    for (number, (object, why)) in cases.iter().enumerate().filter(|(_, (_, why))| !why.is_empty())
    {
        let email = object["email"].as_str().expect("an address");
        let start = format!("line {}: {email} \u{2014} ", number + 1);
        let line = told.lines().find(|line| line.starts_with(&start));
        assert!(line.is_some_and(|line| line.contains(why)), "{start}{why}: {told}");
    }
    assert!(told.ends_with("signet: 10 of 12 users were refused\n"), "{told}");
    let after = everybody(&signet);
    assert!(before.iter().all(|user| after.contains(user)) && after.len() == 3, "{after:?}");

    let rejects = signet.folder().join("rejects.jsonl");
    assert_eq!(rejects.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    let rejects = std::fs::read_to_string(rejects).expect("text");
    assert_eq!(rejects.lines().count(), 10);
    let first: Value = serde_json::from_str(rejects.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["line"], &first["email"]), (&json!(1), &json!("ADA@example.com")));
    assert!(first["reason"].as_str().expect("why").contains("another id"), "{first}");
    assert!(!rejects.contains("argon2") && !told.contains("argon2"), "no hash is shown");
    // What was written for one run is not written over by the next.
    let again = ["users", "import", "second.jsonl", "--rejects", "rejects.jsonl"];
    assert!(assert_fails(&signet.cli(&again, "")).contains("rejects.jsonl"));
}

#[test]
fn administrators_are_counted_and_everything_is_in_the_trail() {
    let database = Postgres::shared().fresh_database();
    let signet = Signet::builder().postgres(&database).prepare();
    let input = lines(&[
        json!({"email": "ada@example.com", "roles": ["admin"]}),
        json!({"email": "bob@example.com"}),
        json!({"email": "bob"}),
    ]);
    let import = ["users", "import", "-", "--format", "jsonl", "--keep-administrators"];
    let output = signet.cli(&import, &input);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "2 users imported, 0 there already, 1 refused",
        "2 without a password",
        "1 with the role admin",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    signet.cli(&[&import[..], &["--dry-run"]].concat(), &input);
    signet.cli_ok(&["users", "export", "--with-password-hashes"], "");
    signet.cli_ok(&["users", "export"], "");
    let query = "SELECT actor, event, detail FROM audit_events ORDER BY event, detail";
    assert_eq!(
        Postgres::shared().sql(&database, query).lines().collect::<Vec<_>>(),
        [
            "cli|users.exported|with password hashes",
            "cli|users.exported|without password hashes",
            "cli|users.import_begun|-",
            "cli|users.imported|-: imported 2, of these without a password 2 and \
             administrators 1; there already 0; refused 1",
        ]
    );
}

#[test]
fn the_way_it_is_written_is_told_by_the_name_or_the_option() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let user = lines(&[json!({"email": "ada@example.com"})]);
    let import = |arguments: &[&str], input: &str| {
        signet.cli(&[&["users", "import"][..], arguments].concat(), input)
    };
    for name in ["users.txt", "users", "-"] {
        write(&signet, name, &user);
        let error = assert_fails(&import(&[name], &user));
        assert!(error.contains("give it with --format"), "{error}");
    }
    let sum = signet.cli_json(&["users", "import", "users.txt", "--format", "jsonl"], "");
    assert_eq!(counts(&sum), [1, 0, 0]);
    write(&signet, "users.ndjson", &user);
    let error = assert_fails(&import(&["users.ndjson", "--superusers-are-admins"], ""));
    assert!(error.contains("Django"), "{error}");
    for missing in ["nowhere.csv", "."] {
        assert_fails(&import(&[missing, "--format", "csv"], ""));
    }
}
