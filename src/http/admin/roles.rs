//! Roles and the scope words that they carry, for administrators: `/admin/roles`; the same as
//! `signet roles` does. A change is answered once every instance has taken it over.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ETag, EntityTag, HeaderName};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Issuer;
use crate::base::display_name::check_display_name;
use crate::domain::audit::Initiator;
use crate::domain::roles::{Change, Expect, Refusal, Role, Step, What};
use crate::domain::tokens::Scope;
use crate::http::administrator::{administrator, asked, shown};
use crate::http::error::Problem;
use crate::http::extract::{Fields, Query};
use crate::http::{admin, precondition};
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
    operation_id = "list_roles",
    responses((status = 200, description = "All of them", body = RolesBody)),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn list(app: Data<Issuer>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    administrator(&app, &request, app.clock.now()).await?;
    let roles = app.role_management.list().await?;
    Ok(shown(&RolesBody { roles: roles.iter().map(RoleView::from).collect() }))
}

/// Read a role
#[utoipa::path(
    get, path = "/admin/roles/{name}", tag = "Administration: roles",
    operation_id = "read_role",
    params(("name" = String, Path, description = "The role's name")),
    responses(
        (status = 200, description = "The role", body = RoleView,
            headers(("ETag" = String, description = "For `If-Match`"))),
        (status = 304, description = "The role whose `ETag` came in `If-None-Match`"),
        (status = 404, description = "No role has this name"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn read(
    app: Data<Issuer>,
    request: HttpRequest,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    administrator(&app, &request, app.clock.now()).await?;
    let role = app.role_management.find(&name).await?;
    let role = role.ok_or_else(|| Refusal::Unknown(name.into_inner()))?;
    Ok(precondition::unless_known(&request, &etag(&role), || {
        answer(StatusCode::OK, &role, RoleView::from(&role))
    }))
}

/// What a role is to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({
    "scope": "orders:read orders:write", "description": "Takes orders",
}))]
pub(crate) struct PutBody {
    /// The scope words that it carries, separated by spaces; may be empty.
    scope: String,
    /// What it is for; none if absent.
    #[schema(max_length = 200)]
    description: Option<String>,
    /// Also where a word that no role carries any more is then open to every user, and where users
    /// who have the name already would hold `signet:admin` or `users:read`.
    force: Option<bool>,
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
    operation_id = "put_role",
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
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn put(
    app: Data<Issuer>,
    request: HttpRequest,
    name: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read(&request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let expect = expected(&request)?;
    let scope = fields.required("scope").and_then(|text| {
        Scope::parse(&text).map_err(|error| fields.reject("scope", error.to_string())).ok()
    });
    let description = fields.optional("description").and_then(|text| {
        check_display_name(&text)
            .map_err(|problem| fields.reject("description", problem))
            .ok()
            .flatten()
    });
    let force = fields.flag("force");
    fields.finish()?;
    let change = Change {
        name: name.into_inner(),
        what: What::Put { scope, description: Some(description) },
        expect: expect.clone().unwrap_or(Expect::Absent),
        force,
    };
    let put =
        async move |app: &Issuer, by: &Initiator| app.role_management.change(change, by, now).await;
    let decision = match (admin::change(&app, &request, actor, put).await, expect) {
        (Err(RoleChangeError::Refused(Refusal::Exists(_))), None) => {
            return Err(precondition_required());
        }
        // RFC 9110 section 13.1.1: what is not there matches nothing.
        (Err(RoleChangeError::Refused(Refusal::Unknown(_))), _) => {
            return Err(precondition::changed(&request, None));
        }
        (Err(RoleChangeError::Refused(Refusal::Changed(name))), _) => {
            return Err(changed(&app, &request, &name).await);
        }
        (decision, _) => decision?,
    };
    match &decision.step {
        Step::Create(role) => {
            let body = DefinedBody { role: role.into(), holders: decision.holders };
            Ok(answer(StatusCode::CREATED, role, body))
        }
        Step::Replace(role) => Ok(answer(StatusCode::OK, role, RoleView::from(role))),
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
    operation_id = "remove_role",
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
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn remove(
    app: Data<Issuer>,
    request: HttpRequest,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let mut query = Query::read(&request);
    let force = query.flag("force").unwrap_or_default();
    query.finish()?;
    let name = name.into_inner();
    let expect = match expected(&request)? {
        Some(expect @ (Expect::Present | Expect::OneOf(_))) => expect,
        _ if app.role_management.find(&name).await?.is_none() => {
            return Err(Refusal::Unknown(name).into());
        }
        _ => return Err(precondition_required()),
    };
    let change = Change { name, what: What::Remove, expect, force };
    let remove =
        async move |app: &Issuer, by: &Initiator| app.role_management.change(change, by, now).await;
    match admin::change(&app, &request, actor, remove).await {
        Err(RoleChangeError::Refused(Refusal::Changed(name))) => {
            Err(changed(&app, &request, &name).await)
        }
        done => done.map(|_| HttpResponse::NoContent().finish()).map_err(Problem::from),
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

/// The answer to a change of a role that is not in the state that the caller has read.
async fn changed(app: &Issuer, request: &HttpRequest, name: &str) -> Problem {
    match app.role_management.find(name).await {
        Ok(role) => precondition::changed(request, role.as_ref().map(etag).as_ref()),
        Err(error) => error.into(),
    }
}

fn precondition_required() -> Problem {
    let detail = "the role is there: send its ETag in If-Match";
    Problem::new(StatusCode::PRECONDITION_REQUIRED, detail)
}

fn answer(status: StatusCode, role: &Role, body: impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, precondition::CACHE_CONTROL))
        .insert_header(ETag(etag(role)))
        .json(body)
}

fn etag(role: &Role) -> EntityTag {
    EntityTag::new_strong(role.revision().to_string())
}
