//! Mail for one's address: to prove it (`/email/verification`) or to change it (`/users/me/email`).
//! A request that names only an address is answered the same with and without an account.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Issuer;
use crate::base::secret::Secret;
use crate::domain::credentials::Password;
use crate::domain::outbox::Kind;
use crate::domain::users::Email;
use crate::http::error::{Answer, Problem};
use crate::http::extract::{self, Fields, request_body};
use crate::http::finish::to_the_end;
use crate::http::signed_in::Asked;

/// The message for a mailed token that is refused, whatever the reason.
pub(super) const NOT_GOOD: &str = "is not valid, was used, or has expired";

/// The message for the token of a sign-up while sign-up is closed.
pub(super) const CLOSED: &str = "is of a sign-up, and sign-up is closed now; the token stays valid";

/// An accepted request.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcceptedBody {
    /// What happens next, for people.
    #[schema(example = "if there is an account with this address, a mail is on its way to it")]
    detail: &'static str,
}

pub(super) fn accepted(detail: &'static str) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header(("Cache-Control", "no-store"))
        .json(AcceptedBody { detail })
}

/// An accepted sign-up, the same for new and taken addresses.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignupAcceptedBody {
    /// What happens next, for people.
    #[schema(example = "a mail is on its way to this address: it says what to do next")]
    detail: &'static str,
    /// For `POST /email/verify`, beside the token from the mail: it shows that the reader of the mail is
    /// the one who signed up. Valid until the address is proven or the sign-up expires.
    #[schema(format = Password)]
    signup_token: String,
}

pub(super) fn signup_accepted(signup_token: Secret<String>) -> HttpResponse {
    let detail = "a mail is on its way to this address: it says what to do next";
    HttpResponse::Accepted()
        .insert_header(("Cache-Control", "no-store"))
        .json(SignupAcceptedBody { detail, signup_token: signup_token.expose().clone() })
}

/// Answers 404 where the operator has switched mail off. It is no 503, since trying again would not
/// help.
pub(super) fn check_mail_is_on(app: &Issuer) -> Result<(), Problem> {
    match app.notifier {
        Some(_) => Ok(()),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "this service sends no mail")),
    }
}

request_body! {
    /// An address.
    pub(crate) struct AddressBody {
        /// The address of an account.
        #[schema(format = "email", max_length = 254)]
        email: Email as String,
    }
}

pub(super) async fn ask_mail(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
    kind: Kind,
) -> Result<(), Problem> {
    check_mail_is_on(&app)?;
    let mut fields = Fields::read(&request, payload).await?;
    let AddressBody { email } = fields.body();
    let email = fields.finish_with(email)?;
    let by = extract::caller(&request, &app);
    Ok(to_the_end(async move { app.self_service.ask_mail(kind, &email, &by).await }).await?)
}

/// Request a mail that verifies an address
///
/// The mail carries a token for `POST /email/verify`. The answer is the same whether there is an
/// account with this address or not, and whether its address is proven already. An account gets one
/// such mail a minute and five an hour.
#[utoipa::path(
    post, path = "/email/verification", tag = "Account",
    request_body(content = inline(AddressBody)),
    responses(
        (status = 202, description = "Accepted: a mail says what to do next", body = AcceptedBody),
        (status = 400, description = "`email` is not an address"),
        (status = 404, description = "This service sends no mail"),
        (status = 429, description = "Too many requests for mail from this network: try again \
            after `Retry-After`"),
    )
)]
pub(crate) async fn ask_verification(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    ask_mail(app, request, payload, Kind::Verification).await?;
    Ok(accepted("if there is an account with this address to be verified, a mail is on its way"))
}

request_body! {
    /// A change of address.
    pub(crate) struct EmailChangeBody {
        /// The new address.
        #[schema(format = "email", max_length = 254)]
        email: Email as String,
        /// The present password.
        #[schema(format = Password)]
        current_password: Password as String,
    }
}

/// Request a change of the user's address
///
/// A token for `POST /email/verify` goes to the new address, and a notice to the present one, which
/// stays until the token is used. The answer does not show whether the new address is taken. Ending all
/// sessions, as a change of password does, ends the request too.
#[utoipa::path(
    post, path = "/users/me/email", tag = "Account",
    request_body(content = inline(EmailChangeBody)),
    responses(
        (status = 202, description = "Accepted: a mail says what to do next", body = AcceptedBody),
        (status = 404, description = "This service sends no mail"),
        (status = 429, description = "Too many wrong passwords or requests: try again after \
            `Retry-After`"),
    ),
    security(("user" = []))
)]
pub(crate) async fn ask_change(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    check_mail_is_on(&app)?;
    let mut asked = Asked::read(&app, &request, Fields::read(&request, payload)).await?;
    let EmailChangeBody { email, current_password } = asked.fields.body();
    if email.as_ref().is_some_and(|email| email.address() == asked.user.email) {
        asked.fields.reject("email", "is the present address");
    }
    asked.check_password(&app, current_password).await?;
    let Asked { user, fields, by } = asked;
    let email = fields.finish_with(email)?;
    to_the_end(async move { app.self_service.ask_email_change(&user, &email, &by).await }).await?;
    Ok(accepted("a mail is on its way to the new address; it changes when that is confirmed"))
}
