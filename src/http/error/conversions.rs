//! Every conversion of what went wrong into what the wire hears of it.

use actix_web::http::StatusCode;

use super::{Headers, OAuthError, Problem, UNAVAILABLE};
use crate::clients::MalformedCredentials;
use crate::custody::CustodyError;
use crate::http::extract::BodyError;
use crate::keys::KeysError;
use crate::keys::chain::Refusal;
use crate::oauth::{CheckError, TokenError};
use crate::storage::StorageError;
use crate::users::HashingError;

impl From<TokenError> for OAuthError {
    fn from(error: TokenError) -> Self {
        let description = error.to_string();
        let bad_request = |error| Self::new(StatusCode::BAD_REQUEST, error, &*description);
        match error {
            TokenError::InvalidRequest(_) => bad_request("invalid_request"),
            TokenError::UnauthorizedClient => bad_request("unauthorized_client"),
            TokenError::InvalidGrant(_) => bad_request("invalid_grant"),
            TokenError::InvalidScope(_) => bad_request("invalid_scope"),
            TokenError::InvalidTarget => bad_request("invalid_target"),
            TokenError::InvalidClient { basic } => {
                // RFC 6749 section 5.2 asks for the challenge where the header was tried.
                let www_authenticate = basic.then_some("Basic realm=\"signet\"");
                let headers = Headers { www_authenticate, ..Headers::NONE };
                Self {
                    headers,
                    ..Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
                }
            }
            TokenError::Limited(limited) => Self::limited(limited),
            TokenError::Hashing(error) => error.into(),
            TokenError::Storage(error) => error.into(),
            TokenError::Sign(error) => Self::internal().because(&error),
        }
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Limited(limited) => Self::limited(limited),
            CheckError::Hashing(error) => error.into(),
            CheckError::Storage(error) => error.into(),
        }
    }
}

impl From<MalformedCredentials> for OAuthError {
    fn from(error: MalformedCredentials) -> Self {
        match error {
            MalformedCredentials::Header => TokenError::InvalidClient { basic: true }.into(),
            other => Self::invalid_request(other.to_string()),
        }
    }
}

impl From<StorageError> for OAuthError {
    fn from(error: StorageError) -> Self {
        let told = match error {
            StorageError::Unavailable(_) => Self::unavailable(),
            _ => Self::internal(),
        };
        told.because(&error)
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        let told = match error {
            StorageError::Unavailable(_) => Self::unavailable(UNAVAILABLE),
            _ => Self::internal(),
        };
        told.because(&error)
    }
}

impl From<HashingError> for OAuthError {
    fn from(error: HashingError) -> Self {
        Self::unavailable().because(&error)
    }
}

impl From<HashingError> for Problem {
    fn from(error: HashingError) -> Self {
        Self::unavailable(UNAVAILABLE).because(&error)
    }
}

impl From<BodyError> for OAuthError {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), "invalid_request", error.to_string())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<CustodyError> for Problem {
    fn from(error: CustodyError) -> Self {
        let bad_request = |sentence: String| Self::new(StatusCode::BAD_REQUEST, sentence);
        match error {
            CustodyError::Keys(error) => error.into(),
            CustodyError::Import(error) => bad_request(error.to_string()),
            CustodyError::NoReason | CustodyError::VerifyFor => bad_request(error.to_string()),
        }
    }
}

impl From<KeysError> for Problem {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Storage(error) => error.into(),
            KeysError::Refused(refusal) => refusal.into(),
            #[cfg(feature = "pkcs11")]
            KeysError::Token(_) => Self::unavailable(UNAVAILABLE).because(&error),
            KeysError::Sealed(..)
            | KeysError::NoToken(_)
            | KeysError::Key(_)
            | KeysError::NoneActive => Self::internal().because(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Unknown(_) => StatusCode::NOT_FOUND,
            Refusal::TooSoon(_) | Refusal::TooLate(_) | Refusal::NotConfigured(_) => {
                StatusCode::BAD_REQUEST
            }
            Refusal::UnderWay(_)
            | Refusal::NothingNext
            | Refusal::Live
            | Refusal::InUse(_)
            | Refusal::Retired
            | Refusal::Known(_) => StatusCode::CONFLICT,
        };
        Self::new(status, refusal.to_string())
    }
}
