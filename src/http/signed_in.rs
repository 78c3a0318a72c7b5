//! The bearer of the access token that a request carries, at Signet's own endpoints.

use actix_web::HttpRequest;

use super::bearer::BearerError;
use super::extract;
use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::tokens::Claims;
use crate::domain::users::User;
use crate::services::authentication;
use crate::storage::StorageError;

/// The reason why no user is signed in.
#[derive(Debug)]
pub(super) enum NotSignedIn {
    /// The token.
    Bearer(BearerError),
    /// A store.
    Storage(StorageError),
}

impl From<BearerError> for NotSignedIn {
    fn from(error: BearerError) -> Self {
        Self::Bearer(error)
    }
}

impl From<StorageError> for NotSignedIn {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<NotSignedIn> for super::error::Problem {
    fn from(error: NotSignedIn) -> Self {
        match error {
            NotSignedIn::Bearer(error) => error.into(),
            NotSignedIn::Storage(error) => error.into(),
        }
    }
}

impl From<NotSignedIn> for super::error::OAuthError {
    fn from(error: NotSignedIn) -> Self {
        match error {
            NotSignedIn::Bearer(error) => error.into(),
            NotSignedIn::Storage(error) => error.into(),
        }
    }
}

impl From<authentication::BearerError> for NotSignedIn {
    fn from(error: authentication::BearerError) -> Self {
        use authentication::BearerError::*;
        Self::Bearer(match error {
            Invalid => BearerError::Invalid,
            NotAUser => BearerError::NotAUser,
            NotAdministrator => BearerError::NotAdministrator,
            Storage(error) => return Self::Storage(error),
        })
    }
}

/// The claims of the live access token that `request` carries, which is meant for Signet.
pub(super) async fn claims(
    app: &Issuer,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<Claims, NotSignedIn> {
    let (claims, _) = app.authentication.bearer(extract::bearer(request)?, now).await?;
    Ok(claims)
}

/// The user that the token of `request` was issued to. A client's own token was issued to no user.
pub(super) async fn user(
    app: &Issuer,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(User, Claims), NotSignedIn> {
    Ok(app.authentication.user(extract::bearer(request)?, now).await?)
}
