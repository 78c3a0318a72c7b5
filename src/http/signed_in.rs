//! The user that a bearer token was issued to, for Signet's own endpoints: the token is valid, for this
//! audience and not revoked, its session is live, its user active.

use actix_web::HttpRequest;

use super::bearer::BearerError;
use super::extract;
use crate::app::App;
use crate::base::time::Timestamp;
use crate::domain::sessions::Live;
use crate::domain::tokens::Claims;
use crate::domain::users::User;
use crate::storage::StorageError;

/// The reason why no user is signed in.
#[derive(Debug)]
pub enum NotSignedIn {
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

/// The claims of the live access token that `request` carries, meant for Signet, and what it rests
/// on.
pub async fn claims(
    app: &App,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(Claims, Live), NotSignedIn> {
    let token = extract::bearer(request)?;
    let server = &app.authorization_server;
    let (claims, live) = server.live_access_token(token, now).await?.ok_or(BearerError::Invalid)?;
    // A token of another issuer does not open Signet's own endpoints.
    if claims.foreign || !server.access_tokens.is_for_signet(&claims.aud) {
        return Err(BearerError::Invalid.into());
    }
    Ok((claims, live))
}

/// The user that the token of `request` was issued to. A client's own token was issued to no user.
pub async fn user(
    app: &App,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(User, Claims), NotSignedIn> {
    let (claims, live) = claims(app, request, now).await?;
    let Some(epoch) = live.epoch else { return Err(BearerError::NotAUser.into()) };
    Ok((user_of(app, &claims, epoch).await?, claims))
}

/// The user whose token has these claims and rests on a session of `epoch`.
pub async fn user_of(app: &App, claims: &Claims, epoch: i64) -> Result<User, NotSignedIn> {
    let id = claims.sub.parse().map_err(|_| StorageError::corrupt("sub of our own token"))?;
    let user = app.authorization_server.users.find(id).await?;
    // The epoch counts even where a session's record has outlived it.
    let user = user.filter(|user| user.is_active() && user.session_epoch == epoch);
    user.ok_or_else(|| BearerError::Invalid.into())
}
