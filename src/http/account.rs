//! Endpoints of the signed-in user, and those that make an account. This file has `/signup`, `/logout`,
//! `/users/me` and its password.

pub(super) mod email;
pub(super) mod recovery;
pub(super) mod removal;
pub(super) mod sessions;
pub(super) mod verify;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Answer, Problem};
use super::extract::{self, Body, DisplayName, Fields, Reading, request_body};
use super::finish::to_the_end;
use super::signed_in::{self, Asked};
use crate::app::Issuer;
use crate::domain::audit::Initiator;
use crate::domain::credentials::Password;
use crate::domain::users::Email;
use crate::services::authentication::{BearerError, CheckError};
use crate::storage::StorageError;
use crate::views::user::UserView;

use email::{SignupAcceptedBody, signup_accepted};

request_body! {
    /// A request for an account.
    pub(super) struct SignupBody {
        /// The login name.
        #[schema(format = "email", max_length = 254)]
        email: Email as String,
        /// 8 to 256 characters, none of the commonest.
        #[schema(format = Password, min_length = 8, max_length = 256)]
        password: Password as String,
        /// A display name.
        #[schema(max_length = 200)]
        name: DisplayName as Option<String>,
    }
}

/// The new account, with what proves its address later.
#[derive(Serialize, ToSchema)]
pub(super) struct SignedUpBody {
    /// The account.
    #[serde(flatten)]
    user: UserView,
    /// For `POST /email/verify`, beside the token from the mail: it shows that the reader of the mail is
    /// the one who signed up. Valid until the address is proven or all sessions end.
    #[schema(format = Password)]
    signup_token: String,
}

/// Create an account
///
/// Where addresses have to be proven (`signup.require_verified_email`), new and taken ones get the
/// same 202, and only the mail differs; `POST /email/verify` creates the account. Up to five sign-ups
/// of one address can be pending. Keep `signup_token` for the page that the
/// mail leads to, for example in `sessionStorage`.
#[utoipa::path(
    post, path = "/signup", tag = "Account",
    request_body(content = inline(SignupBody)),
    responses(
        (status = 201, description = "The new account", body = SignedUpBody),
        (status = 202, description = "Accepted: a mail says what to do next", body = SignupAcceptedBody),
        (status = 403, description = "Sign-up is closed (`signup.enabled`)"),
        (status = 409, description = "The address is taken"),
        (status = 429, description = "Too many sign-ups from this network: try again after \
            `Retry-After`"),
    )
)]
pub(super) async fn signup(app: Data<Issuer>, request: HttpRequest, payload: Payload) -> Answer {
    if !app.config.signup_enabled {
        return Err(Problem::new(StatusCode::FORBIDDEN, "sign-up is closed"));
    }
    let mut fields = Fields::read(&request, payload).await?;
    let SignupBody { email, password, name } = fields.body();
    let login = email.as_ref().map_or("", Email::address);
    fields.check_new_password("password", password.as_ref(), login);
    let (email, password) = fields.finish_with(email.zip(password))?;
    let name = name.and_then(|DisplayName(name)| name);

    let (now, origin) = (app.clock.now(), extract::origin(&request, &app));
    let prepared = app.self_service.prepare_sign_up(email, password, name, &origin, now).await;
    let new = prepared.map_err(not_signed_up)?;
    let sign_up = async move { app.self_service.sign_up(new, &origin, now).await };
    match to_the_end(sign_up).await.map_err(|error| not_signed_up(error.into()))? {
        (signup_token, None) => Ok(signup_accepted(signup_token)),
        (signup_token, Some(user)) => Ok(HttpResponse::Created()
            .insert_header(("Cache-Control", "no-store"))
            .json(SignedUpBody { user: user.into(), signup_token: signup_token.expose().clone() })),
    }
}

fn not_signed_up(error: CheckError) -> Problem {
    match error {
        CheckError::Storage(StorageError::Conflict) => {
            let detail = "an account with this e-mail address exists already";
            Problem::new(StatusCode::CONFLICT, detail)
        }
        error => error.into(),
    }
}

/// Sign out
///
/// Ends the session that the token belongs to, or the token where it belongs to none.
#[utoipa::path(
    post, path = "/logout", tag = "Account",
    responses(
        (status = 204, description = "Signed out"),
        (status = 429, description = "The client revokes its tokens too often: try again after \
            `Retry-After`"),
    ),
    security(("user" = []), ("service" = []))
)]
pub(super) async fn logout(app: Data<Issuer>, request: HttpRequest) -> Answer {
    let now = app.clock.now();
    let claims = signed_in::claims(&app, &request, now).await?;
    let origin = extract::origin(&request, &app);
    let end = async move {
        if let (Some(sid), Ok(user)) = (claims.sid, claims.sub.parse()) {
            let by = &Initiator::user(user, origin);
            app.accounts.end_session(user, sid, by, now).await?;
        } else {
            app.authorization_server.end_token(&claims, now).await?;
        }
        Ok::<_, CheckError>(())
    };
    to_the_end(end).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Read one's own account
#[utoipa::path(
    get, path = "/users/me", tag = "Account",
    responses(
        (status = 200, description = "The account", body = UserView),
    ),
    security(("user" = []))
)]
pub(super) async fn read_me(app: Data<Issuer>, request: HttpRequest) -> Answer {
    let (user, _) = signed_in::user(&app, &request, app.clock.now()).await?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(UserView::from(user)))
}

/// Members of an account that its owner changes at another endpoint or not at all.
const FIXED: [&str; 8] =
    ["id", "email", "password", "roles", "disabled", "email_verified", "metadata", "created_at"];

request_body! {
    /// The members of an account that its owner may change.
    pub(super) struct ChangeBody {
        /// A new display name; null or empty removes it.
        #[schema(max_length = 200)]
        name: DisplayName as Option<String>,
    }
}

/// Change one's own account
#[utoipa::path(
    patch, path = "/users/me", tag = "Account",
    request_body(content(
        (inline(ChangeBody) = "application/json"),
        (inline(ChangeBody) = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The account as it is now", body = UserView),
        (status = 429, description = "Too many changes: 60 in an hour are free. Try again after \
            `Retry-After`"),
    ),
    security(("user" = []))
)]
pub(super) async fn change_me(app: Data<Issuer>, request: HttpRequest, payload: Payload) -> Answer {
    let fields = Fields::read_as(Reading::PATCH, &request, payload);
    let Asked { user, mut fields, origin, now } = Asked::read(&app, &request, fields).await?;
    for fixed in FIXED {
        if fields.has(fixed) {
            fields.reject(fixed, "cannot be changed here");
        }
    }
    fields.refuse_others(&[&FIXED[..], ChangeBody::NAMES].concat());
    let ChangeBody { name } = fields.body();
    fields.finish()?;
    let user = match name {
        None => Some(user),
        Some(DisplayName(name)) => {
            let change = async move {
                app.self_service.change_name(&user, name.as_deref(), origin, now).await
            };
            to_the_end(change).await?
        }
    };
    // Another request has removed the user concurrently, which has ended this session too.
    let user = user.ok_or(BearerError::Invalid)?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(UserView::from(user)))
}

request_body! {
    /// A change of password.
    pub(super) struct PasswordChangeBody {
        /// The present password.
        #[schema(format = Password)]
        current_password: Password as String,
        /// The new one: 8 to 256 characters, none of the commonest.
        #[schema(format = Password, min_length = 8, max_length = 256)]
        new_password: Password as String,
    }
}

/// Change one's own password
///
/// Ends all sessions of the user, this one included.
#[utoipa::path(
    post, path = "/users/me/password", tag = "Account",
    request_body(content = inline(PasswordChangeBody)),
    responses(
        (status = 204, description = "Changed; sign in again"),
        (status = 429, description = "Too many wrong passwords, or changes: try again after \
            `Retry-After`"),
    ),
    security(("user" = []))
)]
pub(super) async fn change_password(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let mut asked = Asked::read(&app, &request, Fields::read(&request, payload)).await?;
    let PasswordChangeBody { current_password, new_password } = asked.fields.body();
    let login = &asked.user.email;
    asked.fields.check_new_password("new_password", new_password.as_ref(), login);
    asked.check_password(&app, current_password).await?;
    let Asked { user, fields, origin, now } = asked;
    let new = fields.finish_with(new_password)?;
    let hash = app.self_service.hash_own(&user, new, &origin, now).await?;
    let change = async move {
        let by = &Initiator::user(user.id, origin);
        app.accounts.change_password(&user, &hash, by, now).await
    };
    // Someone else changed it concurrently: this session is over, and so is what it asked for.
    if !to_the_end(change).await? {
        return Err(BearerError::Invalid.into());
    }
    Ok(HttpResponse::NoContent().finish())
}
