//! Settings: transports, TLS, templates; what stops the start, and what is there without mail.

use serde_json::json;

use super::server::{SMTP_PASSWORD, SmtpServer};
use super::{MailClient, NEW_PASSWORD};
use crate::support::client::{Client, PASSWORD, Send};
use crate::support::process::poll;
use crate::support::signet::Signet;

#[tokio::test]
async fn templates_are_overridden() {
    let server = SmtpServer::start();
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    write("password_reset.txt", "Subject: {{ service }}: hi {{ name or 'you' }}\n\n{{ token }}");
    write("password_reset.html", "");
    write("verification.html", "{% include '_head.html' %}<b>{{ name or 'you' }}</b> {{ link }}");
    write("_head.html", "<i>{{ email }}</i>");
    let builder = server.used_by(Signet::builder());
    let signet = builder.set("mail.templates", &folder.path().display().to_string()).start();
    let client = Client::new(signet.base());
    let email = "ann@example.com";
    let body = json!({ "email": email, "password": PASSWORD, "name": "<Ann>\u{202e}" });
    client.post("/signup").json(&body).answer().await.expect(201);
    client.forgot(email).await.expect(202);
    let mail = server.mail_to(email).await;
    // Whoever signed up may have lied about the address, so it does not get the name.
    assert_eq!((mail.subject(), mail.html.as_deref()), ("Example: hi you", None));
    assert_eq!(mail.text.trim(), mail.token());
    client.ask_verification(email).await.expect(202);
    let mail = server.nth_mail_to(email, 2).await;
    let html = mail.html.as_deref().unwrap_or_default();
    assert!(html.starts_with("<i>ann@example.com</i><b>you</b> https://"), "{html}");
    client.prove(&mail.token(), "password", PASSWORD).await.expect(204);

    client.change_email(&client.login(email, PASSWORD).await.access_token, "x@example.com").await;
    let notice = server.nth_mail_to(email, 3).await;
    assert!(notice.text.contains("Hello <Ann>"), "{notice:?}");
    let html = notice.html.as_deref().unwrap_or_default();
    assert!(html.contains("Hello &lt;Ann&gt;"), "{html}");
}

#[tokio::test]
async fn a_broken_template_stops_the_start_with_a_clear_message() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let set = |name: &str| {
        let folder = folder.path().display().to_string();
        Signet::builder().set("mail.templates", &format!("{folder}{name}")).prepare()
    };
    std::fs::write(folder.path().join("test.txt"), "Subject: x\n\n{{ naem }}").expect("a file");
    let mut signet = set("");
    for arguments in [&["config", "check"][..], &[]] {
        let output = signet.cli(arguments, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("test.txt") && said.contains("line 3"), "{said}");
    }
    signet = set("/nowhere");
    let output = signet.cli(&["config", "check"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be read"), "{output:?}");
    std::fs::remove_file(folder.path().join("test.txt")).expect("it was there");
    signet = set("");
    assert_eq!(signet.cli_ok(&["config", "check"], "").trim(), "the configuration is sound");
    signet.restart();
}

/// The development profile writes files that mail programs open.
#[tokio::test]
async fn development_writes_files() {
    use std::os::unix::fs::PermissionsExt;
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    client.forgot(&user.email).await.expect(202);
    let folder = signet.folder().join("data/mail");
    let written = poll(std::time::Duration::from_secs(20), || {
        let file = std::fs::read_dir(&folder).ok()?.next()?.ok()?.path();
        (file.extension()? == "eml").then_some(file)
    });
    let file = written.expect("a file");
    for path in [&folder, &file] {
        let mode = std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path:?} is open to others");
    }
    let text = std::fs::read_to_string(&file).expect("text");
    assert!(text.contains(&format!("To: {}\r\n", user.email)), "{text}");
    // No page is configured, so the token stands on a line of its own.
    let is_token = |line: &&str| {
        line.len() == 43 && line.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let token = text.lines().find(is_token).unwrap_or_else(|| panic!("no token: {text}"));
    client.reset(token, NEW_PASSWORD).await.expect(204);
    client.login(&user.email, NEW_PASSWORD).await;
}

#[tokio::test]
async fn without_mail_its_routes_are_not_there_and_say_so() {
    let signet = Signet::builder().set("mail.transport", "off").start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    for answer in [
        client.forgot(&user.email).await,
        client.ask_verification(&user.email).await,
        client.verify("token").await,
        client.reset("token", NEW_PASSWORD).await,
        client.change_email(&user.tokens.access_token, "new@example.com").await,
    ] {
        let answer = answer.expect_problem(404);
        assert_eq!(answer.json()["detail"], "this service sends no mail");
    }
    let refused = signet.sibling_with(|b| b.set("signup.require_verified_email", "true"));
    let output = refused.cli(&["config", "check"], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("signup.require_verified_email cannot be true while"), "{said}");
}

#[tokio::test]
async fn tls_from_the_first_byte_and_none_at_all() {
    for mode in ["tls", "plain"] {
        let server = SmtpServer::start_as(mode);
        let signet = server.used_by(Signet::builder()).start();
        let client = Client::new(signet.base());
        let user = client.new_user().await;
        client.forgot(&user.email).await.expect(202);
        let mail = server.mail_to(&user.email).await;
        assert_eq!((mail.encrypted, mail.authenticated), (mode == "tls", true), "{mode}");
    }
}

#[tokio::test]
async fn the_server_is_told_the_issuers_name_or_the_one_that_is_configured() {
    let server = SmtpServer::start();
    let mut signet = server.used_by(Signet::builder()).prepare();
    for (hello, told) in [("", "[127.0.0.1]"), ("mail.example.com", "mail.example.com")] {
        signet.change("mail.smtp.hello", hello);
        let email = format!("hello{}@example.com", hello.len());
        signet.cli_ok(&["mail", "test", &email], "");
        assert_eq!(server.mail_to(&email).await.hello, told);
    }
}

/// What is wrong with the server's settings is no reason to drop mail, and no secret is told.
#[tokio::test]
async fn wrong_settings_put_mail_off() {
    let server = SmtpServer::start();
    let other = SmtpServer::start();
    let signet = server.used_by(Signet::builder()).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let other_authority = other.ca_file().display().to_string();
    let mut signet = signet;
    signet.term();
    for (key, value, said) in [
        ("mail.smtp.password", "a wrong password", "535"),
        ("mail.smtp.ca_file", other_authority.as_str(), "certificate"),
        ("mail.smtp.host", "localhost.localdomain.invalid", "onnection error"),
    ] {
        let mut wrong = signet.sibling_with(|builder| builder.set(key, value));
        wrong.restart();
        Client::new(wrong.base()).forgot(&user.email).await.expect(202);
        let error = poll(std::time::Duration::from_secs(30), || {
            let waiting = super::outbox(&wrong);
            let error = waiting.first()?["last_error"].as_str()?.to_owned();
            error.contains(said).then_some(error)
        });
        assert!(error.is_some(), "{key}: {:?}", super::outbox(&wrong));
        let output = wrong.cli(&["mail", "test", "ann@example.com"], "");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(said), "{key}: {text}");
        for secret in [SMTP_PASSWORD, "a wrong password"] {
            assert!(!wrong.output().contains(secret) && !text.contains(secret), "{key}");
        }
        wrong.term();
    }
    signet.restart();
    server.mail_to(&user.email).await;
}
