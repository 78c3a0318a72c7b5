//! The transport of messages: an SMTP server, or in development files that a mail program opens.

mod files;
mod smtp;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use smtp::{Encryption, SmtpConfig};

use super::Message;
use smtp::{Server, Session};

const FILES_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) enum TransportConfig {
    Files(PathBuf),
    Smtp(SmtpConfig),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("{0} holds no certificate")]
    Authority(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("TLS cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// The reason why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It may be taken later: the server was not reached, or its reply does not concern the recipient.
    Now(String),
    /// It will never be taken: the server refused the recipient for good (RFC 5321, 5yz).
    Ever(String),
}

/// The transport, ready for use. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Transport {
    Files(PathBuf),
    Smtp(std::sync::Arc<Server>),
}

impl Transport {
    /// Prepares the transport of `config`; connects to nothing yet.
    pub(crate) fn open(config: &TransportConfig) -> Result<Self, TransportError> {
        Ok(match config {
            TransportConfig::Files(folder) => Self::Files(folder.clone()),
            TransportConfig::Smtp(config) => {
                Self::Smtp(std::sync::Arc::new(Server::new(config.clone())?))
            }
        })
    }

    pub(crate) fn timeout(&self) -> Duration {
        match self {
            Self::Files(_) => FILES_TIMEOUT,
            Self::Smtp(server) => server.config.timeout,
        }
    }

    pub(crate) fn lanes(&self) -> usize {
        match self {
            Self::Files(_) => 1,
            Self::Smtp(server) => server.config.connections,
        }
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection { transport: self.clone(), session: None }
    }
}

pub(crate) struct Connection {
    transport: Transport,
    session: Option<Session>,
}

impl Connection {
    /// Delivers `message` within the transport's timeout; returns the server's answer. After a
    /// failure the connection is not used again: it is unknown where in the
    /// conversation it stands.
    pub(crate) async fn deliver(&mut self, message: &Message) -> Result<String, NotTaken> {
        match &self.transport {
            Transport::Files(folder) => files::write(folder, message).await,
            Transport::Smtp(server) => {
                let present = self.session.take();
                let delivered = server.deliver(present, message);
                let timeout = server.config.timeout;
                let Ok(delivered) = tokio::time::timeout(timeout, delivered).await else {
                    let timeout = humantime::format_duration(timeout);
                    let reason = format!("the server did not take it within {timeout}");
                    return Err(NotTaken::Now(reason));
                };
                let (session, answer) = delivered?;
                self.session = Some(session);
                Ok(answer)
            }
        }
    }

    pub(crate) async fn hang_up(&mut self) {
        if let Some(session) = self.session.take() {
            session.quit().await;
        }
    }
}
