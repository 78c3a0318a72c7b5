//! A forgotten password: `/password/forgot` and `/password/reset`.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::email::{
    AcceptedBody, AddressBody, CLOSED, NOT_GOOD, accepted, ask_mail, check_mail_is_on,
};
use crate::app::Issuer;
use crate::base::secret::Secret;
use crate::domain::credentials::Password;
use crate::domain::outbox::Kind;
use crate::http::error::Answer;
use crate::http::extract::{self, Fields, request_body};
use crate::http::finish::to_the_end;
use crate::services::accounts::Resettable;

/// Request a mail to set a new password
///
/// The mail carries a token for `POST /password/reset`. The answer is the same whether there is an
/// account with this address or not. An account gets one such mail a minute and five an hour.
#[utoipa::path(
    post, path = "/password/forgot", tag = "Account",
    request_body(content = inline(AddressBody)),
    responses(
        (status = 202, description = "Accepted: a mail says what to do next", body = AcceptedBody),
        (status = 400, description = "`email` is not an address"),
        (status = 404, description = "This service sends no mail"),
        (status = 429, description = "Too many requests for mail from this network: try again \
            after `Retry-After`"),
    )
)]
pub(crate) async fn forgot(app: Data<Issuer>, request: HttpRequest, payload: Payload) -> Answer {
    ask_mail(app, request, payload, Kind::PasswordReset).await?;
    Ok(accepted("if there is an account with this address, a mail is on its way to it"))
}

request_body! {
    /// A new password.
    pub(crate) struct PasswordResetBody {
        /// The token from the mail.
        #[schema(format = Password)]
        token: Secret<String> as String,
        /// The new password: 8 to 256 characters, none of the commonest.
        #[schema(format = Password, min_length = 8, max_length = 256)]
        password: Password as String,
    }
}

/// Set a new password by a token from a mail
///
/// Ends all sessions of the user, and verifies the address. Where the address was only signed up, this
/// creates the account with this password.
#[utoipa::path(
    post, path = "/password/reset", tag = "Account",
    request_body(content = inline(PasswordResetBody)),
    responses(
        (status = 204, description = "Set; sign in with it"),
        (status = 400, description = "The token is not valid, or the password may not be chosen"),
        (status = 404, description = "This service sends no mail"),
    )
)]
pub(crate) async fn reset(app: Data<Issuer>, request: HttpRequest, payload: Payload) -> Answer {
    check_mail_is_on(&app)?;
    let mut fields = Fields::read(&request, payload).await?;
    let by = extract::caller(&request, &app);
    let PasswordResetBody { token, password } = fields.body();
    let found = match &token {
        Some(token) => app.accounts.find_password_reset(token, by.at).await?,
        None => None,
    };
    if token.is_some() && found.is_none() {
        fields.reject("token", NOT_GOOD);
    }
    if matches!(found, Some(Resettable { user: None, .. })) && !app.config.signup_enabled {
        fields.reject("token", CLOSED);
    }
    let login = found.as_ref().map_or("", Resettable::email);
    fields.check_new_password("password", password.as_ref(), login);
    if let (Some(found), Some(password), false) = (found, password, fields.has_errors()) {
        let hash = app.self_service.hash_anonymous(password).await?;
        let app = app.clone();
        let reset = async move {
            let attempts = &app.login_limits;
            app.accounts.reset_password(&found, &hash, attempts, &by).await
        };
        // The token was used, or the account has changed, concurrently.
        if !to_the_end(reset).await? {
            fields.reject("token", NOT_GOOD);
        }
    }
    fields.finish()?;
    Ok(HttpResponse::NoContent().finish())
}
