//! What administrators do to users. Each change is made to the user as it was seen, runs to its end
//! even if its client hangs up, and leaves an audit event.

use actix_web::HttpResponse;
use actix_web::web::Path;

use super::{etag, find, no_user};
use crate::domain::credentials::Password;
use crate::domain::roles::check_roles;
use crate::domain::users::{Email, Metadata, User, check_metadata};
use crate::http::administrator::{Administrator, Asked};
use crate::http::error::Answer;
use crate::http::extract::{DisplayName, Fields, Member, NotNull, Object, Reading, request_body};
use crate::http::precondition::{self, tagged};
use crate::services::accounts::administration::{ChangeError, UserChange};
use crate::services::accounts::merge_patch::merge_patch;
use crate::views::user::ManagedUserView;

/// The length in bytes of the most metadata with its characters escaped, and of everything else.
const MAX_USER: usize = 64 * 1024;

request_body! {
    /// A new user.
    #[schema(example = json!({ "email": "ada@example.com", "name": "Ada", "roles": ["staff"] }))]
    pub(crate) struct NewUserBody (Reading::JSON.refusing_others().up_to(MAX_USER)) {
        /// The login name.
        #[schema(format = "email", max_length = 254)]
        email: Email as String,
        /// 8 to 256 characters, none of the commonest. Without one the user cannot sign in until it is
        /// set.
        #[schema(format = Password, min_length = 8, max_length = 256, nullable = false)]
        password: NotNull<Password> as Option<String>,
        /// A display name.
        #[schema(max_length = 200)]
        name: DisplayName as Option<String>,
        /// Role names.
        #[schema(max_items = 32, nullable = false)]
        roles: RoleNames as Option<Vec<String>>,
        /// Whether the address is known to be the user's.
        email_verified: Option<bool> as Option<bool>,
        /// Whether the user may not sign in yet.
        disabled: Option<bool> as Option<bool>,
        /// What the application keeps of the user, at most 16 KiB.
        metadata: Option<Metadata> as Option<Object>,
    }
}

/// Add a user
#[utoipa::path(
    post, path = "/admin/users", tag = "Administration: users",
    request_body(content = inline(NewUserBody)),
    responses(
        (status = 201, description = "Added", body = ManagedUserView,
            headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "The address is taken"),
    ),
)]
pub(crate) async fn add_user(asked: Asked<NewUserBody>) -> Answer {
    let Asked { admin, mut fields, body } = asked;
    let password = body.password.map(|NotNull(password)| password);
    let login = body.email.as_ref().map_or("", Email::address);
    fields.check_new_password("password", password.as_ref(), login);
    let metadata = body.metadata.and_then(|new| merged(&mut fields, &Metadata::new(), new));
    let email = fields.finish_with(body.email)?;

    // Looked up before the hash, which is expensive; the insert decides between two concurrent ones.
    let (app, now) = (&admin.app, admin.by.at);
    if app.stores.users.find_by_address(email.address()).await?.is_some() {
        return Err(ChangeError::Taken.into());
    }
    let password_hash = match password {
        Some(password) => app.hashing.hash(password).await?,
        None => app.hashing.unmatchable(),
    };
    let flag = |flag: Option<Option<bool>>| flag.flatten().unwrap_or_default();
    let name = body.name.and_then(|DisplayName(name)| name);
    let new = User {
        roles: body.roles.map(|RoleNames(roles)| roles).unwrap_or_default(),
        email_verified_at: flag(body.email_verified).then_some(now),
        disabled_at: flag(body.disabled).then_some(now),
        metadata: metadata.unwrap_or_default(),
        ..app.accounts.new_user(&email, name, password_hash, now)
    };
    let create = admin
        .change(async move |app, by| app.accounts.create(new, by).await.map_err(ChangeError::from));
    let user = create.await?;
    Ok(tagged(admin.created(user.id), etag(&user), ManagedUserView::from(user)))
}

request_body! {
    /// What may be changed of a user; what is absent stays as it is.
    #[schema(example = json!({ "roles": ["staff", "admin"] }))]
    pub(crate) struct UserChangeBody (Reading::PATCH.up_to(MAX_USER)) {
        /// A new display name; null or empty removes it.
        #[schema(max_length = 200)]
        name: DisplayName as Option<String>,
        /// A new login name, which counts as not verified unless it is said to be.
        #[schema(format = "email", max_length = 254, nullable = false)]
        email: NotNull<Email> as Option<String>,
        /// All role names.
        #[schema(max_items = 32, nullable = false)]
        roles: RoleNames as Option<Vec<String>>,
        /// Whether the user may not sign in; if so, all sessions end.
        #[schema(nullable = false)]
        disabled: bool as Option<bool>,
        /// Whether the address is known to be the user's.
        #[schema(nullable = false)]
        email_verified: bool as Option<bool>,
        /// Changed by RFC 7396: members replace those of the same name, null removes them; null for the
        /// whole removes all.
        metadata: Option<Metadata> as Option<Object>,
    }
}

/// Change a user
#[utoipa::path(
    patch, path = "/admin/users/{id}", tag = "Administration: users",
    params(("If-Match" = String, Header, description = "The `ETag` of what is to be changed")),
    request_body(content(
        (inline(UserChangeBody) = "application/json"),
        (inline(UserChangeBody) = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The user as it is now", body = ManagedUserView,
            headers(("ETag" = String))),
        (status = 409, description = "The address is taken, or no other administrator would be left"),
        (status = 412, description = "The user has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
)]
pub(crate) async fn change_user(asked: Asked<UserChangeBody>, id: Path<String>) -> Answer {
    let Asked { admin, mut fields, body } = asked;
    let user = find(&admin.app, &id).await?;
    precondition::check(&admin.request, &etag(&user))?;
    let change = UserChange {
        name: body.name.map(|DisplayName(name)| name),
        email: body.email.map(|NotNull(email)| email),
        roles: body.roles.map(|RoleNames(roles)| roles),
        disabled: body.disabled,
        email_verified: body.email_verified,
        metadata: body.metadata.and_then(|patch| merged(&mut fields, &user.metadata, patch)),
        force: false,
    };
    fields.finish()?;
    let change = admin.change(async move |app, by| app.accounts.change(&user, change, by).await);
    let user = change.await?;
    Ok(tagged(HttpResponse::Ok(), etag(&user), ManagedUserView::from(user)))
}

/// Remove a user
///
/// All sessions end. The id is never given to another user.
#[utoipa::path(
    delete, path = "/admin/users/{id}", tag = "Administration: users",
    params(("If-Match" = String, Header, description = "The `ETag` of what is to be removed")),
    responses(
        (status = 204, description = "The account and all its sessions are gone"),
        (status = 409, description = "No other administrator would be left"),
        (status = 412, description = "The user has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
)]
pub(crate) async fn remove_user(admin: Administrator, id: Path<String>) -> Answer {
    let user = find(&admin.app, &id).await?;
    precondition::check(&admin.request, &etag(&user))?;
    let remove = admin.change(async move |app, by| app.accounts.remove(&user, false, by).await);
    remove.await?;
    Ok(HttpResponse::NoContent().finish())
}

request_body! {
    /// A new password.
    pub(crate) struct NewPasswordBody (Reading::JSON.refusing_others()) {
        /// 8 to 256 characters, none of the commonest.
        #[schema(format = Password, min_length = 8, max_length = 256)]
        password: Password as String,
    }
}

/// Give a user a new password
///
/// All sessions end.
#[utoipa::path(
    put, path = "/admin/users/{id}/password", tag = "Administration: users",
    request_body(content = inline(NewPasswordBody)),
    responses(
        (status = 204, description = "It is set, and all sessions are over"),
    ),
)]
pub(crate) async fn set_user_password(asked: Asked<NewPasswordBody>, id: Path<String>) -> Answer {
    let Asked { admin, mut fields, body: NewPasswordBody { password } } = asked;
    let user = find(&admin.app, &id).await?;
    fields.check_new_password("password", password.as_ref(), &user.email);
    let password = fields.finish_with(password)?;
    let hash = admin.app.hashing.hash(password).await?;
    let set = admin.change(async move |app, by| {
        app.accounts.set_password(&user, &hash, &app.login_limits, by).await
    });
    if set.await? { Ok(HttpResponse::NoContent().finish()) } else { Err(no_user()) }
}

/// Forget a user's wrong passwords
///
/// The next login of a user who mistyped the password too often, or whose password was guessed at,
/// need not wait.
#[utoipa::path(
    post, path = "/admin/users/{id}/unlock", tag = "Administration: users",
    responses(
        (status = 204, description = "They are forgotten"),
    ),
)]
pub(crate) async fn unlock_user(admin: Administrator, id: Path<String>) -> Answer {
    let user = find(&admin.app, &id).await?;
    let unlock =
        admin.change(async move |app, by| app.accounts.unlock(&user, &app.login_limits, by).await);
    unlock.await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) struct RoleNames(Vec<String>);

impl Member for RoleNames {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let roles = Vec::read(fields, name)?;
        check_roles(&roles).map_err(|problem| fields.reject(name, problem)).map(Self).ok()
    }
}

/// What becomes of `present` by the member `metadata`, which is `None` for null.
fn merged(fields: &mut Fields, present: &Metadata, patch: Option<Metadata>) -> Option<Metadata> {
    let merged = patch.map_or_else(Metadata::new, |patch| {
        let mut merged = present.clone();
        merge_patch(&mut merged, &patch);
        merged
    });
    let checked = check_metadata(merged.into());
    checked.map_err(|problem| fields.reject("metadata", problem)).ok()
}
