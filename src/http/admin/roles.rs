//! Roles and the scope words that they carry, for administrators: `/admin/roles`; the same as
//! `signet roles` does. A change is answered once every instance has taken it over.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, EntityTag, HeaderName};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::roles::{Change, Decision, Expect, Refusal, Role, Step, What};
use crate::domain::tokens::Scope;
use crate::http::administrator::{Administrator, Asked, shown};
use crate::http::error::{Answer, Problem};
use crate::http::extract::{DisplayName, Fields, Member, Query, request_body};
use crate::http::precondition::{self, tagged};
use crate::services::role_management::RoleChangeError;
use crate::views::role::RoleView;

/// All roles.
#[derive(Serialize, ToSchema)]
pub(crate) struct RolesBody {
    /// By name.
    roles: Vec<RoleView>,
}

/// List the roles
///
/// The answer has all roles, without pages.
#[utoipa::path(
    get, path = "/admin/roles", tag = "Administration: roles",
    responses((status = 200, description = "All of them", body = RolesBody)),
)]
pub(crate) async fn list_roles(admin: Administrator) -> Answer {
    let roles = admin.app.role_management.list().await?;
    Ok(shown(&RolesBody { roles: roles.iter().map(RoleView::from).collect() }))
}

/// Read a role
#[utoipa::path(
    get, path = "/admin/roles/{name}", tag = "Administration: roles",
    params(("name" = String, Path, description = "The role's name")),
    responses(
        (status = 200, description = "The role", body = RoleView,
            headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 304, description = "The role whose `ETag` came in `If-None-Match`"),
        (status = 404, description = "No role has this name"),
    ),
)]
pub(crate) async fn read_role(admin: Administrator, name: Path<String>) -> Answer {
    let role = admin.app.role_management.find(&name).await?;
    let role = role.ok_or_else(|| Refusal::Unknown(name.into_inner()))?;
    Ok(precondition::unless_known(&admin.request, etag(&role), RoleView::from(&role)))
}

request_body! {
    /// What a role is to be.
    #[schema(example = json!({
        "scope": "orders:read orders:write", "description": "Takes orders",
    }))]
    pub(crate) struct PutBody {
        /// The scope words that it carries, separated by spaces; may be empty.
        scope: Scope as String,
        /// What it is for; none if absent.
        #[schema(max_length = 200)]
        description: DisplayName as Option<String>,
        /// Also where a word that no role carries any more is then open to every user, and where users
        /// who have the name already would hold `signet:admin` or `users:read`.
        force: Option<bool> as Option<bool>,
    }
}

/// A role that was defined.
#[derive(Serialize, ToSchema)]
pub(crate) struct DefinedBody {
    #[serde(flatten)]
    role: RoleView,
    /// How many users had the name already, and hold what it carries from now on.
    holders: u64,
}

/// Define or replace a role
///
/// A scope word that some role carries is held only by users with such a role; a word that no role
/// carries is open to every user of a client that may ask it. `If-Match` replaces a role as it was
/// read; without it, or with `If-None-Match: *`, a new one is defined.
#[utoipa::path(
    put, path = "/admin/roles/{name}", tag = "Administration: roles",
    params(
        ("name" = String, Path, description = "1 to 64 characters of `a-z 0-9 _ - . :`"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the role as it was read"),
        ("If-None-Match" = Option<String>, Header, description = "`*`"),
    ),
    request_body(content = inline(PutBody)),
    responses(
        (status = 200, description = "Replaced", body = RoleView, headers(("ETag" = String))),
        (status = 201, description = "Defined", body = DefinedBody, headers(("ETag" = String))),
        (status = 409, description = "A word would become open to every user, users who have the \
            name would become administrators, it is the built-in role and has to keep its words, \
            or there are too many"),
        (status = 412, description = "The role has been changed, removed or defined since the version that `If-Match` names"),
        (status = 428, description = "The role exists, and `If-Match` is missing"),
    ),
)]
pub(crate) async fn put_role(asked: Asked<PutBody>, name: Path<String>) -> Answer {
    let Asked { admin, fields, body } = asked;
    let expect = expected(&admin.request)?;
    fields.finish()?;
    let description = body.description.and_then(|DisplayName(description)| description);
    let change = Change {
        name: name.into_inner(),
        what: What::Put { scope: body.scope, description: Some(description) },
        expect: expect.clone().unwrap_or(Expect::Absent),
        force: body.force.flatten().unwrap_or_default(),
    };
    let put = admin.change(async move |app, by| app.role_management.change(change, by).await);
    let decision = match (put.await, expect) {
        (Err(RoleChangeError::Refused(Refusal::Exists(_))), None) => {
            return Err(precondition_required());
        }
        // RFC 9110 section 13.1.1: what is not there matches nothing.
        (Err(RoleChangeError::Refused(Refusal::Unknown(_))), _) => {
            return Err(precondition::changed(&admin.request, None));
        }
        (done, _) => unchanged(&admin, done).await?,
    };
    match &decision.step {
        Step::Create(role) => {
            let body = DefinedBody { role: role.into(), holders: decision.holders };
            Ok(tagged(HttpResponse::Created(), etag(role), body))
        }
        Step::Replace(role) => Ok(tagged(HttpResponse::Ok(), etag(role), RoleView::from(role))),
        Step::Delete(_) => Err(Problem::internal()),
    }
}

/// Remove a role
///
/// By force it is taken from the users who have it as well. If that is cut off, the same request
/// once more takes it from those who still have it; a name that only users have, and no role
/// defines, can be removed in the same way.
#[utoipa::path(
    delete, path = "/admin/roles/{name}", tag = "Administration: roles",
    params(
        ("name" = String, Path, description = "The role's name"),
        ("If-Match" = String, Header, description = "The `ETag` of the role as it was read, or `*`"),
        ("force" = Option<bool>, Query, description = "Also from users who have it, and where a \
            word that no role carries any more is then open to every user"),
    ),
    responses(
        (status = 204, description = "Removed"),
        (status = 400, description = "The query says something else"),
        (status = 404, description = "No role has this name"),
        (status = 409, description = "Users have it, a word would become open to every user, or it \
            is the built-in role"),
        (status = 412, description = "The role has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
)]
pub(crate) async fn remove_role(admin: Administrator, name: Path<String>) -> Answer {
    let mut query = Query::read(&admin.request);
    let force = query.flag("force").unwrap_or_default();
    query.finish()?;
    let name = name.into_inner();
    let expect = match expected(&admin.request)? {
        Some(expect @ (Expect::Present | Expect::OneOf(_))) => expect,
        _ if admin.app.role_management.find(&name).await?.is_none() => {
            return Err(Refusal::Unknown(name).into());
        }
        _ => return Err(precondition_required()),
    };
    let change = Change { name, what: What::Remove, expect, force };
    let remove = admin.change(async move |app, by| app.role_management.change(change, by).await);
    unchanged(&admin, remove.await).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl Member for Scope {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let text = String::read(fields, name)?;
        Self::parse(&text).map_err(|error| fields.reject(name, error.to_string())).ok()
    }
}

/// What the request expects to find (RFC 9110 sections 13.1.1 and 13.1.2), if it says.
fn expected(request: &HttpRequest) -> Result<Option<Expect>, Problem> {
    let tags = |name: HeaderName| -> Vec<String> {
        let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect()
    };
    let (matching, none_matching) = (tags(header::IF_MATCH), tags(header::IF_NONE_MATCH));
    match (&matching[..], &none_matching[..]) {
        ([], []) => Ok(None),
        ([], [any]) if any == "*" => Ok(Some(Expect::Absent)),
        ([any], []) if any == "*" => Ok(Some(Expect::Present)),
        // A tag that is none of ours matches nothing. A weak one is the same, weakened on its way.
        (tags, []) => {
            let opaque = |tag: &str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
            let state = |tag: &String| opaque(tag.strip_prefix("W/").unwrap_or(tag));
            Ok(Some(Expect::OneOf(tags.iter().filter_map(state).collect())))
        }
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "say either If-Match, or If-None-Match with * alone",
        )),
    }
}

/// What was `done` to a role, or the answer where the role is not in the state that the caller has read.
async fn unchanged(
    admin: &Administrator,
    done: Result<Decision, RoleChangeError>,
) -> Result<Decision, Problem> {
    let Err(RoleChangeError::Refused(Refusal::Changed(name))) = done else { return Ok(done?) };
    let now = admin.app.role_management.find(&name).await?;
    Err(precondition::changed(&admin.request, now.as_ref().map(etag).as_ref()))
}

fn precondition_required() -> Problem {
    let detail = "the role is there: send its ETag in If-Match";
    Problem::new(StatusCode::PRECONDITION_REQUIRED, detail)
}

fn etag(role: &Role) -> EntityTag {
    EntityTag::new_strong(role.revision().to_string())
}
