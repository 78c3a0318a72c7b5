//! The sessions of the signed-in user: `/users/me/sessions`.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::domain::audit::{Actor, By};
use crate::domain::sessions::{Policy, Session};
use crate::http::error::Problem;
use crate::http::extract::Query;
use crate::http::finish::to_the_end;
use crate::http::{extract, signed_in};

/// The answer to a session that the user does not have.
const UNKNOWN: &str = "the user has no session with this id";

/// One session.
#[derive(Serialize, ToSchema)]
pub struct SessionBody {
    /// The `sid` of its tokens.
    sid: String,
    /// The client that it was granted to.
    client_id: String,
    /// The granted scope.
    scope: String,
    /// RFC 3339.
    created_at: String,
    /// When it was begun or last refreshed, RFC 3339. Use of its access tokens does not count.
    last_used_at: String,
    /// When it ends unless it is refreshed before, RFC 3339.
    expires_at: String,
    /// The network address it was begun or last refreshed from.
    #[schema(example = "203.0.113.9")]
    address: Option<String>,
    /// The user agent that did so, in a few words.
    #[schema(example = "Firefox on Linux")]
    user_agent: Option<String>,
    /// Whether the request's token belongs to it.
    current: bool,
}

impl SessionBody {
    /// `session` as it is shown to the holder of a token of the session `current`.
    pub fn new(session: Session, policy: &Policy, current: Option<Uuid>) -> Self {
        Self {
            sid: session.sid.to_string(),
            created_at: session.started_at.to_string(),
            last_used_at: session.advanced_at.to_string(),
            expires_at: session.expires_at(policy).to_string(),
            address: session.origin.address.map(|address| address.to_string()),
            user_agent: session.origin.user_agent,
            current: current == Some(session.sid),
            client_id: session.client_id,
            scope: session.scope,
        }
    }
}

/// List one's own sessions, newest first
#[utoipa::path(
    get, path = "/users/me/sessions", tag = "Account",
    responses((status = 200, description = "All sessions", body = Vec<SessionBody>)),
    security(("user" = []))
)]
pub async fn list(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let (user, claims) = signed_in::user(&app, &request, now).await?;
    let policy = app.authorization_server.sessions.policy();
    let sessions = app.accounts.sessions(&user, now).await?;
    let bodies: Vec<_> =
        sessions.into_iter().map(|session| SessionBody::new(session, policy, claims.sid)).collect();
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(bodies))
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
pub async fn end_one(
    app: Data<App>,
    request: HttpRequest,
    sid: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let (user, _) = signed_in::user(&app, &request, now).await?;
    let sid: Uuid = sid.parse().map_err(|_| Problem::missing(UNKNOWN))?;
    let origin = extract::origin(&request, &app);
    let end = async move {
        let by = By { actor: Actor::User(user.id), origin: &origin };
        app.accounts.end_session(user.id, sid, by, now).await
    };
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
pub async fn end_all(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let (user, claims) = signed_in::user(&app, &request, now).await?;
    // A misspelt query must not end the session that it was meant to spare.
    let mut query = Query::read(&request);
    let except_current = query.flag("except_current").unwrap_or_default();
    query.finish()?;
    let kept = claims.sid.filter(|_| except_current);
    let origin = extract::origin(&request, &app);
    let end = async move {
        let by = By { actor: Actor::User(user.id), origin: &origin };
        match kept {
            Some(sid) => app.accounts.end_other_sessions(user.id, sid, by, now).await.map(drop),
            None => app.accounts.end_sessions(user.id, by, now).await.map(drop),
        }
    };
    to_the_end(end).await?;
    Ok(HttpResponse::NoContent().finish())
}
