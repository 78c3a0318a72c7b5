//! `signet mail`: test, outbox, templates.

use super::server::{SMTP_PASSWORD, SmtpServer};
use super::{MailClient, outbox};
use crate::support::client::Client;
use crate::support::process::poll;
use crate::support::signet::Signet;

#[tokio::test]
async fn a_test_mail_says_what_the_server_answered() {
    let server = SmtpServer::start();
    let signet = server.used_by(Signet::builder()).prepare();
    let said = signet.cli_ok(&["mail", "test", "ops@example.com"], "");
    assert_eq!(said.trim(), "sent to ops@example.com: 250 2.0.0 taken");
    let mail = server.mail_to("ops@example.com").await;
    assert_eq!(mail.subject(), "A test mail from Example");
    for (address, why) in
        [("refused@example.com", "nobody of this name"), ("ops", "must be an e-mail address")]
    {
        let output = signet.cli(&["mail", "test", address], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why), "{said}");
    }
    let show = signet.cli_ok(&["config", "show"], "");
    assert!(show.contains("mail.smtp.password = \"********\""), "{show}");
    assert!(!show.contains(SMTP_PASSWORD));
    let off = Signet::builder().set("mail.transport", "off").prepare();
    let output = off.cli(&["mail", "test", "ops@example.com"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("mail.transport is off"));
}

#[tokio::test]
async fn what_waits_is_listed_with_what_went_wrong() {
    let mut server = SmtpServer::start();
    let signet = server.used_by(Signet::builder()).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    server.stop();
    client.forgot(&user.email).await.expect(202);
    let tried = || outbox(&signet).pop().filter(|mail| !mail["last_error"].is_null());
    let mail = poll(std::time::Duration::from_secs(20), tried).expect("it was tried");
    assert_eq!((&mail["kind"], &mail["recipient"]), (&"password_reset".into(), &user.email.into()));
    assert!(mail["attempts"].as_i64().is_some_and(|attempts| attempts > 0), "{mail}");
    let table = signet.cli_ok(&["mail", "outbox"], "");
    assert!(table.starts_with("KIND") && table.contains("onnection"), "{table}");
}

#[tokio::test]
async fn templates_are_written_to_be_changed_and_kept_when_they_are() {
    let signet = Signet::builder().prepare();
    let folder = signet.folder().join("templates");
    let path = folder.display().to_string();
    let said = signet.cli_ok(&["mail", "templates", &path], "");
    assert_eq!(said.trim(), format!("wrote 18 templates to {path}"));
    std::fs::write(folder.join("test.txt"), "Subject: mine\n\nHello").expect("a file");
    std::fs::remove_file(folder.join("test.html")).expect("it was there");
    let said = signet.cli_ok(&["mail", "templates", &path], "");
    assert_eq!(said.trim(), format!("wrote 1 templates to {path}"));
    let kept = std::fs::read_to_string(folder.join("test.txt")).expect("a file");
    assert_eq!(kept, "Subject: mine\n\nHello");
    let used = Signet::builder().set("mail.templates", &path).prepare();
    used.cli_ok(&["config", "check"], "");
}
