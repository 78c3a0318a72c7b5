//! The present password of a signed-in user, which the gravest changes ask for.

use actix_web::web::Data;

use super::error::Problem;
use super::finish::to_the_end;
use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::audit::Origin;
use crate::domain::credentials::Password;
use crate::domain::users::User;

/// Whether `password` is the user's. Whoever has found an open browser may guess no more often than
/// at the login.
pub async fn is_present_password(
    app: &Data<Issuer>,
    user: &User,
    password: Password,
    origin: &Origin,
    now: Timestamp,
) -> Result<bool, Problem> {
    let (app, user, origin) = (app.clone(), user.clone(), origin.clone());
    let check =
        async move { app.authentication.is_present_password(&user, password, &origin, now).await };
    Ok(to_the_end(check).await?)
}
