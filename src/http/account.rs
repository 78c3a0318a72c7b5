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

use super::bearer::BearerError;
use super::error::Problem;
use super::extract::{self, Body, DisplayName, Fields, Reading, request_body};
use super::finish::to_the_end;
use super::present_password::is_present_password;
use super::signed_in;
use crate::app::Issuer;
use crate::base::secret::Fingerprint;
use crate::domain::audit::Initiator;
use crate::domain::credentials::Password;
use crate::domain::users::Email;
use crate::services::accounts::{NewAccount, NewSignup};
use crate::services::authentication::CheckError;
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
pub(super) async fn signup(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    if !app.config.signup_enabled {
        return Err(Problem::new(StatusCode::FORBIDDEN, "sign-up is closed"));
    }
    let mut fields = Fields::read(&request, payload).await?;
    let SignupBody { email, password, name } = fields.body();
    let login = email.as_ref().map_or("", Email::address);
    fields.check_new_password("password", password.as_ref(), login);
    let (email, password) = fields.finish_with(email.zip(password))?;
    let name = name.and_then(|DisplayName(name)| name);

    let now = app.clock.now();
    let origin = extract::origin(&request, &app);
    // A flood of sign-ups must not reach the store, for which logins would wait. The limits in memory
    // refuse one from few networks; one from many networks finds no place for hashing.
    app.account_limits.check_sign_up(&origin, now).await?;
    let place = app.hashing.reserve_anonymous()?;
    app.account_limits.admit_sign_up(&origin, now).await?;
    let signup_token = app.stores.random.token();
    let fingerprint = Fingerprint::of(signup_token.expose().as_bytes());
    if let (true, Some(mail)) = (app.config.require_verified_email, &app.config.mail) {
        app.account_limits.admit_mail(&origin, now).await?;
        let expires_at = now.plus(mail.policy.pending_lifetime());
        // Hashed also for a taken address, whose answer must take as long.
        let password_hash = place.hash(password).await?;
        let new = NewSignup { email, name, password_hash, fingerprint, expires_at };
        to_the_end(async move { app.accounts.sign_up(new, now).await }).await?;
        return Ok(signup_accepted(signup_token));
    }
    // Looked up before the expensive hash; the insert decides between two concurrent sign-ups.
    if app.stores.users.find_by_address(email.address()).await?.is_some() {
        return Err(taken());
    }
    let password_hash = place.hash(password).await?;
    let new = NewAccount::new(email, name, password_hash);
    let create =
        async move { app.accounts.create_by_signup(new, &fingerprint, &origin, now).await };
    match to_the_end(create).await {
        Ok(user) => Ok(HttpResponse::Created()
            .insert_header(("Cache-Control", "no-store"))
            .json(SignedUpBody { user: user.into(), signup_token: signup_token.expose().clone() })),
        Err(StorageError::Conflict) => Err(taken()),
        Err(error) => Err(error.into()),
    }
}

fn taken() -> Problem {
    Problem::new(StatusCode::CONFLICT, "an account with this e-mail address exists already")
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
pub(super) async fn logout(
    app: Data<Issuer>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
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
pub(super) async fn read_me(
    app: Data<Issuer>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
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
pub(super) async fn change_me(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    extract::bearer(&request)?;
    // The user is authenticated once the body has arrived, which may take a while.
    let fields = Fields::read_as(Reading::PATCH, &request, payload).await;
    let now = app.clock.now();
    let (user, _) = signed_in::user(&app, &request, now).await?;
    let mut fields = fields?;
    for fixed in FIXED {
        if fields.has(fixed) {
            fields.reject(fixed, "cannot be changed here");
        }
    }
    fields.refuse_others(&[&FIXED[..], ChangeBody::NAMES].concat());
    let ChangeBody { name } = fields.body();
    fields.finish()?;
    if let Some(DisplayName(name)) = name {
        let (app, origin) = (app.clone(), extract::origin(&request, &app));
        app.account_limits.admit_own_change(user.id, &origin, now).await?;
        let change =
            async move { app.accounts.set_own_name(user.id, name.as_deref(), origin, now).await };
        to_the_end(change).await?;
    }
    // Another request has removed the user concurrently, which has ended this session too.
    let user = app.stores.users.find(user.id).await?.ok_or(BearerError::Invalid)?;
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
) -> Result<HttpResponse, Problem> {
    extract::bearer(&request)?;
    // The user is authenticated once the body has arrived, which may take a while.
    let fields = Fields::read(&request, payload).await;
    let now = app.clock.now();
    let (user, _) = signed_in::user(&app, &request, now).await?;
    let mut fields = fields?;
    let PasswordChangeBody { current_password, new_password } = fields.body();
    fields.check_new_password("new_password", new_password.as_ref(), &user.email);
    let origin = extract::origin(&request, &app);
    if let Some(current) = current_password
        && !is_present_password(&app, &user, current, &origin, now).await?
    {
        fields.reject("current_password", "is not the present password");
    }
    let new = fields.finish_with(new_password)?;
    app.account_limits.admit_confirmed_change(user.id, &origin, now).await?;
    let hash = app.hashing.hash(new).await?;
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
