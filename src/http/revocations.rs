//! The revocation feed for resource servers: the snapshot at `GET /revocations`, and the stream of events
//! at `GET /revocations/stream`.

use actix_web::http::header::{self, ContentEncoding, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode, Version};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt, future};

use super::error::{Answer, Problem};
use super::extract::{self, Query};
use super::listeners::Places;
use super::{precondition, signed_in};
use crate::app::Issuer;
use crate::domain::revocations::LANE;
use crate::domain::tokens::{Claims, scope};
use crate::services::authentication::{BearerError, address_of};
use crate::storage::StorageError;

pub(super) struct Listeners {
    places: Places,
    cache_control: HeaderValue,
}

impl Listeners {
    pub(super) fn new(app: &Issuer) -> Self {
        let config = &app.config.revocations;
        let visibility = if config.open { "public" } else { "private" };
        let value = format!("{visibility}, max-age={}", config.max_age.as_secs());
        Self {
            places: Places::new(config.max_listeners, config.max_listeners_per_address),
            cache_control: value.parse().unwrap_or(HeaderValue::from_static("no-cache")),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.taken()
    }
}

/// Read the snapshot of the revocation feed
///
/// A signed snapshot (JWT, `typ` is `revocations+jwt`) of all access tokens that are revoked before their
/// `exp`: by session (`sid`), one by one (`jti`), by subject or client with the moment before which
/// they were issued (`sub`, `client_id`, `before`), or by signing key (`kid`). An entry may be
/// forgotten at its `exp`. `iss` and `aud` are the address of this document, which is no access token.
/// `Age` is the number of seconds since it was known to be complete.
#[utoipa::path(
    get, path = "/revocations", tag = "Revocation",
    params(("lane" = Option<String>, Query,
        description = "Which of the histories, \"0\" where none is named")),
    responses(
        (status = 200, description = "A compact JWS", body = String,
            content_type = "application/jwt"),
        (status = 304, description = "The snapshot is the one whose `ETag` came in `If-None-Match`"),
        (status = 400, description = "`lane` stands twice or is malformed"),
        (status = 404, description = "No lane has this name"),
        (status = 401, description = "A token is needed, where this is not open to all"),
        (status = 403, description = "The token lacks the scope `revocations:read`"),
        (status = 503, description = "No key can sign a snapshot now, or a store does not answer"),
    ),
    security((), ("service" = ["revocations:read"]))
)]
pub(super) async fn snapshot(
    app: Data<Issuer>,
    listeners: Data<Listeners>,
    request: HttpRequest,
) -> Answer {
    check_may_listen(&app, &request).await?;
    check_lane(&request)?;
    let made = app.revocations.snapshot(&app.signer, app.clock.now()).await;
    let (snapshot, age) = made.map_err(|error| {
        Problem::unavailable("no key can sign the snapshot now: try again later").because(&error)
    })?;
    let known = precondition::is_known(&request, &snapshot.etag);
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::CACHE_CONTROL, listeners.cache_control.clone()))
        .insert_header((header::ETAG, snapshot.etag.as_str()))
        .insert_header((header::AGE, age.as_secs()))
        .insert_header((header::VARY, "accept-encoding"));
    if known {
        return Ok(response.finish());
    }
    response.insert_header((header::CONTENT_TYPE, "application/jwt"));
    if !accepts_gzip(&request) {
        return Ok(response.body(snapshot.body.clone()));
    }
    response.insert_header(ContentEncoding::Gzip);
    let compressed = snapshot.gzip().await;
    Ok(response.body(compressed.map_err(|error| StorageError::Internal(error.into()))?))
}

/// There is one lane so far, whichever parameters else a cache or client adds.
fn check_lane(request: &HttpRequest) -> Result<(), Problem> {
    let mut query = Query::read(request);
    let lane = query.take("lane");
    if query.take("lane").is_some() {
        query.reject("lane", "must not stand twice");
        return query.finish();
    }
    match lane.as_deref() {
        None | Some(LANE) => Ok(()),
        Some(_) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "no lane of revocations has this name: use 0"))
        }
    }
}

/// RFC 9110 section 12.5.3.
fn accepts_gzip(request: &HttpRequest) -> bool {
    let mut any = false;
    let values = request.headers().get_all(header::ACCEPT_ENCODING);
    for coding in values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
        let wanted = weight.is_some_and(|weight: f32| weight > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// Follow the revocation feed
///
/// Server-sent events. `revocation`: a Security Event Token (RFC 8417, `typ` is `secevent+jwt`) with the
/// changes `first_seq` to `seq` of a `lane`, whose id is `lane:seq`, and whose `revocations` are entries
/// as in the snapshot. `snapshot`: earlier changes are in the snapshot of that `lane`, at `/revocations`.
/// `heartbeat`: there was nothing after `seq` as of `age` seconds ago. `Last-Event-ID` resumes. A stream
/// that is opened with a token ends when the token does. While the feed is open to all, places are kept
/// for holders of the scope `revocations:read`, and the number of streams from one address is limited. One
/// client has at most half of all.
#[utoipa::path(
    get, path = "/revocations/stream", tag = "Revocation",
    params(("Last-Event-ID" = Option<String>, Header,
        description = "The id of the last event that was received, `lane:seq`; a plain `seq` belongs to lane 0")),
    responses(
        (status = 200, description = "Events without end", body = String,
            content_type = "text/event-stream"),
        (status = 401, description = "A token is needed, where this is not open to all"),
        (status = 403, description = "The token lacks the scope `revocations:read`"),
        (status = 503, description = "Too many streams are open, from this address, of this \
            client or in all, or the service is about to stop"),
    ),
    security((), ("service" = ["revocations:read"]))
)]
pub(super) async fn stream(
    app: Data<Issuer>,
    listeners: Data<Listeners>,
    request: HttpRequest,
) -> Answer {
    let opened_by = listener(&app, &request).await?;
    let place = match &opened_by {
        Some(claims) => listeners.places.take(&claims.client_id),
        None => {
            listeners.places.take_as_stranger(address_of(&extract::caller(&request, &app)).ok())
        }
    };
    let place = place.ok_or_else(|| {
        Problem::unavailable(
            "too many streams are open, here, from this address or of this client: poll \
             /revocations",
        )
    })?;
    // Whatever it is otherwise, it is none of ours, and the listener starts from the snapshot.
    let last = request.headers().get("last-event-id");
    let last = last.and_then(|value| place_in_history(value.to_str().ok()?.trim()));
    let events = app.revocations.listen(last);
    let events = events.ok_or_else(|| Problem::unavailable("draining"))?;
    // Asked with every event, of which heartbeats are the least.
    let events = events.take_while(move |_| {
        future::ready(opened_by.as_ref().is_none_or(|claims| is_still_good(&app, claims)))
    });
    // The place is free again when the connection is dropped.
    let events = events.map(move |text| {
        let _held = &place;
        Ok::<_, std::convert::Infallible>(text)
    });
    let mut response = HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx would collect events before it passes them on.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events);
    if request.version() < Version::HTTP_11 {
        // RFC 9112 section 6.1: such a client knows no chunks. The stream ends with the connection.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// The number after which the stream resumes, from an event's id: `lane:seq`, or `seq` alone as
/// previous versions sent it. `None` for another lane, which this instance does not have.
fn place_in_history(id: &str) -> Option<i64> {
    let (lane, seq) = id.split_once(':').unwrap_or((LANE, id));
    seq.parse().ok().filter(|_| lane == LANE)
}

/// The claims of a listener who holds the scope `revocations:read`; `None` for a stranger, while the
/// feed is open to all.
async fn listener(app: &Issuer, request: &HttpRequest) -> Result<Option<Claims>, Problem> {
    if !app.config.revocations.open {
        return check_may_listen(app, request).await;
    }
    // A token that is not good opens no kept place, and takes away no one's right to listen.
    let claims = signed_in::claims(app, request, app.clock.now()).await;
    Ok(claims.ok().filter(may_listen))
}

/// Open to all who can reach it, or to holders of the scope `revocations:read`, whose claims it gives.
async fn check_may_listen(app: &Issuer, request: &HttpRequest) -> Result<Option<Claims>, Problem> {
    if app.config.revocations.open {
        return Ok(None);
    }
    let claims = signed_in::claims(app, request, app.clock.now()).await?;
    if may_listen(&claims) { Ok(Some(claims)) } else { Err(BearerError::NotListener.into()) }
}

fn may_listen(claims: &Claims) -> bool {
    claims.scope.split(' ').any(|word| word == scope::REVOCATIONS_READ)
}

fn is_still_good(app: &Issuer, claims: &Claims) -> bool {
    claims.exp > app.clock.now() && !app.revocations.covers(claims)
}
