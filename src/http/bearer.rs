//! The answers to bearer tokens that do not open an endpoint (RFC 6750 section 3).

use actix_web::http::StatusCode;

use super::error::{OAuthError, Problem};
use crate::services::authentication::BearerError;
use crate::storage::StorageError;

/// A challenge that names its error (RFC 6750 section 3).
macro_rules! challenge {
    ($error:literal $(, $name:literal: $value:literal)*) => {
        concat!(
            "Bearer realm=\"signet\", error=\"", $error, "\""
            $(, ", ", $name, "=\"", $value, "\"")*
        )
    };
}

/// The status, the error code, the description and the challenge.
fn parts(
    error: BearerError,
) -> Result<(StatusCode, &'static str, String, &'static str), StorageError> {
    let description = error.to_string();
    let narrow = |challenge| (StatusCode::FORBIDDEN, "insufficient_scope", challenge);
    let (status, code, challenge) = match error {
        BearerError::Storage(error) => return Err(error),
        BearerError::Missing => {
            (StatusCode::UNAUTHORIZED, "invalid_token", "Bearer realm=\"signet\"")
        }
        BearerError::Repeated => {
            (StatusCode::BAD_REQUEST, "invalid_request", challenge!("invalid_request"))
        }
        BearerError::Invalid => (
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            challenge!("invalid_token", "error_description": "the access token is not valid"),
        ),
        BearerError::NotAUser | BearerError::NotAPerson => narrow(challenge!(
            "insufficient_scope",
            "error_description": "the access token was not issued to a user"
        )),
        BearerError::NotOpenId => narrow(challenge!(
            "insufficient_scope",
            "error_description": "the access token lacks the scope openid",
            "scope": "openid"
        )),
        BearerError::NotListener => narrow(challenge!(
            "insufficient_scope",
            "error_description": "the access token lacks the scope revocations:read",
            "scope": "revocations:read"
        )),
        BearerError::NotAdministrator => narrow(challenge!(
            "insufficient_scope",
            "error_description": "administration needs a token with the scope signet:admin, asked \
                                  for by name, and of a user a role that carries it",
            "scope": "signet:admin"
        )),
    };
    Ok((status, code, description, challenge))
}

impl From<BearerError> for OAuthError {
    fn from(error: BearerError) -> Self {
        match parts(error) {
            Ok((status, code, detail, challenge)) => {
                Self::challenging(status, code, &detail, challenge)
            }
            Err(error) => error.into(),
        }
    }
}

impl From<BearerError> for Problem {
    fn from(error: BearerError) -> Self {
        match parts(error) {
            Ok((status, _, detail, challenge)) => Self::challenging(status, &detail, challenge),
            Err(error) => error.into(),
        }
    }
}
