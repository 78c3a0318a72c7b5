//! Removing one's own account: `DELETE /users/me`, and `POST /users/me/delete` for those behind a proxy
//! that drops the body of a DELETE. Both take the current password, so that a token alone, which every
//! resource server that receives it could present, removes nothing.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::app::Issuer;
use crate::domain::credentials::Password;
use crate::http::error::Answer;
use crate::http::extract::{Fields, request_body};
use crate::http::finish::to_the_end;
use crate::http::signed_in::Asked;

request_body! {
    /// The removal of one's own account.
    pub(crate) struct AccountRemovalBody {
        /// The current password.
        #[schema(format = Password)]
        current_password: Password as String,
    }
}

/// Remove one's own account
#[utoipa::path(
    delete, path = "/users/me", tag = "Account",
    operation_id = "delete_me",
    request_body(content = inline(AccountRemovalBody)),
    responses(
        (status = 204, description = "The account and all its sessions are gone"),
        (status = 400, description = "`current_password` is missing or wrong, or the body cannot be read"),
        (status = 409, description = "The user is the last administrator"),
        (status = 429, description = "Too many wrong passwords: try again after `Retry-After`"),
    ),
    security(("user" = []))
)]
pub(crate) async fn remove(app: Data<Issuer>, request: HttpRequest, payload: Payload) -> Answer {
    let mut asked = Asked::read(&app, &request, Fields::read(&request, payload)).await?;
    let AccountRemovalBody { current_password } = asked.fields.body();
    asked.check_password(&app, current_password).await?;
    let Asked { user, fields, by } = asked;
    fields.finish()?;
    to_the_end(async move { app.accounts.leave(&user, &by).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Remove one's own account, by POST
///
/// The same as `DELETE /users/me`, for clients behind a proxy that drops the body of a DELETE.
#[utoipa::path(
    post, path = "/users/me/delete", tag = "Account",
    operation_id = "delete_me_by_post",
    request_body(content = inline(AccountRemovalBody)),
    responses(
        (status = 204, description = "The account and all its sessions are gone"),
        (status = 400, description = "`current_password` is missing or wrong, or the body cannot be read"),
        (status = 409, description = "The user is the last administrator"),
        (status = 429, description = "Too many wrong passwords: try again after `Retry-After`"),
    ),
    security(("user" = []))
)]
#[allow(dead_code, reason = "describes the second method for the documentation")]
pub(crate) async fn remove_by_post() {}
