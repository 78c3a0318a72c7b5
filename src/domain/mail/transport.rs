//! What carries letters away: an SMTP server, or in development files that a mail program opens.

mod files;
mod smtp;

use std::path::PathBuf;
use std::time::Duration;

pub use smtp::{SmtpConfig, Tls};

use super::Letter;
use smtp::{Server, Session};

/// Writing a file takes less.
const FILES_TIMEOUT: Duration = Duration::from_secs(10);

/// Which way mail goes.
#[derive(Clone, Debug)]
pub enum TransportConfig {
    /// Each letter is a file in this folder.
    Files(PathBuf),
    /// A server takes it.
    Smtp(SmtpConfig),
}

/// The way cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The authority that a server is trusted by.
    #[error("{0} holds no certificate")]
    Authority(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// TLS.
    #[error("TLS cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Why a letter was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It may be later: the server was not reached, or its reply does not speak of the recipient.
    Now(String),
    /// It never will be: the server refused the recipient for good (RFC 5321, 5yz).
    Ever(String),
}

/// The way that mail goes, ready for use. Cheap to clone.
#[derive(Clone)]
pub enum Transport {
    /// Into a folder.
    Files(PathBuf),
    /// To a server.
    Smtp(std::sync::Arc<Server>),
}

impl Transport {
    /// Prepares what `config` says; nothing is connected yet.
    pub fn open(config: &TransportConfig) -> Result<Self, TransportError> {
        Ok(match config {
            TransportConfig::Files(folder) => Self::Files(folder.clone()),
            TransportConfig::Smtp(config) => {
                Self::Smtp(std::sync::Arc::new(Server::new(config.clone())?))
            }
        })
    }

    /// How long the delivery of one letter may take at most.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Files(_) => FILES_TIMEOUT,
            Self::Smtp(server) => server.config.timeout,
        }
    }

    /// How many letters may be under way at once.
    pub fn lanes(&self) -> usize {
        match self {
            Self::Files(_) => 1,
            Self::Smtp(server) => server.config.connections,
        }
    }

    /// A courier of its own, without a connection yet.
    pub fn courier(&self) -> Courier {
        Courier { transport: self.clone(), session: None }
    }
}

/// Delivers letters, one after the other over one connection.
pub struct Courier {
    transport: Transport,
    session: Option<Session>,
}

impl Courier {
    /// Delivers `letter`; returns what the server answered. Takes no longer than the transport's
    /// timeout. Unless it succeeds, the connection is not used again: nobody knows where in the
    /// conversation it stands.
    pub async fn deliver(&mut self, letter: &Letter) -> Result<String, NotTaken> {
        match &self.transport {
            Transport::Files(folder) => files::write(folder, letter).await,
            Transport::Smtp(server) => {
                let present = self.session.take();
                let delivered = server.deliver(present, letter);
                let timeout = server.config.timeout;
                let Ok(delivered) = tokio::time::timeout(timeout, delivered).await else {
                    let timeout = humantime::format_duration(timeout);
                    let message = format!("the server did not take it within {timeout}");
                    return Err(NotTaken::Now(message));
                };
                let (session, answer) = delivered?;
                self.session = Some(session);
                Ok(answer)
            }
        }
    }

    /// Ends the connection, if there is one: there is nothing more to deliver for now.
    pub async fn hang_up(&mut self) {
        if let Some(session) = self.session.take() {
            session.quit().await;
        }
    }
}
