//! Sessions, for administrators: `/admin/sessions`, and those of one user.

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Initiator};
use crate::domain::sessions::Session;
use crate::http::admin::{self, users};
use crate::http::administrator::{administrator, administrator_and_claims};
use crate::http::error::Problem;
use crate::http::extract::Query;
use crate::http::paging::{Kind, Page, PageParams};
use crate::views::session::ManagedSessionView;

/// List sessions
///
/// With `user_id`, all sessions of one user, newest first; otherwise those of all users, in pages.
/// With sessions in Redis these pages come as Redis finds them: one may have a few more or fewer
/// items than asked for, and a session may, seldom, come twice. In a Redis Cluster `user_id` is
/// needed.
#[utoipa::path(
    get, path = "/admin/sessions", tag = "Administration: sessions",
    operation_id = "list_sessions",
    params(
        ("user_id" = Option<String>, Query, description = "Whose; then there are no pages"),
        PageParams,
    ),
    responses(
        (status = 200, description = "A page of them", body = Page<ManagedSessionView>),
        (status = 400, description = "A bad parameter"),
        (status = 404, description = "No user has this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn list(app: Data<Issuer>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let (_, claims) = administrator_and_claims(&app, &request, now).await?;
    let mut query = Query::read(&request);
    let user_id = query.user_id("user_id");
    if let Some(user_id) = user_id {
        query.finish()?;
        return of_user(&app, &user_id.to_string(), claims.sid, now).await;
    }
    let (limit, from) = (query.limit(), query.cursor(Kind::Sessions));
    query.finish()?;
    let page = app.stores.sessions.page(from.as_deref(), limit, now).await?;
    Ok(shown(&app, page.sessions, claims.sid, page.next))
}

/// List the sessions of a user, newest first
#[utoipa::path(
    get, path = "/admin/users/{id}/sessions", tag = "Administration: sessions",
    operation_id = "list_user_sessions",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, description = "All of them, on one page", body = Page<ManagedSessionView>),
        (status = 404, description = "No user has this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn list_of_user(
    app: Data<Issuer>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let (_, claims) = administrator_and_claims(&app, &request, now).await?;
    of_user(&app, &id, claims.sid, now).await
}

/// End a session
#[utoipa::path(
    delete, path = "/admin/sessions/{sid}", tag = "Administration: sessions",
    operation_id = "end_session",
    params(
        ("sid" = String, Path, description = "The session"),
        ("user_id" = String, Query, description = "Whose it is"),
    ),
    responses(
        (status = 204, description = "Ended"),
        (status = 400, description = "`user_id` is missing"),
        (status = 404, description = "The user has no session with this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn end(
    app: Data<Issuer>,
    request: HttpRequest,
    sid: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let mut query = Query::read(&request);
    let user_id = query.user_id("user_id");
    if user_id.is_none() {
        query.reject("user_id", "is needed: the store finds a session by its user");
    }
    query.finish()?;
    end_one(&app, &request, actor, user_id, &sid, now).await
}

/// End a session of a user
#[utoipa::path(
    delete, path = "/admin/users/{id}/sessions/{sid}", tag = "Administration: sessions",
    operation_id = "end_user_session",
    params(
        ("id" = String, Path, description = "The user's id"),
        ("sid" = String, Path, description = "The session"),
    ),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "The user has no session with this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn end_of_user(
    app: Data<Issuer>,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let (id, sid) = path.into_inner();
    end_one(&app, &request, actor, id.parse().ok(), &sid, now).await
}

/// End all sessions of a user
///
/// The user may sign in again.
#[utoipa::path(
    delete, path = "/admin/users/{id}/sessions", tag = "Administration: sessions",
    operation_id = "end_user_sessions",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "No user has this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn end_all_of_user(
    app: Data<Issuer>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let id: Uuid = id.parse().map_err(|_| Problem::not_found())?;
    let end =
        async move |app: &Issuer, by: &Initiator| app.accounts.end_sessions(id, by, now).await;
    ended(admin::change(&app, &request, actor, end).await?)
}

async fn of_user(
    app: &Issuer,
    id: &str,
    current: Option<Uuid>,
    now: Timestamp,
) -> Result<HttpResponse, Problem> {
    let user = users::find(app, id).await?;
    let sessions = app.accounts.sessions(&user, now).await?;
    Ok(shown(app, sessions, current, None))
}

fn shown(
    app: &Issuer,
    sessions: Vec<Session>,
    current: Option<Uuid>,
    next: Option<String>,
) -> HttpResponse {
    let policy = app.stores.sessions.policy();
    let view = |session| ManagedSessionView::new(session, policy, current);
    let items: Vec<_> = sessions.into_iter().map(view).collect();
    let page = Page::up_to(items, Kind::Sessions, next);
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(page)
}

async fn end_one(
    app: &Data<Issuer>,
    request: &HttpRequest,
    actor: Actor,
    user_id: Option<Uuid>,
    sid: &str,
    now: Timestamp,
) -> Result<HttpResponse, Problem> {
    let (Some(user_id), Ok(sid)) = (user_id, sid.parse()) else {
        return Err(Problem::not_found());
    };
    let end = async move |app: &Issuer, by: &Initiator| {
        app.accounts.end_session(user_id, sid, by, now).await
    };
    ended(admin::change(app, request, actor, end).await?)
}

fn ended(done: bool) -> Result<HttpResponse, Problem> {
    if done { Ok(HttpResponse::NoContent().finish()) } else { Err(Problem::not_found()) }
}
