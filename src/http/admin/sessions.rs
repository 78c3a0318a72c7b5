//! Sessions, for administrators: `/admin/sessions`, and those of one user.

use actix_web::HttpResponse;
use actix_web::web::Path;
use uuid::Uuid;

use crate::domain::sessions::Session;
use crate::http::admin::users;
use crate::http::administrator::{self, Administrator};
use crate::http::error::{Answer, Problem};
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
    params(
        ("user_id" = Option<String>, Query, description = "Whose; then there are no pages"),
        PageParams,
    ),
    responses(
        (status = 200, description = "A page of them", body = Page<ManagedSessionView>),
        (status = 400, description = "A bad parameter"),
        (status = 404, description = "No user has this id"),
    ),
)]
pub(crate) async fn list_sessions(admin: Administrator) -> Answer {
    let mut query = Query::read(&admin.request);
    let user_id = query.user_id("user_id");
    if let Some(user_id) = user_id {
        query.finish()?;
        return of_user(&admin, &user_id.to_string()).await;
    }
    let (limit, from) = (query.limit(), query.cursor(Kind::Sessions));
    query.finish()?;
    let page = admin.app.stores.sessions.page(from.as_deref(), limit, admin.by.at).await?;
    Ok(shown(&admin, page.sessions, page.next))
}

/// List the sessions of a user, newest first
#[utoipa::path(
    get, path = "/admin/users/{id}/sessions", tag = "Administration: sessions",
    responses(
        (status = 200, description = "All of them, on one page", body = Page<ManagedSessionView>),
    ),
)]
pub(crate) async fn list_user_sessions(admin: Administrator, id: Path<String>) -> Answer {
    of_user(&admin, &id).await
}

/// End a session
#[utoipa::path(
    delete, path = "/admin/sessions/{sid}", tag = "Administration: sessions",
    params(
        ("sid" = String, Path, description = "The session"),
        ("user_id" = String, Query, description = "Whose it is"),
    ),
    responses(
        (status = 204, description = "Ended"),
        (status = 400, description = "`user_id` is missing"),
        (status = 404, description = "The user has no session with this id"),
    ),
)]
pub(crate) async fn end_session(admin: Administrator, sid: Path<String>) -> Answer {
    let mut query = Query::read(&admin.request);
    let user_id = query.user_id("user_id");
    if user_id.is_none() {
        query.reject("user_id", "is needed: the store finds a session by its user");
    }
    query.finish()?;
    end_one(&admin, user_id, &sid).await
}

/// End a session of a user
#[utoipa::path(
    delete, path = "/admin/users/{id}/sessions/{sid}", tag = "Administration: sessions",
    params(("sid" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "The user has no session with this id"),
    ),
)]
pub(crate) async fn end_user_session(admin: Administrator, path: Path<(String, String)>) -> Answer {
    let (id, sid) = path.into_inner();
    end_one(&admin, id.parse().ok(), &sid).await
}

/// End all sessions of a user
///
/// The user may sign in again.
#[utoipa::path(
    delete, path = "/admin/users/{id}/sessions", tag = "Administration: sessions",
    responses(
        (status = 204, description = "Ended"),
    ),
)]
pub(crate) async fn end_user_sessions(admin: Administrator, id: Path<String>) -> Answer {
    let id: Uuid = id.parse().map_err(|_| users::no_user())?;
    let end = admin.change(async move |app, by| app.accounts.end_sessions(id, by).await);
    if end.await? { Ok(HttpResponse::NoContent().finish()) } else { Err(users::no_user()) }
}

async fn of_user(admin: &Administrator, id: &str) -> Answer {
    let user = users::find(&admin.app, id).await?;
    Ok(shown(admin, admin.app.accounts.sessions(&user, admin.by.at).await?, None))
}

fn shown(admin: &Administrator, sessions: Vec<Session>, next: Option<String>) -> HttpResponse {
    let policy = admin.app.stores.sessions.policy();
    let view = |session| ManagedSessionView::new(session, policy, admin.claims.sid);
    let items: Vec<_> = sessions.into_iter().map(view).collect();
    administrator::shown(&Page::up_to(items, Kind::Sessions, next))
}

async fn end_one(admin: &Administrator, user_id: Option<Uuid>, sid: &str) -> Answer {
    if let (Some(user_id), Ok(sid)) = (user_id, sid.parse()) {
        let end =
            admin.change(async move |app, by| app.accounts.end_session(user_id, sid, by).await);
        if end.await? {
            return Ok(HttpResponse::NoContent().finish());
        }
    }
    Err(Problem::missing("the user has no session with this id"))
}
