//! The present password of a signed-in user, which the most serious changes require.

use actix_web::web::Data;

use super::error::Problem;
use super::finish::to_the_end;
use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::audit::Origin;
use crate::domain::credentials::Password;
use crate::domain::users::User;

/// Whether `password` is the user's. The login limits count here too, so an open browser allows no more
/// guesses than the login page.
pub(super) async fn is_present_password(
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
