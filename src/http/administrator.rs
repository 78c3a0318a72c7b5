//! Who administers Signet by a request: a user with a role that carries the scope for it, or a
//! client in its own name, either with that scope in a token for the audience of administration.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::bearer::BearerError;
use super::error::Problem;
use super::extract::{self, BodyError, Fields};
use super::signed_in::{self, NotSignedIn};
use crate::app::App;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Event, Initiator, Kind};
use crate::domain::clients::GrantType;
use crate::domain::sessions::Live;
use crate::domain::tokens::{Claims, Scope, scope};

/// The administrator that `request` speaks for.
pub async fn administrator(
    app: &App,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<Actor, NotSignedIn> {
    Ok(caller(app, request, None, now).await?.0)
}

/// The same, with the claims of the token.
pub async fn administrator_and_claims(
    app: &App,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(Actor, Claims), NotSignedIn> {
    caller(app, request, None, now).await
}

/// Succeeds for who may read users: administrators, and clients that may do that in their own name.
pub async fn reader_of_users(
    app: &App,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(), NotSignedIn> {
    caller(app, request, Some(scope::USERS_READ), now).await.map(drop)
}

/// Who asks for a change, with which fields, and when. That is decided after the body has come,
/// which may take its time.
pub async fn asked(
    app: &App,
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
pub fn shown(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// Who `request` speaks for: by the scope for administration, or a client in its own name also by
/// the scope `own`. A token tells what was granted once; what its client and its user may do now
/// counts as well.
async fn caller(
    app: &App,
    request: &HttpRequest,
    own: Option<&str>,
    now: Timestamp,
) -> Result<(Actor, Claims), NotSignedIn> {
    let (claims, live) = signed_in::claims(app, request, now).await?;
    let admitted = admit(app, &claims, &live, own).await;
    if matches!(admitted, Err(NotSignedIn::Bearer(BearerError::NotAdministrator))) {
        record_refusal(app, request, &claims, now).await;
    }
    Ok((admitted?, claims))
}

/// Records who was refused: somebody tries what is not theirs to do.
async fn record_refusal(app: &App, request: &HttpRequest, claims: &Claims, now: Timestamp) {
    let is_client = claims.sub == claims.client_id;
    let actor = match claims.sub.parse() {
        Ok(user) if !is_client => Actor::User(user),
        _ => Actor::Client(claims.sub.clone()),
    };
    let by = Initiator { actor, origin: extract::origin(request, app) };
    // The pattern and not the path, in which anything may stand.
    let route = request.match_pattern().unwrap_or_default();
    let event = Event::new(Kind::AdminRefused, &by)
        .client(&claims.client_id)
        .detail(format!("{} {route}", request.method()));
    app.authorization_server.audit.record(event, now).await;
}

/// Whether the token with these claims, which rests on `live`, may do what administrators do, and
/// who that is.
async fn admit(
    app: &App,
    claims: &Claims,
    live: &Live,
    own: Option<&str>,
) -> Result<Actor, NotSignedIn> {
    let granted = Scope::parse(&claims.scope).unwrap_or_default();
    if !app.authorization_server.access_tokens.is_for_administration(&claims.aud) {
        // One that has the word all the same was issued by a version that put no power into an
        // audience of its own; any other lacks the word, which brings the audience.
        let wrong_audience = granted.is_administrative();
        let error =
            if wrong_audience { BearerError::Invalid } else { BearerError::NotAdministrator };
        return Err(error.into());
    }
    let actor = match live.epoch {
        // Nobody's token but a client's own is without a session.
        None if claims.sub == claims.client_id => Actor::Client(claims.sub.clone()),
        None => return Err(BearerError::NotAdministrator.into()),
        Some(epoch) => {
            let user = signed_in::user_of(app, claims, epoch).await?;
            if !app.authorization_server.holds(&user, scope::ADMIN).await? {
                return Err(BearerError::NotAdministrator.into());
            }
            Actor::User(user.id)
        }
    };
    let client = app.authorization_server.clients.find_enabled(&claims.client_id).await?;
    let is_own = live.epoch.is_none();
    let client = client.filter(|client| !is_own || client.may_use(GrantType::ClientCredentials));
    let has = |word: &str| {
        granted.contains(word) && client.as_ref().is_some_and(|client| client.scope.contains(word))
    };
    if has(scope::ADMIN) || (is_own && own.is_some_and(has)) {
        Ok(actor)
    } else {
        Err(BearerError::NotAdministrator.into())
    }
}
