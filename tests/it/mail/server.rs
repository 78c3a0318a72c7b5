//! The SMTP server that takes the tests' mail, and what it has taken.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::interop::python;
use crate::support::process::{Process, free_port, poll};
use crate::support::reaper;
use crate::support::signet::Builder;

pub const SMTP_PASSWORD: &str = "a password for mail";
/// The pages of the application that mails lead to.
pub const VERIFY_PAGE: &str = "https://app.example.com/verify";
pub const RESET_PAGE: &str = "https://app.example.com/reset";

/// How long a mail may take that nothing holds up.
const SOON: Duration = Duration::from_secs(30);

/// A mail as the server took it.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub headers: BTreeMap<String, String>,
    pub text: String,
    pub html: Option<String>,
    pub encrypted: bool,
    pub authenticated: bool,
    pub hello: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub fn subject(&self) -> &str {
        self.header("Subject")
    }

    pub fn is_to(&self, address: &str) -> bool {
        self.to == [address]
    }

    /// The token, from its link or from a line of its own.
    pub fn token(&self) -> String {
        self.find_token().unwrap_or_else(|| panic!("no token: {self:?}"))
    }

    pub fn find_token(&self) -> Option<String> {
        let is_token = |text: &&str| {
            text.len() == 43 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        let words = self.text.split_whitespace();
        words
            .map(|word| word.rsplit("#token=").next().unwrap_or(word))
            .find(is_token)
            .map(str::to_owned)
    }
}

/// The server; ends with this value.
pub struct SmtpServer {
    folder: TempDir,
    port: u16,
    mode: &'static str,
    process: Option<Process>,
}

impl SmtpServer {
    /// A server that insists on STARTTLS and a login.
    pub fn start() -> Self {
        Self::start_as("starttls")
    }

    /// `starttls`, `tls` or `plain`.
    pub fn start_as(mode: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("signet-smtp-").tempdir().expect("a folder");
        reaper::remove_at_exit(folder.path());
        let mut server = Self { folder, port: free_port(), mode, process: None };
        server.restart();
        server
    }

    /// Starts it, again if need be, on the same port and with what it has taken.
    pub fn restart(&mut self) {
        self.stop();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mail/smtp_server.py");
        let mut command = Command::new(python());
        command.arg(script).arg(self.folder.path()).args([&self.port.to_string(), self.mode]);
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        command.stdin(Stdio::null()).stderr(log);
        let mut process = Process::spawn(&mut command, "TERM");
        let ready = poll(Duration::from_secs(60), || {
            assert!(process.ended().is_none(), "the SMTP server ended");
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
        assert!(ready.is_some(), "the SMTP server does not listen");
        self.process = Some(process);
    }

    /// It is gone, with all its connections.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The certificate of the authority that its own is from.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Lets an instance send its mail here.
    pub fn used_by(&self, builder: Builder) -> Builder {
        let tls = if self.mode == "plain" { "off" } else { self.mode };
        builder
            .set("mail.transport", "smtp")
            .set("mail.from", "Example <no-reply@example.com>")
            .set("mail.smtp.host", "127.0.0.1")
            .set("mail.smtp.port", &self.port.to_string())
            .set("mail.smtp.tls", tls)
            .set("mail.smtp.ca_file", &self.ca_file().display().to_string())
            .set("mail.smtp.username", "signet")
            .set("mail.smtp.password", SMTP_PASSWORD)
            .set("mail.smtp.timeout", "8s")
            .set("mail.verification_url", VERIFY_PAGE)
            .set("mail.reset_url", RESET_PAGE)
    }

    /// Everything it has taken, in order.
    pub fn mails(&self) -> Vec<Mail> {
        let folder = self.folder.path().join("mails");
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .expect("the mails")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).expect("a mail");
            let mail: Mail =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            // The slash is escaped in HTML.
            Mail { html: mail.html.map(|html| html.replace("&#x2f;", "/")), ..mail }
        };
        paths.iter().map(read).collect()
    }

    /// The mails to `address`.
    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        self.mails().into_iter().filter(|mail| mail.is_to(address)).collect()
    }

    /// Waits until there are `count` mails to `address`; returns the newest.
    pub async fn nth_mail_to(&self, address: &str, count: usize) -> Mail {
        let arrived = async || {
            loop {
                let mut mails = self.mails_to(address);
                if mails.len() >= count {
                    assert_eq!(mails.len(), count, "{mails:?}");
                    return mails.pop().expect("the newest");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(SOON, arrived()).await {
            Ok(mail) => mail,
            Err(_) => panic!("{count} mails to {address} do not arrive: {:?}", self.mails()),
        }
    }

    /// Waits for the one mail to `address`.
    pub async fn mail_to(&self, address: &str) -> Mail {
        self.nth_mail_to(address, 1).await
    }
}
