//! The answers to bearer tokens that do not open an endpoint (RFC 6750 section 3).

use actix_web::http::StatusCode;

use super::error::{OAuthError, Problem};

/// Why a bearer token does not open an endpoint (RFC 6750 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BearerError {
    /// None was presented, or not by the Bearer scheme.
    Missing,
    /// More than one was presented (section 2).
    Repeated,
    /// It is not good.
    Invalid,
    /// It is good, but was not issued to a user.
    NotAUser,
    /// It is good, but lacks the scope `openid`.
    NotOpenId,
    /// It is good, but does not administer Signet.
    NotAdministrator,
    /// It administers Signet, but is a client's own where the password of a person is needed.
    NotAPerson,
    /// It is good, but lacks the scope `revocations:read`.
    NotListener,
}

impl BearerError {
    fn parts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::Missing => {
                let challenge = "Bearer realm=\"signet\"";
                (StatusCode::UNAUTHORIZED, "invalid_token", "a bearer token is needed", challenge)
            }
            Self::Repeated => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "present one bearer token, by one Authorization header",
                "Bearer realm=\"signet\", error=\"invalid_request\"",
            ),
            Self::Invalid => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "the access token is not valid",
                "Bearer realm=\"signet\", error=\"invalid_token\", \
                 error_description=\"the access token is not valid\"",
            ),
            Self::NotAUser => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "the access token was not issued to a user",
                "Bearer realm=\"signet\", error=\"insufficient_scope\", \
                 error_description=\"the access token was not issued to a user\"",
            ),
            Self::NotOpenId => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "the access token lacks the scope openid",
                "Bearer realm=\"signet\", error=\"insufficient_scope\", \
                 error_description=\"the access token lacks the scope openid\", scope=\"openid\"",
            ),
            Self::NotListener => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "the access token lacks the scope revocations:read",
                "Bearer realm=\"signet\", error=\"insufficient_scope\", \
                 error_description=\"the access token lacks the scope revocations:read\", \
                 scope=\"revocations:read\"",
            ),
            Self::NotAPerson => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "a client's own token cannot do this: an administrator does it with the current \
                 password, or an operator at the command line",
                "Bearer realm=\"signet\", error=\"insufficient_scope\", \
                 error_description=\"the access token was not issued to a user\"",
            ),
            Self::NotAdministrator => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "administration needs a token with the scope signet:admin, asked for by name, and \
                 of a user a role that carries it",
                "Bearer realm=\"signet\", error=\"insufficient_scope\", \
                 error_description=\"administration needs a token with the scope signet:admin, \
                 asked for by name, and of a user a role that carries it\", scope=\"signet:admin\"",
            ),
        }
    }
}

impl From<BearerError> for OAuthError {
    fn from(error: BearerError) -> Self {
        let (status, error, description, challenge) = error.parts();
        Self::challenging(status, error, description, challenge)
    }
}

impl From<BearerError> for Problem {
    fn from(error: BearerError) -> Self {
        let (status, _, detail, challenge) = error.parts();
        Self::challenging(status, detail, challenge)
    }
}
