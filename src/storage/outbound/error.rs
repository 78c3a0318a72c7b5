//! Failures of a request to another service, distinguished as far as callers act differently.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::StatusCode;

/// The reason why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address must not be asked, whatever its host resolves to.
    #[error("the address must {0}")]
    Address(&'static str),
    /// The host resolves to an address in a network that clients' addresses must not reach.
    #[error("the host resolves to {0}, which is not public and not named by outbound.allow")]
    Network(IpAddr),
    /// The name does not resolve.
    #[error("the name does not resolve: {0}")]
    Name(#[source] io::Error),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// No server accepts connections at this address.
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, #[source] io::Error),
    /// The TLS handshake failed.
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
    /// The answer is not HTTP, or broke off.
    #[error("{0}{cause}", cause = cause(.0))]
    Http(#[source] hyper::Error),
    /// No answer within this time.
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// The body is longer than this number of bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer is a redirect to another address.
    #[error("{status} to {to:?}", status = .0.as_u16(), to = .1)]
    Redirect(StatusCode, String),
    /// The answer has a status other than 200.
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
}

fn cause(error: &hyper::Error) -> String {
    error.source().map_or_else(String::new, |source| format!(": {source}"))
}
