//! The one HTTP client of the service. It sends no cookies, follows no redirects, and bounds every
//! wait and every answer. Invariant: an address that a client gave is asked by HTTPS, its host is
//! resolved once, each address found must be public or named by `outbound.allow`, and the connection
//! goes to one of those very addresses. Addresses that the operator gave lead anywhere.

mod client;
mod error;
mod networks;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use url::Url;

use super::tls::read_certificates;

pub use client::{Connection, Outbound};
pub use error::OutboundError;
pub use hyper::StatusCode;
pub use hyper::body::Incoming;
pub use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use networks::Allowed;

/// The settings of the section `outbound`.
#[derive(Clone, Debug)]
pub struct OutboundPolicy {
    timeout: Duration,
    authorities: Vec<CertificateDer<'static>>,
    allow: Vec<Allowed>,
}

impl OutboundPolicy {
    /// The default policy: 5 seconds, the system's authorities, public networks only.
    pub const DEFAULT: Self =
        Self { timeout: Duration::from_secs(5), authorities: Vec::new(), allow: Vec::new() };

    /// Checks the settings and reads `ca_file`, whose authorities are trusted beside the system's.
    /// The error is the sentence for the operator, with the name of the wrong setting.
    pub fn new(
        timeout: Duration,
        ca_file: Option<&Path>,
        allow: Vec<Allowed>,
    ) -> Result<Self, (&'static str, String)> {
        if !(1..=10).contains(&timeout.as_secs()) {
            return Err(("timeout", "must be from 1s to 10s".into()));
        }
        let read = ca_file.map(read_certificates).transpose();
        let (_, authorities) = read.map_err(|problem| ("ca_file", problem))?.unwrap_or_default();
        Ok(Self { timeout, authorities, allow })
    }
}

/// An address to be asked, and who gave it, which decides where it may lead.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    url: &'a Url,
    giver: Giver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Giver {
    Operator,
    Client { may_be_plain: bool },
}

impl<'a> Target<'a> {
    /// An address from the configuration, a command line or a trust rule: HTTP or HTTPS, any network.
    pub fn of_operator(url: &'a Url) -> Self {
        Self { url, giver: Giver::Operator }
    }

    /// An address from a client's metadata: HTTPS, on a public or allowed network.
    pub fn of_client(url: &'a Url) -> Self {
        Self { url, giver: Giver::Client { may_be_plain: false } }
    }

    /// The same for back-channel logout in the development profile: plain HTTP on loopback passes
    /// too, where loopback is allowed.
    pub fn of_client_in_development(url: &'a Url) -> Self {
        Self { url, giver: Giver::Client { may_be_plain: true } }
    }

    fn check_url(self) -> Result<(), OutboundError> {
        match (self.url.scheme(), self.giver) {
            ("https", _) => {}
            ("http", Giver::Operator | Giver::Client { may_be_plain: true }) => {}
            (_, Giver::Operator) => {
                return Err(OutboundError::Address("begin with https:// or http://"));
            }
            (_, Giver::Client { may_be_plain: true }) => return Err(networks::NEITHER),
            _ => return Err(OutboundError::Address("begin with https://")),
        }
        match (self.url.username(), self.url.password()) {
            ("", None) => Ok(()),
            _ => Err(OutboundError::Address("carry no user name or password")),
        }
    }
}

/// A request: a POST of a form where there is one, else a GET.
#[derive(Clone, Default)]
pub struct Request {
    pub(crate) form: Option<String>,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) if_none_match: Option<HeaderValue>,
    /// The value of `Accept`; by default anything.
    pub(crate) accept: Option<&'static str>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) asked_at: Instant,
    pub(crate) head_after: Duration,
}

impl Answer {
    /// The same answer if its status is 200.
    pub fn success(self) -> Result<Self, OutboundError> {
        check_status(self.status, &self.headers)?;
        Ok(self)
    }

    /// A header as text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How many characters of a redirect's address a message repeats: the other side chose it.
const MAX_SHOWN_LOCATION: usize = 200;

/// Checks that an answer with this head is a success: of status 200, and so no redirect.
pub fn check_status(status: StatusCode, headers: &HeaderMap) -> Result<(), OutboundError> {
    if status.is_redirection() {
        let to = headers.get(header::LOCATION).map_or(&[][..], HeaderValue::as_bytes);
        let to = String::from_utf8_lossy(to).chars().take(MAX_SHOWN_LOCATION).collect();
        return Err(OutboundError::Redirect(status, to));
    }
    if status == StatusCode::OK { Ok(()) } else { Err(OutboundError::Status(status)) }
}
