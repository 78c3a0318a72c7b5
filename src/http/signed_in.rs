//! The bearer of the access token that a request carries, at Signet's own endpoints.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::error::Problem;
use super::extract::{self, BodyError, Fields};
use super::finish::to_the_end;
use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::audit::Initiator;
use crate::domain::credentials::Password;
use crate::domain::tokens::Claims;
use crate::domain::users::User;
use crate::services::authentication::BearerError;

/// The claims of the live access token that `request` carries, which is meant for Signet.
pub(super) async fn claims(
    app: &Issuer,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<Claims, BearerError> {
    let (claims, _) = app.authentication.bearer(extract::bearer(request)?, now).await?;
    Ok(claims)
}

/// The user that the token of `request` was issued to. A client's own token was issued to no user.
pub(super) async fn user(
    app: &Issuer,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(User, Claims), BearerError> {
    app.authentication.user(extract::bearer(request)?, now).await
}

pub(super) struct Asked {
    pub(super) user: User,
    pub(super) fields: Fields,
    pub(super) by: Initiator,
}

impl Asked {
    /// Reads the body. The user is authenticated once it has arrived, which may take a while.
    pub(super) async fn read(
        app: &Issuer,
        request: &HttpRequest,
        fields: impl Future<Output = Result<Fields, BodyError>>,
    ) -> Result<Self, Problem> {
        extract::bearer(request)?;
        let fields = fields.await;
        let by = extract::caller(request, app);
        let (user, _) = self::user(app, request, by.at).await?;
        Ok(Self { by: by.as_user(user.id), user, fields: fields? })
    }

    /// Notes a `current_password` that is not the user's.
    pub(super) async fn check_password(
        &mut self,
        app: &Data<Issuer>,
        password: Option<Password>,
    ) -> Result<(), Problem> {
        let Some(password) = password else { return Ok(()) };
        if !is_present_password(app, &self.user, password, &self.by).await? {
            self.fields.reject("current_password", "is not the present password");
        }
        Ok(())
    }
}

/// Whether `password` is the user's. The login limits count here too, so an open browser allows no more
/// guesses than the login page.
pub(super) async fn is_present_password(
    app: &Data<Issuer>,
    user: &User,
    password: Password,
    by: &Initiator,
) -> Result<bool, Problem> {
    let (app, user, by) = (app.clone(), user.clone(), by.clone());
    let check = async move { app.authentication.is_present_password(&user, password, &by).await };
    Ok(to_the_end(check).await?)
}
