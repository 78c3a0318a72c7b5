//! The reasons why a check has no answer, in words for the operator who has to fix them.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rustls::CertificateError;

use crate::storage::outbound::{OutboundError, StatusCode};

/// The reason why there is no answer, or none that counts.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Request(#[from] OutboundError),
    #[error("no answer within {}", seconds(*.0))]
    Slow(Duration),
    #[error("not done when the time was up (--timeout)")]
    TimeUp,
    #[error("{0} (status {status})", status = .1.as_u16())]
    Refused(&'static str, StatusCode),
    #[error("the metadata names no endpoint that may be asked")]
    NoEndpoint,
    #[error("{0}")]
    Content(&'static str),
}

impl Fault {
    pub(super) fn mend(&self) -> &'static str {
        use OutboundError::{
            Address, Connect, Http, Name, Network, NoAddress, Redirect, Slow, Status, Tls, TooLong,
        };
        match self {
            Self::Request(Name(_) | NoAddress | Address(_) | Network(_)) => {
                "check the name for typing errors, and that this machine's resolver knows it"
            }
            Self::Request(Connect(_, error)) if error.kind() == ErrorKind::ConnectionRefused => {
                "start the service or its proxy, or check host and port: no process listens there"
            }
            Self::Request(Connect(..)) => {
                "check routes and firewalls between this machine and the issuer"
            }
            Self::Request(Tls(error)) => of_tls(error),
            Self::Request(Http(_)) => {
                "check that host and port are those of an HTTP service, and what the proxy's log says"
            }
            Self::Slow(_) | Self::Request(Slow(_)) => {
                "find out what the service or its proxy waits for"
            }
            Self::TimeUp => "raise --timeout, or mend what was slow before",
            Self::Request(TooLong(_)) => "find out what answers there: no issuer says so much",
            Self::Request(Redirect(..)) => {
                "serve it at this very address, or name the other one: verifiers follow no redirects"
            }
            Self::Request(Status(status)) if status.is_server_error() => {
                "look into the log of the service and its proxy"
            }
            Self::Request(Status(_)) => "let the proxy pass this path on to the service",
            Self::Refused("invalid_client", _) => "check the client's id and secret",
            Self::Refused("unauthorized_client" | "unsupported_grant_type", _) => {
                "register the client for the grant client_credentials"
            }
            Self::Refused("invalid_scope", _) => "register the client for the scope",
            Self::Refused(..) => "look into the log of the service: it says why",
            Self::NoEndpoint => "name the endpoint in the metadata, by https",
            Self::Content(_) => "check that the proxy passes this path on to the service",
        }
    }
}

fn of_tls(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(error)) = inner else {
        return "let the server speak TLS 1.2 or 1.3 at this port";
    };
    match error {
        // Or an authority of the same name signed it.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "serve the certificate with its whole chain, or let this machine trust the authority: its \
             list of roots, or SSL_CERT_FILE"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the certificate, and see why it was not renewed automatically"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "set this machine's clock, or wait until the certificate begins"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "get a certificate for this very name"
        }
        _ => "get a certificate that is good for a server of this name",
    }
}

pub(super) fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds => format!("{seconds:.0} s"),
    }
}
