//! Who administers Signet by a request: a user with a role that carries the scope for it, or a
//! client in its own name, either with that scope in a token for the audience of administration.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::error::Problem;
use super::extract::{self, BodyError, Fields};
use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::audit::Actor;
use crate::domain::tokens::{Claims, scope};
use crate::services::authentication::{AdminRequest, BearerError};

/// The administrator that `request` speaks for.
pub(super) async fn administrator(
    app: &Issuer,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<Actor, BearerError> {
    Ok(caller(app, request, None, now).await?.0)
}

/// The same, with the claims of the token.
pub(super) async fn administrator_and_claims(
    app: &Issuer,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(Actor, Claims), BearerError> {
    caller(app, request, None, now).await
}

/// Succeeds for who may read users: administrators, and clients that may do that in their own name.
pub(super) async fn reader_of_users(
    app: &Issuer,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(), BearerError> {
    caller(app, request, Some(scope::USERS_READ), now).await.map(drop)
}

/// Who asks for a change, with which fields, and when. That is decided after the body has come,
/// which may take its time.
pub(super) async fn asked(
    app: &Issuer,
    request: &HttpRequest,
    fields: impl Future<Output = Result<Fields, BodyError>>,
) -> Result<(Actor, Fields, Timestamp), Problem> {
    extract::bearer(request)?;
    let fields = fields.await;
    let now = app.clock.now();
    let actor = administrator(app, request, now).await?;
    Ok((actor, fields?, now))
}

/// What only administrators see, as the answer to one of them: nobody keeps it.
pub(super) fn shown(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// The administrator that `request` speaks for, with the claims of the token; a client in its own
/// name also by the scope `own`.
async fn caller(
    app: &Issuer,
    request: &HttpRequest,
    own: Option<&'static str>,
    now: Timestamp,
) -> Result<(Actor, Claims), BearerError> {
    // The pattern and not the path, in which anything may stand.
    let route = request.match_pattern().unwrap_or_default();
    let request = AdminRequest {
        token: extract::bearer(request)?,
        own,
        route: &format!("{} {route}", request.method()),
        origin: extract::origin(request, app),
    };
    app.authentication.administrator(request, now).await
}
