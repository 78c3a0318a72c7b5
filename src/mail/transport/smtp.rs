//! SMTP (RFC 5321), over TLS from the first byte (RFC 8314) or by STARTTLS (RFC 3207), which is then
//! insisted on. The steps of the conversation are taken one by one, since it matters where it fails:
//! what goes wrong before the recipient was named is no fault of the letter, and is tried again.

use std::path::PathBuf;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::{Letter, NotTaken, TransportError};
use crate::secret::Secret;
use crate::storage::tls;

/// How long a server may take to say goodbye.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Of what a server says, as much is repeated.
const LONGEST_ANSWER: usize = 200;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// By STARTTLS; a server that lacks it gets nothing.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    Off,
}

/// The server that takes mail.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// Its name, which its certificate must have, or its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// A PEM file of the authority it is trusted by, in the place of the system's.
    pub ca_file: Option<PathBuf>,
    /// User and password, where it asks for them.
    pub credentials: Option<(String, Secret<String>)>,
    /// How long the delivery of one letter may take.
    pub timeout: Duration,
    /// How many connections one process makes.
    pub connections: usize,
}

/// The server, ready to be connected to.
pub struct Server {
    pub(super) config: SmtpConfig,
    tls: Option<TlsParameters>,
    hello: ClientId,
}

impl Server {
    pub(super) fn new(config: SmtpConfig) -> Result<Self, TransportError> {
        let tls = (config.tls != Tls::Off).then(|| tls_parameters(&config)).transpose()?;
        Ok(Self { config, tls, hello: ClientId::default() })
    }

    /// Delivers `letter` by `session`, or by a new one; gives the session back for the next letter.
    pub(super) async fn deliver(
        &self,
        session: Option<Session>,
        letter: &Letter,
    ) -> Result<(Session, String), NotTaken> {
        let mut session = match session {
            Some(session) => session,
            None => Session(self.connect().await.map_err(|error| not_now(&error))?),
        };
        match session.converse(letter).await {
            Ok(answer) => Ok((session, answer)),
            Err(error) => {
                session.quit().await;
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let SmtpConfig { host, port, timeout, .. } = &self.config;
        let implicit = self.tls.clone().filter(|_| self.config.tls == Tls::Implicit);
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            (host.as_str(), *port),
            Some(*timeout),
            &self.hello,
            implicit,
            None,
        )
        .await?;
        if self.config.tls == Tls::StartTls
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

/// An open connection, between two letters.
pub(super) struct Session(AsyncSmtpConnection);

impl Session {
    /// MAIL, RCPT, DATA, the letter; returns what the server said to the last.
    async fn converse(&mut self, letter: &Letter) -> Result<String, NotTaken> {
        let connection = &mut self.0;
        let mut parameters = Vec::new();
        let server = connection.server_info();
        if !letter.is_ascii() {
            if !server.supports_feature(Extension::SmtpUtfEight) {
                let message = "the server takes no addresses beyond ASCII (SMTPUTF8)";
                return Err(NotTaken::Ever(message.into()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
            if server.supports_feature(Extension::EightBitMime) {
                parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
            }
        }
        let mail = Mail::new(letter.envelope.from().cloned(), parameters);
        connection.command(mail).await.map_err(|error| not_now(&error))?;
        for to in letter.envelope.to() {
            let rcpt = Rcpt::new(to.clone(), Vec::new());
            connection.command(rcpt).await.map_err(|error| refused(&error))?;
        }
        connection.command(Data).await.map_err(|error| refused(&error))?;
        let answer = connection.message(&letter.message).await.map_err(|error| refused(&error))?;
        let said = answer.message().collect::<Vec<_>>().join(" ");
        Ok(one_line(&format!("{} {said}", answer.code())))
    }

    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        // The server has what it took already, whatever becomes of this.
        let _ = tokio::time::timeout(QUIT_TIMEOUT, self.0.abort()).await;
    }
}

fn not_now(error: &Error) -> NotTaken {
    let text = error.to_string();
    NotTaken::Now(one_line(tls::explain(&text).unwrap_or(&text)))
}

fn refused(error: &Error) -> NotTaken {
    match error.is_permanent() {
        true => NotTaken::Ever(one_line(&error.to_string())),
        false => not_now(error),
    }
}

/// What a server says goes to logs and to the database.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line[..line.floor_char_boundary(LONGEST_ANSWER)].trim_end().to_owned()
}
