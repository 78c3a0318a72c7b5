//! Why an answer could not be had, in words for whoever has to mend it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use rustls::CertificateError;

/// Why there is no answer, or none that counts.
#[derive(Debug)]
pub enum Fault {
    /// The name does not resolve.
    Name(io::Error),
    /// The name has no address, or is none.
    NoAddress,
    /// Nobody answers at this address.
    Connect(SocketAddr, io::Error),
    /// No TLS with who was meant.
    Tls(io::Error),
    /// What came is not HTTP, or broke off.
    Http(hyper::Error),
    /// Nothing within this time.
    Slow(Duration),
    /// The time for the whole run is over.
    TimeUp,
    /// More than so many bytes.
    TooLong(usize),
    /// It lies elsewhere.
    Redirect(StatusCode, String),
    /// Another status.
    Status(StatusCode),
    /// It came, and is not what it should be.
    Content(&'static str),
}

impl Fault {
    /// Whether an answer with this head is a success.
    pub fn of_status(status: StatusCode, headers: &HeaderMap) -> Result<(), Self> {
        if status.is_redirection() {
            let to = headers.get(header::LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
            return Err(Self::Redirect(status, to.unwrap_or_default().into_owned()));
        }
        if status == StatusCode::OK { Ok(()) } else { Err(Self::Status(status)) }
    }

    /// What to do about it.
    pub fn mend(&self) -> String {
        match self {
            Self::Name(_) | Self::NoAddress => {
                "check the name for typing errors, and that this machine's resolver knows it".into()
            }
            Self::Connect(_, error) if error.kind() == ErrorKind::ConnectionRefused => {
                "start the service or its proxy, or check host and port: nobody listens there".into()
            }
            Self::Connect(..) => {
                "check routes and firewalls between this machine and the issuer".into()
            }
            Self::Tls(error) => of_tls(error).into(),
            Self::Http(_) => {
                "check that host and port are those of an HTTP service, and what the proxy's log says"
                    .into()
            }
            Self::Slow(_) => "find out what the service or its proxy waits for".into(),
            Self::TimeUp => "raise --timeout, or mend what was slow before".into(),
            Self::TooLong(_) => "find out what answers there: no issuer says so much".into(),
            Self::Redirect(..) => {
                "serve it at this very address, or name the other one: verifiers follow no redirects"
                    .into()
            }
            Self::Status(status) if status.is_server_error() => {
                "look into the log of the service and its proxy".into()
            }
            Self::Status(_) => "let the proxy pass this path on to the service".into(),
            Self::Content(_) => "check that the proxy passes this path on to the service".into(),
        }
    }
}

/// What ails a certificate.
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
            "renew the certificate, and see why that did not happen by itself"
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "the name does not resolve: {error}"),
            Self::NoAddress => f.write_str("the name has no address"),
            Self::Connect(address, error) => write!(f, "no connection to {address}: {error}"),
            Self::Tls(error) => write!(f, "no TLS: {error}"),
            Self::Http(error) => match std::error::Error::source(error) {
                Some(source) => write!(f, "{error}: {source}"),
                None => write!(f, "{error}"),
            },
            Self::Slow(limit) => write!(f, "no answer within {}", seconds(*limit)),
            Self::TimeUp => f.write_str("not done when the time was up (--timeout)"),
            Self::TooLong(longest) => write!(f, "the answer is longer than {longest} bytes"),
            Self::Redirect(status, to) => write!(f, "{} to {to:?}", status.as_u16()),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::Content(what) => f.write_str(what),
        }
    }
}

/// A time as people read it.
pub fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds => format!("{seconds:.0} s"),
    }
}
