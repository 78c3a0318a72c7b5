//! A Django project's `dumpdata` comes in, and its users log in with their old passwords.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{folder, python};
use crate::support::client::{Client, PASSWORD};
use crate::support::process::poll;
use crate::support::reaper;
use crate::support::signet::{Backend, Signet};

/// The folder with a project and its dumps; making one takes seconds.
fn project() -> PathBuf {
    static PROJECT: LazyLock<TempDir> = LazyLock::new(|| {
        let project = tempfile::Builder::new().prefix("signet-dj-").tempdir().expect("a folder");
        reaper::remove_at_exit(project.path());
        let mut command = Command::new(python());
        command.arg(folder().join("django_project.py")).arg(project.path()).arg(PASSWORD);
        let output = command.env_remove("DJANGO_SETTINGS_MODULE").output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        project
    });
    PROJECT.path().to_owned()
}

fn dump(name: &str) -> String {
    project().join(name).to_str().expect("UTF-8").to_owned()
}

/// What an import says of a dump in which somebody is refused.
fn import(signet: &Signet, arguments: &[&str], input: &str) -> (Value, String) {
    let arguments = [&["users", "import", "--json"][..], arguments].concat();
    let output = signet.cli(&arguments, input);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let sum = serde_json::from_slice(&output.stdout).expect("the sum");
    (sum, String::from_utf8(output.stderr).expect("UTF-8"))
}

fn user(signet: &Signet, email: &str) -> Value {
    let text = signet.cli_ok(&["users", "export"], "");
    let mut users = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    users.find(|user| user["email"] == email).unwrap_or_else(|| panic!("no {email}: {text}"))
}

#[test]
fn users_come_with_groups_flags_and_ids() {
    for name in ["dump.json", "natural.json", "everything.json"] {
        let signet = Signet::builder().prepare();
        let (sum, told) = import(&signet, &[&dump(name)], "");
        assert_eq!((&sum["imported"], &sum["refused"]), (&json!(6), &json!(2)), "{name}: {told}");
        assert_eq!((&sum["without_password"], &sum["superusers"]), (&json!(1), &json!(1)));
        assert_eq!(sum["groups"], json!(["Admin", "Content Team"]));
        assert_eq!(sum["administrators"], 0);
        let skipped = &sum["skipped"]["contenttypes.contenttype"];
        assert_eq!(skipped.is_number(), name == "everything.json", "{sum}");
        assert!(told.contains(": has no e-mail address"), "{told}");
        assert!(told.contains("ADA@example.com \u{2014} "), "the address is taken: {told}");
        assert!(!told.contains("pbkdf2"), "{told}");

        let ada = user(&signet, "Ada@example.com");
        assert_eq!(
            (&ada["name"], &ada["roles"]),
            (&json!("Ada L\u{f6}ve"), &json!(["editors", "staff.2"]))
        );
        assert_eq!(
            (&ada["created_at"], &ada["disabled"]),
            (&json!("2019-05-06T07:08:09Z"), &json!(false))
        );
        // A dump with natural keys has no others.
        let id = if name == "natural.json" { json!({}) } else { json!({"imported_id": "1"}) };
        assert_eq!(ada["metadata"], id, "{name}");
        assert_eq!(user(&signet, "team@example.com")["roles"], json!(["editors"]));
        assert_eq!(user(&signet, "off@example.com")["disabled"], true);
        assert_eq!(user(&signet, "boss@example.com")["roles"], json!([]));
        user(&signet, "mail@example.com");

        let (sum, _) = import(&signet, &[&dump(name)], "");
        assert_eq!((&sum["imported"], &sum["present"]), (&json!(0), &json!(6)), "{name}");
    }
}

#[test]
fn what_is_asked_for_is_asked_for() {
    let signet = Signet::builder().prepare();
    let (sum, told) = import(&signet, &[&dump("users.json"), "--superusers-are-admins"], "");
    // Without its groups, nobody who is in one comes, nor who has the same address.
    assert_eq!((&sum["imported"], &sum["refused"]), (&json!(4), &json!(4)), "{told}");
    assert_eq!((&sum["administrators"], &sum["superusers"]), (&json!(1), &json!(0)));
    assert!(told.contains("dump auth.group as well"), "{told}");
    assert_eq!(user(&signet, "boss@example.com")["roles"], json!(["admin"]));

    // Standard input is read once, so groups have to come first.
    let signet = Signet::builder().prepare();
    for (name, refused) in [("dump.json", 4), ("everything.json", 2)] {
        let text = std::fs::read_to_string(dump(name)).expect("a dump");
        let (sum, told) = import(&signet, &["-", "--format", "django", "--dry-run"], &text);
        assert_eq!(sum["refused"], refused, "{name}: {told}");
    }

    // A model in the place of Django's own.
    let text = std::fs::read_to_string(dump("everything.json")).expect("a dump");
    let text = text.replace("\"auth.user\"", "\"accounts.Member\"");
    let from_stdin = ["-", "--format", "django", "--django-model", "Accounts.Member"];
    let (sum, told) = import(&signet, &from_stdin, &text);
    assert_eq!(sum["imported"], 6, "{told}");
}

#[tokio::test]
async fn they_log_in_with_their_old_passwords() {
    for backend in [Backend::Sqlite, Backend::PostgresSql] {
        let signet = Signet::builder().backend(backend).start();
        let client = Client::new(signet.base());
        import(&signet, &[&dump("dump.json")], "");
        for email in ["ada@example.com", "boss@example.com", "mail@example.com"] {
            client.try_login(email, "another password").await.expect(400);
            let tokens = client.login(email, PASSWORD).await;
            client.me(&tokens.access_token).await.expect(200);
        }
        client.try_login("sso@example.com", PASSWORD).await.expect(400);
        let inactive = client.try_login("off@example.com", PASSWORD).await;
        assert_eq!(inactive.expect(400).json()["detail"], "Inactive user");
        let renewed = poll(Duration::from_secs(60), || {
            let (sum, told) = import(&signet, &[&dump("dump.json")], "");
            assert_eq!((&sum["imported"], &sum["present"]), (&json!(0), &json!(6)), "{told}");
            (sum["with_other_password"] == 3).then_some(())
        });
        assert!(renewed.is_some(), "the hashes are not renewed");
    }
}
