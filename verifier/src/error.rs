//! Why a request is refused, and the answer to it (RFC 6750 section 3).

use std::fmt::{self, Write};
use std::time::Duration;

use crate::http::FetchError;

/// Why a token is not accepted, or does not allow the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The request carries no token: 401, without an error code (RFC 6750 section 3.1).
    Missing,
    /// The request carries a token in a way that it must not: 400, `invalid_request`.
    Request(&'static str),
    /// The token is not good: 401, `invalid_token`.
    Invalid(Reason),
    /// The token is good and does not allow this: 403, `insufficient_scope`.
    Insufficient(Requirement),
    /// Whether the token is good cannot be known now: 503.
    Unavailable(Unavailable),
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// It is longer than any that is read.
    TooLong,
    /// It is no JWS in compact form, or its JSON is not what it has to be.
    Malformed,
    /// Its `typ` is not `at+jwt`.
    Type,
    /// Its `alg` is not allowed, or not its key's.
    Algorithm,
    /// Its header has `crit`.
    Critical,
    /// The issuer has no such key.
    UnknownKey,
    /// The signature is not the key's.
    Signature,
    /// A claim that every access token has is missing (RFC 9068 section 2.2).
    Claims,
    /// Another issuer's.
    Issuer,
    /// For somebody else.
    Audience,
    /// It has expired.
    Expired,
    /// It is not valid yet, or says to be issued in the future.
    TooEarly,
    /// It was revoked before its end.
    Revoked,
}

impl Reason {
    /// A name for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::TooEarly => "too_early",
            Self::Revoked => "revoked",
        }
    }

    /// The text for `error_description`: only characters that a quoted string allows.
    const fn description(self) -> &'static str {
        match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "the token is malformed",
            Self::Type => "the token is not an access token",
            Self::Algorithm => "the signature algorithm is not accepted",
            Self::Critical => "the token has critical extensions",
            Self::UnknownKey => "the signing key is unknown",
            Self::Signature => "the signature is wrong",
            Self::Claims => "a claim is missing",
            Self::Issuer => "the token is from another issuer",
            Self::Audience => "the token is for another audience",
            Self::Expired => "the token has expired",
            Self::TooEarly => "the token is not valid yet",
            Self::Revoked => "the token was revoked",
        }
    }
}

/// What a token would have to have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// This scope.
    Scope(Box<str>),
    /// This role.
    Role(Box<str>),
}

/// Why nothing can be verified now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// The issuer's keys could not be fetched.
    Keys(FetchError),
    /// The first snapshot of the feed could not be taken.
    Feed(FetchError),
    /// What is known of revocations is this old (`None`: nothing was ever known), which is more
    /// than the caller allowed.
    Stale(Option<Duration>),
}

impl Error {
    /// The status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Missing | Self::Invalid(_) => 401,
            Self::Request(_) => 400,
            Self::Insufficient(_) => 403,
            Self::Unavailable(_) => 503,
        }
    }

    /// The error code of RFC 6750 section 3.1, where there is one.
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Request(_) => Some("invalid_request"),
            Self::Invalid(_) => Some("invalid_token"),
            Self::Insufficient(_) => Some("insufficient_scope"),
            Self::Missing | Self::Unavailable(_) => None,
        }
    }

    /// The value of `WWW-Authenticate`; none where authenticating would not help.
    pub fn www_authenticate(&self) -> Option<String> {
        let mut challenge = String::from("Bearer");
        let Some(code) = self.code() else {
            return matches!(self, Self::Missing).then_some(challenge);
        };
        // Writing to a string cannot fail.
        let _ = write!(challenge, " error=\"{code}\"");
        let description = match self {
            Self::Request(description) => description,
            Self::Invalid(reason) => reason.description(),
            _ => "the token does not allow this",
        };
        let _ = write!(challenge, ", error_description=\"{description}\"");
        if let Self::Insufficient(Requirement::Scope(scope)) = self
            && scope.chars().all(is_in_scope)
        {
            let _ = write!(challenge, ", scope=\"{scope}\"");
        }
        Some(challenge)
    }
}

/// RFC 6749 section 3.3, and the space between two.
fn is_in_scope(c: char) -> bool {
    matches!(c, ' ' | '!' | '#'..='[' | ']'..='~')
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("the request has no access token"),
            Self::Request(why) => formatter.write_str(why),
            Self::Invalid(reason) => formatter.write_str(reason.description()),
            Self::Insufficient(Requirement::Scope(scope)) => {
                write!(formatter, "the token lacks the scope {scope}")
            }
            Self::Insufficient(Requirement::Role(role)) => {
                write!(formatter, "the token lacks the role {role}")
            }
            Self::Unavailable(unavailable) => unavailable.fmt(formatter),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(error) => write!(formatter, "the issuer's keys cannot be had: {error}"),
            Self::Feed(error) => write!(formatter, "no snapshot of revocations: {error}"),
            Self::Stale(_) => formatter.write_str("what is known of revocations is too old"),
        }
    }
}

impl std::error::Error for Unavailable {}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_known_and_who_may_not_hear_different_things() {
        let challenge = |error: Error| (error.status(), error.www_authenticate());
        assert_eq!(challenge(Error::Missing), (401, Some("Bearer".into())));
        let expired = r#"Bearer error="invalid_token", error_description="the token has expired""#;
        assert_eq!(challenge(Reason::Expired.into()), (401, Some(expired.into())));
        let scope = Requirement::Scope("reports:read".into());
        let insufficient = r#"Bearer error="insufficient_scope", error_description="the token does not allow this", scope="reports:read""#;
        assert_eq!(challenge(Error::Insufficient(scope)), (403, Some(insufficient.into())));
        let role = challenge(Error::Insufficient(Requirement::Role("admin".into())));
        assert!(role.0 == 403 && !role.1.unwrap().contains("admin"));
        let request = challenge(Error::Request("two tokens"));
        assert!(request.0 == 400 && request.1.unwrap().contains("invalid_request"));
        assert_eq!(challenge(Error::Unavailable(Unavailable::Stale(None))), (503, None));
    }

    #[test]
    fn a_scope_cannot_break_out_of_its_quotes() {
        for scope in ["a\"b", "a\\b", "a\r\nb", "é"] {
            let error = Error::Insufficient(Requirement::Scope(scope.into()));
            assert!(!error.www_authenticate().unwrap().contains("scope=\""), "{scope}");
        }
    }
}
