//! For operators: whether the process lives, whether it can serve, and what it counts.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Answer, Problem};
use super::revocations::Listeners;
use crate::app::Issuer;
use crate::base::metrics::Readings;

/// The state of the process.
#[derive(Serialize, ToSchema)]
pub(super) struct HealthBody {
    /// `live` or `ready`.
    status: &'static str,
}

/// Whether the process lives
#[utoipa::path(
    get, path = "/health/live", tag = "Operation",
    responses((status = 200, description = "It does", body = HealthBody))
)]
pub(super) async fn live() -> HttpResponse {
    answer("live")
}

/// Whether requests can be served now
///
/// False while a needed store does not answer, and while the process is about to stop.
#[utoipa::path(
    get, path = "/health/ready", tag = "Operation",
    responses(
        (status = 200, description = "They can", body = HealthBody),
        (status = 503, description = "They cannot; the detail says why"),
    )
)]
pub(super) async fn ready(app: Data<Issuer>) -> Answer {
    if app.is_draining() {
        return Err(Problem::unavailable("draining"));
    }
    let sessions = &app.stores.sessions;
    let (database, session_store) =
        futures_util::future::join(app.db.check_health(), sessions.check_health()).await;
    for (name, result) in [("database", database), ("session store", session_store)] {
        if let Err(error) = result {
            return Err(Problem::unavailable(format!("the {name} is not usable")).because(&error));
        }
    }
    if !sessions.is_restored().await.unwrap_or(false) {
        return Err(Problem::unavailable("what is revoked is being written back"));
    }
    let ring = app.keys.ring();
    if ring.active(app.keys.policy().algorithms.default, app.clock.now()).is_none() {
        return Err(Problem::unavailable("the key that is to sign does not open here"));
    }
    Ok(answer("ready"))
}

fn answer(status: &'static str) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(HealthBody { status })
}

/// What the process counts
#[utoipa::path(
    get, path = "/metrics", tag = "Operation",
    responses(
        (status = 200, description = "Prometheus text format", body = String,
            content_type = "text/plain"),
    )
)]
pub(super) async fn metrics(app: Data<Issuer>, listeners: Data<Listeners>) -> Answer {
    let [refreshes_limited, revocations_limited] = app.authorization_server.limited();
    let [sign_ups_limited, mails_limited, own_changes_limited] = app.self_service.limited();
    let readings = Readings {
        hashes_waiting: app.hashing.waiting() as f64,
        hashes: app.hashing.computed() as f64,
        logins_limited: app.login_limits.limited() as f64,
        refreshes_limited: refreshes_limited as f64,
        revocations_limited: revocations_limited as f64,
        sign_ups_limited: sign_ups_limited as f64,
        mails_limited: mails_limited as f64,
        own_changes_limited: own_changes_limited as f64,
        revocations: app.revocations.count() as f64,
        revocations_age: app.revocations.age().as_secs_f64(),
        listeners: listeners.count() as f64,
        keys_unverified: app.keys.count_unverified() as f64,
    };
    let text = app.metrics.render(readings).map_err(|error| Problem::internal().because(&error))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}
