//! The section `mail`.

use url::{Host, Url};

use super::Profile;
use super::check::{Check, is_loopback};
use crate::base::secret::Secret;
use crate::domain::mail::message::parse_sender;
use crate::domain::mail::{Config, Encryption, Mailbox, Policy, SmtpConfig, TransportConfig};

/// The words of `mail.transport`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Off,
    Files,
    Smtp,
}

impl Check<'_> {
    /// The configuration of mail; `Some(None)` if mail is off. All settings are checked
    /// nevertheless, so that a mistake shows before it matters.
    pub(super) fn mail(&mut self, issuer: Option<&str>) -> Option<Option<Config>> {
        let way = self.choice(
            "mail.transport",
            &[("off", Way::Off), ("files", Way::Files), ("smtp", Way::Smtp)],
        );
        let from = self.sender(way);
        let directory = self.text("mail.directory");
        let templates = self.path("mail.templates");
        let verification_url = self.page("mail.verification_url");
        let reset_url = self.page("mail.reset_url");
        let policy = self.mail_policy();
        let smtp = self.smtp(way == Some(Way::Smtp), issuer);
        let transport = match way? {
            Way::Off => return Some(None),
            Way::Files => match directory?.as_str() {
                "" => return self.refuse("mail.directory", "must name a folder"),
                directory => TransportConfig::Files(directory.into()),
            },
            Way::Smtp => TransportConfig::Smtp(smtp??),
        };
        Some(Some(Config {
            transport,
            from: from??,
            templates: templates?,
            verification_url: verification_url?,
            reset_url: reset_url?,
            policy: policy?,
        }))
    }

    pub(super) fn require_verified_email(&mut self) -> Option<bool> {
        let key = "signup.require_verified_email";
        let required = self.flag(key)?;
        if required && self.text("mail.transport").as_deref() == Some("off") {
            let problem = "cannot be true while mail.transport is off: no user could prove an \
                           address";
            return self.refuse(key, problem);
        }
        Some(required)
    }

    fn mail_policy(&mut self) -> Option<Policy> {
        let verification = self.duration("mail.verification_lifetime");
        let reset = self.duration("mail.reset_lifetime");
        let give_up_after = self.duration("mail.give_up_after");
        let outbox_limit = self.number("mail.outbox_limit", 0, u32::MAX);
        let policy = Policy::new(verification?, reset?, give_up_after?, outbox_limit?);
        self.accept_policy("mail", policy)
    }

    /// The sender; `Some(None)` if none is configured and none is required.
    fn sender(&mut self, way: Option<Way>) -> Option<Option<Mailbox>> {
        let key = "mail.from";
        let text = self.text(key)?;
        if text.is_empty() {
            if matches!(way, Some(Way::Smtp | Way::Files)) {
                let problem = "is required, since mail is sent: an address such as \
                               Example <no-reply@example.com>";
                return self.refuse(key, problem);
            }
            return Some(None);
        }
        self.accept(key, parse_sender(&text)).map(Some)
    }

    /// A page of the application, which gets a token in the fragment.
    fn page(&mut self, key: &str) -> Option<Option<Url>> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Some(None);
        }
        let profile = self.profile;
        self.accept(key, check_page(&text, profile)).map(Some)
    }

    fn smtp(&mut self, needed: bool, issuer: Option<&str>) -> Option<Option<SmtpConfig>> {
        let host = self.text("mail.smtp.host");
        let port = self.number("mail.smtp.port", 0, u16::MAX);
        let tls = self.choice(
            "mail.smtp.tls",
            &[
                ("starttls", Encryption::StartTls),
                ("tls", Encryption::Implicit),
                ("off", Encryption::Off),
            ],
        );
        let allow_plaintext = self.flag("mail.smtp.allow_plaintext");
        let ca_file = self.path("mail.smtp.ca_file");
        let hello = self.hello(issuer);
        let credentials = self.smtp_credentials();
        let timeout = match self.duration("mail.smtp.timeout") {
            Some(timeout) if !(1..=600).contains(&timeout.as_secs()) => {
                self.refuse("mail.smtp.timeout", "must be from 1s to 10m")
            }
            timeout => timeout,
        };
        let connections = self.number("mail.smtp.connections", 1, 32);
        let (host, tls) = (host?, tls?);
        if host.is_empty() {
            if needed {
                let problem = "is required, since mail.transport is smtp";
                return self.refuse("mail.smtp.host", problem);
            }
            return Some(None);
        }
        let host = self.accept("mail.smtp.host", check_host(&host))?;
        if tls == Encryption::Off && !allow_plaintext? && !is_loopback_host(&host) {
            let problem = "may be off for a loopback host only, since mails carry tokens; set \
                           mail.smtp.allow_plaintext to true to allow it for any host";
            return self.refuse("mail.smtp.tls", problem);
        }
        let port = match (port?, tls) {
            (0, Encryption::StartTls) => 587,
            (0, Encryption::Implicit) => 465,
            (0, Encryption::Off) => 25,
            (port, _) => port,
        };
        Some(Some(SmtpConfig {
            host,
            port,
            tls,
            ca_file: ca_file?,
            hello: hello?,
            credentials: credentials?,
            timeout: timeout?,
            connections: connections?,
        }))
    }

    /// The name for EHLO: the host of the issuer, unless another name is configured. The machine's
    /// own name is often one that no other host can resolve, which servers refuse.
    fn hello(&mut self, issuer: Option<&str>) -> Option<String> {
        let key = "mail.smtp.hello";
        let text = self.text(key)?;
        if text.is_empty() {
            let url = Url::parse(issuer?).ok()?;
            return url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        self.accept(key, check_host(bare.unwrap_or(&text)))
    }

    fn smtp_credentials(&mut self) -> Option<Option<(String, Secret<String>)>> {
        let username = self.text("mail.smtp.username");
        let password = self.text("mail.smtp.password").map(Secret::new);
        let (username, password) = (username?, password?);
        match (username.is_empty(), password.expose().is_empty()) {
            (true, true) => Some(None),
            (false, false) => Some(Some((username, password))),
            (true, false) => {
                self.refuse("mail.smtp.username", "is required with mail.smtp.password")
            }
            (false, true) => {
                let problem = "is required with mail.smtp.username, best in a file that \
                               SIGNET__MAIL__SMTP__PASSWORD_FILE names";
                self.refuse("mail.smtp.password", problem)
            }
        }
    }
}

/// Checks a page's URL: https, so that no one on the way can change the page that receives the
/// token.
fn check_page(text: &str, profile: Profile) -> Result<Url, String> {
    let wrong = "must be an absolute https URL such as https://app.example.com/verify";
    let url = Url::parse(text).ok().filter(Url::has_host).ok_or(wrong)?;
    if url.fragment().is_some() {
        return Err("must have no fragment: the token is appended as the fragment".into());
    }
    if !url.username().is_empty() || url.password().is_some() || text.len() > 1000 {
        return Err(wrong.into());
    }
    match (url.scheme(), profile) {
        ("https", _) => Ok(url),
        ("http", Profile::Development) if is_loopback(&url) => Ok(url),
        _ => Err(wrong.into()),
    }
}

/// A host as a URL has it, an IPv6 address in brackets.
fn in_url(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn check_host(text: &str) -> Result<String, String> {
    match Host::parse(&in_url(text)) {
        Ok(host) => Ok(host.to_string().trim_matches(['[', ']']).to_owned()),
        Err(_) => Err("must be a host name or address, without a port".into()),
    }
}

fn is_loopback_host(host: &str) -> bool {
    Url::parse(&format!("http://{}", in_url(host))).is_ok_and(|url| is_loopback(&url))
}
