//! The conversion of every error into its answer.

use actix_web::http::StatusCode;

use super::{Failure, FieldError, Form, OAuthError, Problem, UNAVAILABLE};
use crate::domain::clients::MalformedCredentials;
use crate::domain::credentials::HashingError;
use crate::domain::keys::KeysError;
use crate::domain::keys::chain::Refusal;
use crate::domain::roles;
use crate::domain::sessions::PageError;
use crate::domain::tokens::scope;
use crate::http::extract::BodyError;
use crate::services::accounts::administration::ChangeError;
use crate::services::authentication::{BearerError, CheckError};
use crate::services::client_management::ClientChangeError;
use crate::services::key_management::KeyChangeError;
use crate::services::oauth::TokenError;
use crate::services::role_management::RoleChangeError;
use crate::storage::StorageError;

impl From<TokenError> for OAuthError {
    fn from(error: TokenError) -> Self {
        let bad_request = |code| Self::invalid_request(error.to_string()).coded(code);
        match error {
            TokenError::InvalidRequest(_) => bad_request("invalid_request"),
            TokenError::UnauthorizedClient => bad_request("unauthorized_client"),
            TokenError::InvalidGrant(_) => bad_request("invalid_grant"),
            TokenError::InvalidScope(_) => bad_request("invalid_scope"),
            TokenError::InvalidTarget(_) => bad_request("invalid_target"),
            TokenError::InvalidClient { basic } => {
                let failure = Self::new(StatusCode::UNAUTHORIZED, error.to_string());
                let failure = failure.coded("invalid_client");
                // RFC 6749 section 5.2 asks for the challenge where the header was tried.
                if basic { failure.challenging("Basic realm=\"signet\"") } else { failure }
            }
            TokenError::Check(error) => error.into(),
            TokenError::Sign(error) => Self::internal().because(&error),
        }
    }
}

impl<F: Form> From<CheckError> for Failure<F> {
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

impl<F: Form> From<StorageError> for Failure<F> {
    fn from(error: StorageError) -> Self {
        let answer = match error {
            StorageError::Unavailable(_) => Self::unavailable(UNAVAILABLE),
            _ => Self::internal(),
        };
        answer.because(&error)
    }
}

impl<F: Form> From<HashingError> for Failure<F> {
    fn from(error: HashingError) -> Self {
        Self::unavailable(UNAVAILABLE).because(&error)
    }
}

impl<F: Form> From<BodyError> for Failure<F> {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

/// RFC 6750 section 3.
impl<F: Form> From<BearerError> for Failure<F> {
    fn from(error: BearerError) -> Self {
        let narrow = |scope| (StatusCode::FORBIDDEN, "insufficient_scope", scope);
        let (status, code, scope) = match error {
            BearerError::Storage(error) => return error.into(),
            BearerError::Missing | BearerError::Invalid => {
                (StatusCode::UNAUTHORIZED, "invalid_token", None)
            }
            BearerError::Repeated => (StatusCode::BAD_REQUEST, "invalid_request", None),
            BearerError::NotAUser | BearerError::NotAPerson => narrow(None),
            BearerError::NotOpenId => narrow(Some(scope::OPENID)),
            BearerError::NotListener => narrow(Some(scope::REVOCATIONS_READ)),
            BearerError::NotAdministrator => narrow(Some(scope::ADMIN)),
        };
        let mut challenge = "Bearer realm=\"signet\"".to_owned();
        let mut add = |name: &str, value: &str| challenge += &format!(", {name}=\"{value}\"");
        if !matches!(error, BearerError::Missing) {
            add("error", code);
        }
        match error {
            BearerError::Missing | BearerError::Repeated => {}
            BearerError::NotAPerson => add("error_description", &BearerError::NotAUser.to_string()),
            _ => add("error_description", &error.to_string()),
        }
        if let Some(scope) = scope {
            add("scope", scope);
        }
        Self::new(status, error.to_string()).coded(code).challenging(challenge)
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let status = match error {
            ChangeError::Storage(error) => return error.into(),
            ChangeError::Stale => StatusCode::PRECONDITION_FAILED,
            ChangeError::Roles(_) => StatusCode::BAD_REQUEST,
            ChangeError::Taken | ChangeError::Oneself | ChangeError::LastAdministrator => {
                StatusCode::CONFLICT
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<ClientChangeError> for Problem {
    fn from(error: ClientChangeError) -> Self {
        let status = match error {
            ClientChangeError::Storage(error) => return error.into(),
            ClientChangeError::AdminAudience(_) => {
                let (field, message) = ("audiences".into(), error.to_string());
                return Self::invalid_fields(vec![FieldError { field, message }]);
            }
            ClientChangeError::Unknown(_) => StatusCode::NOT_FOUND,
            ClientChangeError::Stale => StatusCode::PRECONDITION_FAILED,
            ClientChangeError::Overlap => StatusCode::BAD_REQUEST,
            ClientChangeError::Taken(_)
            | ClientChangeError::Bundled
            | ClientChangeError::Oneself
            | ClientChangeError::NoSecret(_) => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<PageError> for Problem {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Storage(error) => error.into(),
            error => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
}

impl From<KeyChangeError> for Problem {
    fn from(error: KeyChangeError) -> Self {
        match error {
            KeyChangeError::Keys(error) => error.into(),
            error => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
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
            | KeysError::Undecided(_)
            | KeysError::Unverified(..)
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
            | Refusal::Authentic
            | Refusal::Known(_) => StatusCode::CONFLICT,
        };
        Self::new(status, refusal.to_string())
    }
}

impl From<RoleChangeError> for Problem {
    fn from(error: RoleChangeError) -> Self {
        match error {
            RoleChangeError::Storage(error) => error.into(),
            RoleChangeError::Refused(refusal) => refusal.into(),
            RoleChangeError::Invalid(problem) => Self::new(StatusCode::BAD_REQUEST, problem),
        }
    }
}

impl From<roles::Refusal> for Problem {
    fn from(refusal: roles::Refusal) -> Self {
        use roles::Refusal::*;
        let status = match refusal {
            Unknown(_) => StatusCode::NOT_FOUND,
            Exists(_) | Changed(_) => StatusCode::PRECONDITION_FAILED,
            Everybodys(_) => StatusCode::BAD_REQUEST,
            BuiltIn(_) | Full | NotForced(_) => StatusCode::CONFLICT,
        };
        Self::new(status, refusal.to_string())
    }
}
