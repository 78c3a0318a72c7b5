//! Why a document could not be had.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A fetch that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection, or it broke.
    Connection(String),
    /// It took too long.
    Timeout,
    /// The server answered with another status than 200.
    Status {
        /// The status.
        code: u16,
        /// How long the server asked to be left alone.
        retry_after: Duration,
    },
    /// The answer is larger than the limit.
    TooLarge,
    /// The server sent the request elsewhere.
    Redirect,
    /// An address is none, or is `http://` where that was not allowed.
    Url,
    /// The metadata is of another issuer than the one that was asked for.
    Issuer,
    /// This was not what it should be.
    Invalid(&'static str),
    /// The background task has ended.
    Stopped,
}

impl FetchError {
    /// How long the server asked to be left alone.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => Duration::ZERO,
        }
    }

    /// Whether the server wants another token, or any.
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Status { code: 401, .. })
    }

    /// Whether what was asked for has another address by now, or none.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Status { code: 404 | 410, .. } | Self::Redirect)
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(why) => write!(formatter, "the connection failed: {why}"),
            Self::Timeout => formatter.write_str("it took too long"),
            Self::Status { code, .. } => write!(formatter, "the server answered {code}"),
            Self::TooLarge => formatter.write_str("the answer is too large"),
            Self::Redirect => formatter.write_str("the server sends elsewhere"),
            Self::Url => formatter.write_str("an address is not allowed"),
            Self::Issuer => formatter.write_str("the metadata names another issuer"),
            Self::Invalid(what) => write!(formatter, "{what} is not valid"),
            Self::Stopped => formatter.write_str("the background task has ended"),
        }
    }
}

impl Error for FetchError {}

impl From<hyper_util::client::legacy::Error> for FetchError {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        Self::Connection(causes(&error))
    }
}

impl From<hyper::Error> for FetchError {
    fn from(error: hyper::Error) -> Self {
        Self::Connection(causes(&error))
    }
}

/// What failed and why, down to the first cause.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
