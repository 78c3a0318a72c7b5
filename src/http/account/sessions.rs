//! The sessions of the signed-in user: `/users/me/sessions`.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use crate::app::Issuer;
use crate::http::error::{Answer, Problem};
use crate::http::extract::Query;
use crate::http::finish::to_the_end;
use crate::http::{extract, signed_in};
use crate::views::session::SessionView;

const UNKNOWN: &str = "the user has no session with this id";

/// List one's own sessions, newest first
#[utoipa::path(
    get, path = "/users/me/sessions", tag = "Account",
    responses((status = 200, description = "All sessions", body = Vec<SessionView>)),
    security(("user" = []))
)]
pub(crate) async fn list(app: Data<Issuer>, request: HttpRequest) -> Answer {
    let now = app.clock.now();
    let (user, claims) = signed_in::user(&app, &request, now).await?;
    let policy = app.stores.sessions.policy();
    let sessions = app.accounts.sessions(&user, now).await?;
    let views: Vec<_> = sessions
        .into_iter()
        .map(|session| SessionView::for_bearer(session, policy, claims.sid))
        .collect();
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(views))
}

/// End one of one's own sessions
#[utoipa::path(
    delete, path = "/users/me/sessions/{sid}", tag = "Account",
    params(("sid" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "The user has no session with this id"),
    ),
    security(("user" = []))
)]
pub(crate) async fn end_one(app: Data<Issuer>, request: HttpRequest, sid: Path<String>) -> Answer {
    let by = extract::caller(&request, &app);
    let (user, _) = signed_in::user(&app, &request, by.at).await?;
    let sid: Uuid = sid.parse().map_err(|_| Problem::missing(UNKNOWN))?;
    let end = async move { app.accounts.end_session(user.id, sid, &by.as_user(user.id)).await };
    if to_the_end(end).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(Problem::missing(UNKNOWN))
    }
}

/// End all of one's own sessions
///
/// Ends the session that the token belongs to as well, unless `except_current` is `true`.
#[utoipa::path(
    delete, path = "/users/me/sessions", tag = "Account",
    params(("except_current" = Option<bool>, Query,
        description = "`true` lets the session that the request's token belongs to live on")),
    responses(
        (status = 204, description = "Ended"),
        (status = 400, description = "A parameter is unknown or malformed"),
    ),
    security(("user" = []))
)]
pub(crate) async fn end_all(app: Data<Issuer>, request: HttpRequest) -> Answer {
    let by = extract::caller(&request, &app);
    let (user, claims) = signed_in::user(&app, &request, by.at).await?;
    // A misspelt query must not end the session that it was meant to spare.
    let mut query = Query::read(&request);
    let except_current = query.flag("except_current").unwrap_or_default();
    query.finish()?;
    let kept = claims.sid.filter(|_| except_current);
    let end = async move {
        let by = &by.as_user(user.id);
        match kept {
            Some(sid) => app.accounts.end_other_sessions(user.id, sid, by).await.map(drop),
            None => app.accounts.end_sessions(user.id, by).await.map(drop),
        }
    };
    to_the_end(end).await?;
    Ok(HttpResponse::NoContent().finish())
}
