//! SMTP (RFC 5321), over TLS from the first byte (RFC 8314) or by STARTTLS (RFC 3207), which is then
//! insisted on. The steps of the conversation are taken one by one, since it matters where it fails:
//! a refusal is final only where it speaks of the recipient. Servers refuse at RCPT, too, what is the
//! fault of the sender's domain, of this host or of the server's own settings, and an operator can mend
//! those before the mail is too old.

use std::error::Error as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::{Message, NotTaken, TransportError};
use crate::base::secret::Secret;
use crate::storage::tls;

const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER_BYTES: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// By STARTTLS; a server that lacks it gets nothing.
    StartTls,
    Implicit,
    Off,
}

#[derive(Clone, Debug)]
pub(crate) struct SmtpConfig {
    /// Its name, which its certificate must have, or its address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Encryption,
    /// A PEM file of the authority it is trusted by, in the place of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The name or address that this host gives itself in EHLO (RFC 5321 section 4.1.1.1).
    pub(crate) hello: String,
    pub(crate) credentials: Option<(String, Secret<String>)>,
    pub(crate) timeout: Duration,
    pub(crate) connections: usize,
}

pub(crate) struct Server {
    pub(super) config: SmtpConfig,
    tls: Option<TlsParameters>,
    hello: ClientId,
}

impl Server {
    pub(super) fn new(config: SmtpConfig) -> Result<Self, TransportError> {
        let tls = (config.tls != Encryption::Off).then(|| tls_parameters(&config)).transpose()?;
        let hello = client_id(&config.hello);
        Ok(Self { config, tls, hello })
    }

    /// Delivers `message` by `session`, or by a new one; returns the session for the next message.
    pub(super) async fn deliver(
        &self,
        session: Option<Session>,
        message: &Message,
    ) -> Result<(Session, String), NotTaken> {
        let mut session = match session {
            Some(session) => session,
            None => Session(self.connect().await.map_err(|error| not_now(&error))?),
        };
        match session.converse(message).await {
            Ok(answer) => Ok((session, answer)),
            Err(error) => {
                session.quit().await;
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let SmtpConfig { host, port, timeout, .. } = &self.config;
        let implicit = self.tls.clone().filter(|_| self.config.tls == Encryption::Implicit);
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            (host.as_str(), *port),
            Some(*timeout),
            &self.hello,
            implicit,
            None,
        )
        .await?;
        if self.config.tls == Encryption::StartTls
            && let Some(tls) = self.tls.clone()
        {
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some((user, password)) = &self.config.credentials {
            let credentials = Credentials::new(user.clone(), password.expose().clone());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }
}

/// An address is sent as a literal in brackets (RFC 5321 section 4.1.3).
fn client_id(hello: &str) -> ClientId {
    match hello.parse() {
        Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
        Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
        Err(_) => ClientId::Domain(hello.to_owned()),
    }
}

fn tls_parameters(config: &SmtpConfig) -> Result<TlsParameters, TransportError> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.ca_file {
        let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
            TransportError::Authority(path.display().to_string(), error)
        };
        let pem = std::fs::read(path).map_err(|error| unreadable(error.into()))?;
        if !String::from_utf8_lossy(&pem).contains("BEGIN CERTIFICATE") {
            return Err(unreadable("it is no PEM file".into()));
        }
        let certificate = Certificate::from_pem(&pem).map_err(|error| unreadable(error.into()))?;
        builder =
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build().map_err(TransportError::Tls)
}

pub(super) struct Session(AsyncSmtpConnection);

impl Session {
    /// MAIL, RCPT, DATA, the message; returns the server's answer to the last.
    async fn converse(&mut self, message: &Message) -> Result<String, NotTaken> {
        let connection = &mut self.0;
        let mut parameters = Vec::new();
        let server = connection.server_info();
        if !message.is_ascii() {
            if !server.supports_feature(Extension::SmtpUtfEight) {
                // It may be replaced, or set up for them.
                let message = "the server takes no addresses beyond ASCII (SMTPUTF8)";
                return Err(NotTaken::Now(message.into()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
            if server.supports_feature(Extension::EightBitMime) {
                parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
            }
        }
        let mail = Mail::new(message.envelope.from().cloned(), parameters);
        connection.command(mail).await.map_err(|error| not_now(&error))?;
        for to in message.envelope.to() {
            let rcpt = Rcpt::new(to.clone(), Vec::new());
            connection.command(rcpt).await.map_err(|error| refused(Step::Recipient, &error))?;
        }
        let refused = |error: Error| refused(Step::Message, &error);
        connection.command(Data).await.map_err(refused)?;
        let answer = connection.message(&message.bytes).await.map_err(refused)?;
        let said = answer.message().collect::<Vec<_>>().join(" ");
        Ok(one_line(&format!("{} {said}", answer.code())))
    }

    pub(super) async fn quit(mut self) {
        // The server has what it took already, whatever becomes of this.
        let _ = tokio::time::timeout(QUIT_TIMEOUT, self.0.abort()).await;
    }
}

fn not_now(error: &Error) -> NotTaken {
    let text = error.to_string();
    NotTaken::Now(one_line(tls::explain(&text).unwrap_or(&text)))
}

/// Where in the conversation a server refuses, once the recipient was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Recipient,
    Message,
}

fn refused(step: Step, error: &Error) -> NotTaken {
    let code = error.status().map(u16::from).unwrap_or_default();
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    match is_final(step, code, &said) {
        true => NotTaken::Ever(one_line(&error.to_string())),
        false => not_now(error),
    }
}

/// Whether a reply speaks of the recipient, and so will be the same the next time: an enhanced status
/// code (RFC 3463) of the classes 5.1 (addresses), but for those of the sender, and 5.2 (mailboxes), or
/// at RCPT a 550 without any.
fn is_final(step: Step, code: u16, said: &str) -> bool {
    if !(500..600).contains(&code) {
        return false;
    }
    match enhanced_code(said) {
        Some([5, 1, 7 | 8]) => false,
        Some([5, 1 | 2, _]) => true,
        Some(_) => false,
        None => step == Step::Recipient && code == 550,
    }
}

/// The enhanced status code that a reply's text begins with (RFC 2034 section 4). Some servers put a
/// sign before it, such as `#5.1.1`.
fn enhanced_code(said: &str) -> Option<[u16; 3]> {
    let said = said.trim_start().trim_start_matches(['#', '(', '[']);
    let end = said.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(said.len());
    let numbers = said.get(..end)?.trim_end_matches('.').split('.').map(|part| part.parse().ok());
    numbers.collect::<Option<Vec<u16>>>()?.try_into().ok()
}

/// What a server says goes to logs and to the database.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line[..line.floor_char_boundary(MAX_ANSWER_BYTES)].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_the_recipient_is_final() {
        use Step::{Message, Recipient};
        for (step, code, said, last) in [
            (Recipient, 550, "5.1.1 there is no user of this name", true),
            (Recipient, 550, "5.1.10 null MX", true),
            (Recipient, 553, "5.1.3 bad address", true),
            (Recipient, 552, "5.2.2 mailbox full", true),
            (Recipient, 550, "#5.1.0 Address rejected.", true),
            (Recipient, 550, "5.1.1: unknown", true),
            (Message, 550, "5.1.1 unknown after all", true),
            (Message, 554, "5.2.1 disabled", true),
            (Recipient, 550, "no such user here", true),
            (Recipient, 550, "", true),
            (Recipient, 550, "5 users of 10.0.0.1 are unknown", true),
            // The sender.
            (Recipient, 553, "5.1.7 bad sender syntax", false),
            (Recipient, 550, "5.1.8 sender domain not found", false),
            (Recipient, 553, "5.7.1 sender rejected", false),
            // This host, or what it may do there.
            (Recipient, 504, "5.5.2 <signet>: Helo command rejected", false),
            (Recipient, 554, "5.7.1 relay access denied", false),
            (Recipient, 550, "5.7.1 relaying denied", false),
            (Recipient, 550, "(5.7.1) relaying denied", false),
            (Recipient, 530, "5.7.0 authentication required", false),
            (Recipient, 530, "authentication required", false),
            (Recipient, 551, "user not local", false),
            (Recipient, 553, "mailbox name not allowed", false),
            (Recipient, 554, "no valid recipients", false),
            (Recipient, 550, "5.4.4 unable to route", false),
            // The message, or the server.
            (Message, 550, "spam", false),
            (Message, 554, "5.6.0 rejected", false),
            (Message, 552, "5.3.4 too big", false),
            // By its first digit it is not for good, whatever the text says.
            (Recipient, 450, "5.1.1 unknown", false),
            (Recipient, 550, "4.1.1 unknown", false),
            (Recipient, 0, "5.1.1 no reply at all", false),
        ] {
            assert_eq!(is_final(step, code, said), last, "{step:?} {code} {said}");
        }
    }

    #[test]
    fn addresses_are_sent_as_literals() {
        for (hello, sent) in [
            ("id.example.com", "id.example.com"),
            ("192.0.2.1", "[192.0.2.1]"),
            ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ] {
            assert_eq!(client_id(hello).to_string(), sent);
        }
    }
}
