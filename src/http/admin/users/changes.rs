//! What administrators do to users. Each change is made to the user as it was seen, runs to its end
//! even if its client hangs up, and leaves an audit event.

use crate::base::display_name::check_display_name;
use crate::domain::roles::check_roles;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::ToSchema;

use super::{etag, find, shown};
use crate::app::Issuer;
use crate::domain::audit::Initiator;
use crate::domain::users::{Email, Metadata, User, check_metadata};
use crate::http::administrator::{administrator, asked};
use crate::http::error::Problem;
use crate::http::extract::Fields;
use crate::http::{admin, precondition};
use crate::services::accounts::administration::{ChangeError, UserChange};
use crate::services::accounts::merge_patch::merge_patch;
use crate::views::user::ManagedUserView;

/// The length in bytes of the most metadata with its characters escaped, and of everything else.
const MAX_USER: usize = 64 * 1024;

/// A new user.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "email": "ada@example.com", "name": "Ada", "roles": ["staff"] }))]
pub(crate) struct NewUserBody {
    /// The login name.
    #[schema(format = "email", max_length = 254)]
    email: String,
    /// 8 to 256 characters, none of the commonest. Without one the user cannot sign in until it is
    /// set.
    #[schema(format = Password, min_length = 8, max_length = 256, nullable = false)]
    password: Option<String>,
    /// A display name.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// Role names.
    #[schema(max_items = 32, nullable = false)]
    roles: Option<Vec<String>>,
    /// Whether the address is known to be the user's.
    email_verified: Option<bool>,
    /// Whether the user may not sign in yet.
    disabled: Option<bool>,
    /// What the application keeps of the user, at most 16 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
}

/// Add a user
#[utoipa::path(
    post, path = "/admin/users", tag = "Administration: users",
    operation_id = "add_user",
    request_body(content = inline(NewUserBody)),
    responses(
        (status = 201, description = "Added", body = ManagedUserView,
            headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "The address is taken"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn create(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_up_to(MAX_USER, &request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let known = ["email", "password", "name", "roles", "email_verified", "disabled", "metadata"];
    fields.refuse_others(&known);
    let address = fields.required("email");
    let email = address.as_deref().and_then(|address| email(&mut fields, address));
    let password = if fields.has("password") { fields.password("password") } else { None };
    if let Some(password) = &password
        && let Err(problem) = password.check_new(address.as_deref().unwrap_or_default())
    {
        fields.reject("password", problem);
    }
    let name = name(&mut fields).flatten();
    let roles = roles(&mut fields).unwrap_or_default();
    let disabled = fields.flag("disabled");
    let metadata = metadata_over(&mut fields, &Metadata::new()).unwrap_or_default();
    let email_verified = fields.flag("email_verified");
    fields.finish()?;
    let Some(email) = email else { return Err(incomplete()) };

    // Looked up before the hash, which is expensive; the insert decides between two concurrent ones.
    if app.stores.users.find_by_address(email.address()).await?.is_some() {
        return Err(ChangeError::Taken.into());
    }
    let password_hash = match password {
        Some(password) => app.hashing.hash(password).await?,
        None => app.hashing.unmatchable(),
    };
    let new = User {
        roles,
        email_verified_at: email_verified.then_some(now),
        disabled_at: disabled.then_some(now),
        metadata,
        ..app.accounts.new_user(&email, name, password_hash, now)
    };
    let create = async move |app: &Issuer, by: &Initiator| {
        app.accounts.create(new, by, now).await.map_err(ChangeError::from)
    };
    let user = admin::change(&app, &request, actor, create).await?;
    let location = format!("{}/{}", request.path(), user.id);
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    Ok(shown(response, user))
}

/// What may be changed of a user; what is absent stays as it is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "roles": ["staff", "admin"] }))]
pub(crate) struct UserChangeBody {
    /// A new display name; null or empty removes it.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// A new login name, which counts as not verified unless it is said to be.
    #[schema(format = "email", max_length = 254, nullable = false)]
    email: Option<String>,
    /// All role names.
    #[schema(max_items = 32, nullable = false)]
    roles: Option<Vec<String>>,
    /// Whether the user may not sign in; if so, all sessions end.
    #[schema(nullable = false)]
    disabled: Option<bool>,
    /// Whether the address is known to be the user's.
    #[schema(nullable = false)]
    email_verified: Option<bool>,
    /// Changed by RFC 7396: members replace those of the same name, null removes them; null for the
    /// whole removes all.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
}

/// Change a user
#[utoipa::path(
    patch, path = "/admin/users/{id}", tag = "Administration: users",
    operation_id = "change_user",
    params(
        ("id" = String, Path, description = "The user's id"),
        ("If-Match" = String, Header, description = "The `ETag` of what is to be changed"),
    ),
    request_body(content(
        (inline(UserChangeBody) = "application/json"),
        (inline(UserChangeBody) = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The user as it is now", body = ManagedUserView,
            headers(("ETag" = String))),
        (status = 404, description = "No user has this id"),
        (status = 409, description = "The address is taken, or no other administrator would be left"),
        (status = 412, description = "The user has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn change(
    app: Data<Issuer>,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_patch(MAX_USER, &request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let user = find(&app, &id).await?;
    precondition::check(&request, &etag(&user))?;
    let change = read_change(&mut fields, &user);
    fields.finish()?;
    let change =
        async move |app: &Issuer, by: &Initiator| app.accounts.change(&user, change, by, now).await;
    Ok(shown(HttpResponse::Ok(), admin::change(&app, &request, actor, change).await?))
}

/// Remove a user
///
/// All sessions end. The id is never given to another user.
#[utoipa::path(
    delete, path = "/admin/users/{id}", tag = "Administration: users",
    operation_id = "remove_user",
    params(
        ("id" = String, Path, description = "The user's id"),
        ("If-Match" = String, Header, description = "The `ETag` of what is to be removed"),
    ),
    responses(
        (status = 204, description = "The account and all its sessions are gone"),
        (status = 404, description = "No user has this id"),
        (status = 409, description = "No other administrator would be left"),
        (status = 412, description = "The user has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn remove(
    app: Data<Issuer>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let user = find(&app, &id).await?;
    precondition::check(&request, &etag(&user))?;
    let remove =
        async move |app: &Issuer, by: &Initiator| app.accounts.remove(&user, false, by, now).await;
    admin::change(&app, &request, actor, remove).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A new password.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
pub(crate) struct NewPasswordBody {
    /// 8 to 256 characters, none of the commonest.
    #[schema(format = Password, min_length = 8, max_length = 256)]
    password: String,
}

/// Give a user a new password
///
/// All sessions end.
#[utoipa::path(
    put, path = "/admin/users/{id}/password", tag = "Administration: users",
    operation_id = "set_user_password",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = inline(NewPasswordBody)),
    responses(
        (status = 204, description = "It is set, and all sessions are over"),
        (status = 404, description = "No user has this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn set_password(
    app: Data<Issuer>,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read(&request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let user = find(&app, &id).await?;
    fields.refuse_others(&["password"]);
    let password = fields.password("password");
    if let Some(password) = &password
        && let Err(problem) = password.check_new(&user.email)
    {
        fields.reject("password", problem);
    }
    fields.finish()?;
    let Some(password) = password else { return Err(incomplete()) };
    let hash = app.hashing.hash(password).await?;
    let set = async move |app: &Issuer, by: &Initiator| {
        let attempts = &app.login_limits;
        app.accounts.set_password(&user, &hash, attempts, by, now).await
    };
    if admin::change(&app, &request, actor, set).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(Problem::not_found())
    }
}

/// Forget a user's wrong passwords
///
/// The next login of a user who mistyped the password too often, or whose password was guessed at,
/// need not wait.
#[utoipa::path(
    post, path = "/admin/users/{id}/unlock", tag = "Administration: users",
    operation_id = "unlock_user",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 204, description = "They are forgotten"),
        (status = 404, description = "No user has this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn unlock(
    app: Data<Issuer>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let user = find(&app, &id).await?;
    let unlock = async move |app: &Issuer, by: &Initiator| {
        app.accounts.unlock(&user, &app.login_limits, by, now).await
    };
    admin::change(&app, &request, actor, unlock).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The answer where no field is wrong, and the body is not complete.
fn incomplete() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete")
}

fn read_change(fields: &mut Fields, user: &User) -> UserChange {
    fields.refuse_others(&["name", "email", "roles", "disabled", "email_verified", "metadata"]);
    let address = fields.text_or_null("email");
    UserChange {
        name: name(fields),
        email: address.and_then(|address| email(fields, &address)),
        roles: roles(fields),
        disabled: fields.flag_if_any("disabled"),
        email_verified: fields.flag_if_any("email_verified"),
        metadata: metadata_over(fields, &user.metadata),
        force: false,
    }
}

fn email(fields: &mut Fields, address: &str) -> Option<Email> {
    Email::parse(address).map_err(|problem| fields.reject("email", problem)).ok()
}

fn name(fields: &mut Fields) -> Option<Option<String>> {
    let name = fields.text_or_null("name")?;
    check_display_name(&name).map_err(|problem| fields.reject("name", problem)).ok()
}

fn roles(fields: &mut Fields) -> Option<Vec<String>> {
    let roles = fields.texts("roles")?;
    check_roles(&roles).map_err(|problem| fields.reject("roles", problem)).ok()
}

/// What becomes of `present` by the member `metadata`.
fn metadata_over(fields: &mut Fields, present: &Metadata) -> Option<Metadata> {
    let mut merged = present.clone();
    match fields.object_or_null("metadata")? {
        None => merged.clear(),
        Some(patch) => merge_patch(&mut merged, &patch),
    }
    let checked = check_metadata(merged.into());
    checked.map_err(|problem| fields.reject("metadata", problem)).ok()
}
