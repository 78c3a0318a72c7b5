//! The present password of a signed-in user, which the most serious changes require.

use actix_web::web::Data;

use super::error::Problem;
use super::finish::to_the_end;
use crate::app::App;
use crate::base::time::Timestamp;
use crate::domain::audit::Origin;
use crate::domain::credentials::{Password, Verdict};
use crate::domain::users::User;

/// Whether `password` is the user's. The login limits count here too, so an open browser allows no more
/// guesses than the login page.
pub async fn is_present_password(
    app: &Data<App>,
    user: &User,
    password: Password,
    origin: &Origin,
    now: Timestamp,
) -> Result<bool, Problem> {
    let (app, login, origin) = (app.clone(), user.email.clone(), origin.clone());
    let check = async move {
        app.authorization_server.check_password(&login, password, &origin, now).await
    };
    let (found, verdict) = to_the_end(check).await?;
    Ok(verdict != Verdict::Wrong && found.is_some_and(|found| found.id == user.id))
}
