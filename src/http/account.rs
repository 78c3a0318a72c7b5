//! Endpoints of the signed-in user, and those that make an account. Here: `/signup`, `/logout`,
//! `/users/me` and its password.

pub mod email;
pub mod recovery;
pub mod removal;
pub mod sessions;
pub mod verify;

use crate::base::display_name::check_display_name;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::bearer::BearerError;
use super::error::Problem;
use super::extract::{self, Fields, LONGEST_BODY};
use super::finish::to_the_end;
use super::present_password::is_present_password;
use super::signed_in;
use crate::app::App;
use crate::base::secret::{Fingerprint, Secret};
use crate::domain::audit::{Actor, By};
use crate::domain::users::{Email, User};
use crate::services::accounts::{NewAccount, NewSignup};
use crate::services::oauth::CheckError;
use crate::storage::StorageError;

use email::{SignupAcceptedBody, signup_accepted};

/// A user, as the user may see it.
#[derive(Serialize, ToSchema)]
pub struct UserBody {
    /// The `sub` of the user's tokens.
    id: String,
    /// The address as it was written.
    email: String,
    /// The display name.
    name: Option<String>,
    /// Role names.
    roles: Vec<String>,
    /// Whether the address was proven to be the user's.
    email_verified: bool,
    /// Whether the user is barred from signing in.
    disabled: bool,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    updated_at: String,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            email_verified: user.email_verified_at.is_some(),
            disabled: !user.is_active(),
            email: user.email,
            name: user.name,
            roles: user.roles,
            created_at: user.created_at.to_string(),
            updated_at: user.updated_at.to_string(),
        }
    }
}

/// A request for an account.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
pub struct SignupBody {
    /// The login name.
    #[schema(format = "email", max_length = 254)]
    email: String,
    /// 8 to 256 characters, none of the commonest.
    #[schema(format = Password, min_length = 8, max_length = 256)]
    password: String,
    /// A display name.
    #[schema(max_length = 200)]
    name: Option<String>,
}

/// The new account, with what proves its address later.
#[derive(Serialize, ToSchema)]
pub struct SignedUpBody {
    /// The account.
    #[serde(flatten)]
    user: UserBody,
    /// For `POST /email/verify`, beside the token from the mail: it shows that who reads the mail is
    /// who signed up. Good until the address is proven or all sessions end.
    #[schema(format = Password)]
    signup_token: String,
}

/// Make an account
///
/// Where addresses have to be proven (`signup.require_verified_email`), new and taken ones get the
/// same 202, and a mail makes the difference; the account is made by `POST /email/verify`. Up to five
/// sign-ups of one address wait beside each other. Keep `signup_token` for the page that the mail
/// leads to, for example in `sessionStorage`.
#[utoipa::path(
    post, path = "/signup", tag = "Account",
    request_body(content = inline(SignupBody)),
    responses(
        (status = 201, description = "The new account", body = SignedUpBody),
        (status = 202, description = "A mail says what to do next", body = SignupAcceptedBody),
        (status = 403, description = "Sign-up is closed (`signup.enabled`)"),
        (status = 409, description = "The address is taken"),
        (status = 429, description = "Too many sign-ups from this network: try again after \
            `Retry-After`"),
    )
)]
pub async fn signup(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    if !app.config.signup_enabled {
        return Err(Problem::new(StatusCode::FORBIDDEN, "sign-up is closed"));
    }
    let mut fields = Fields::read(&request, payload).await?;
    let address = fields.required("email");
    let password = fields.password("password");
    let name = fields.optional("name").unwrap_or_default();

    let email = address.as_deref().and_then(|address| {
        Email::parse(address).map_err(|problem| fields.reject("email", problem)).ok()
    });
    if let Some(password) = &password
        && let Err(problem) = password.check_new(address.as_deref().unwrap_or_default())
    {
        fields.reject("password", problem);
    }
    let name = check_display_name(&name).map_err(|problem| fields.reject("name", problem));
    fields.finish()?;
    let (Some(email), Some(password), Ok(name)) = (email, password, name) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete"));
    };

    let now = app.clock.now();
    let server = &app.authorization_server;
    let origin = extract::origin(&request, &app);
    // No flood reaches the store, for which logins would wait: one from few networks is refused by
    // what is remembered and takes no places from others, one from many finds no place.
    app.account_limits.check_sign_up(&origin, now).await?;
    let place = server.hashing.reserve_anonymous()?;
    app.account_limits.admit_sign_up(&origin, now).await?;
    let signup_token = server.random.token();
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
    // Looked up before the hash, which is dear; the insert decides, should two come at once.
    if server.users.find_by_address(email.address()).await?.is_some() {
        return Err(taken());
    }
    let password_hash = place.hash(password).await?;
    let new = new_account(email, name, password_hash);
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

fn new_account(email: Email, name: Option<String>, password_hash: Secret<String>) -> NewAccount {
    NewAccount { email, name, password_hash, roles: Vec::new(), email_verified: false }
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
pub async fn logout(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let (claims, _) = signed_in::claims(&app, &request, now).await?;
    let origin = extract::origin(&request, &app);
    let end = async move {
        if let (Some(sid), Ok(user)) = (claims.sid, claims.sub.parse()) {
            let by = By { actor: Actor::User(user), origin: &origin };
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
        (status = 200, description = "The account", body = UserBody),
    ),
    security(("user" = []))
)]
pub async fn read_me(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (user, _) = signed_in::user(&app, &request, app.clock.now()).await?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(UserBody::from(user)))
}

/// What an account has besides, and its owner changes elsewhere or not at all.
const FIXED: [&str; 8] =
    ["id", "email", "password", "roles", "disabled", "email_verified", "metadata", "created_at"];

/// What may be changed of an account.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
pub struct ChangeBody {
    /// A new display name; null or empty removes it.
    #[schema(max_length = 200)]
    name: Option<String>,
}

/// Change one's own account
#[utoipa::path(
    patch, path = "/users/me", tag = "Account",
    request_body(content(
        (inline(ChangeBody) = "application/json"),
        (inline(ChangeBody) = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The account as it is now", body = UserBody),
        (status = 429, description = "Too many changes: 60 in an hour are free. Try again after \
            `Retry-After`"),
    ),
    security(("user" = []))
)]
pub async fn change_me(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    extract::bearer(&request)?;
    // Who speaks is decided after the body has come, which may take its time.
    let fields = Fields::read_patch(LONGEST_BODY, &request, payload).await;
    let now = app.clock.now();
    let (user, _) = signed_in::user(&app, &request, now).await?;
    let mut fields = fields?;
    for fixed in FIXED {
        if fields.has(fixed) {
            fields.reject(fixed, "cannot be changed here");
        }
    }
    fields.refuse_others(&[&FIXED[..], &["name"]].concat());
    let given = fields.has("name");
    let name = fields.optional("name").unwrap_or_default();
    let name = check_display_name(&name).map_err(|problem| fields.reject("name", problem));
    fields.finish()?;
    if given && let Ok(name) = name {
        let (app, origin) = (app.clone(), extract::origin(&request, &app));
        app.account_limits.admit_own_change(user.id, &origin, now).await?;
        let change = async move {
            let by = By { actor: Actor::User(user.id), origin: &origin };
            app.accounts.set_name(user.id, name.as_deref(), by, now).await
        };
        to_the_end(change).await?;
    }
    let users = &app.authorization_server.users;
    // Removed meanwhile: this session is over too.
    let user = users.find(user.id).await?.ok_or(BearerError::Invalid)?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(UserBody::from(user)))
}

/// A change of password.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
pub struct PasswordChangeBody {
    /// The present password.
    #[schema(format = Password)]
    current_password: String,
    /// The new one: 8 to 256 characters, none of the commonest.
    #[schema(format = Password, min_length = 8, max_length = 256)]
    new_password: String,
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
pub async fn change_password(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    extract::bearer(&request)?;
    // Who speaks is decided after the body has come, which may take its time.
    let fields = Fields::read(&request, payload).await;
    let now = app.clock.now();
    let (user, _) = signed_in::user(&app, &request, now).await?;
    let mut fields = fields?;
    let (current, new) = (fields.password("current_password"), fields.password("new_password"));
    if let Some(new) = &new
        && let Err(problem) = new.check_new(&user.email)
    {
        fields.reject("new_password", problem);
    }
    let origin = extract::origin(&request, &app);
    if let Some(current) = current
        && !is_present_password(&app, &user, current, &origin, now).await?
    {
        fields.reject("current_password", "is not the present password");
    }
    fields.finish()?;
    if let Some(new) = new {
        app.account_limits.admit_confirmed_change(user.id, &origin, now).await?;
        let hash = app.authorization_server.hashing.hash(new).await?;
        let change = async move {
            let by = By { actor: Actor::User(user.id), origin: &origin };
            app.accounts.change_password(&user, &hash, by, now).await
        };
        // Changed meanwhile by somebody else: this session is over, and so is what it asked for.
        if !to_the_end(change).await? {
            return Err(BearerError::Invalid.into());
        }
    }
    Ok(HttpResponse::NoContent().finish())
}
