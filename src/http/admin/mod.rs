//! Endpoints for administrators, a file a thing; the same as the command line does. Each parses a
//! request, calls one use case in `services` and shows what it returns.

pub(super) mod audit;
pub(super) mod clients;
pub(super) mod keys;
pub(super) mod roles;
pub(super) mod sessions;
pub(super) mod users;

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::extract;
use super::finish::to_the_end;
use crate::app::Issuer;
use crate::domain::audit::{Actor, Initiator};

/// Runs `work`, a change in the name of `actor`, to its end, even if its caller hangs up.
async fn change<T: 'static, E: 'static>(
    app: &Data<Issuer>,
    request: &HttpRequest,
    actor: Actor,
    work: impl AsyncFnOnce(&Issuer, &Initiator) -> Result<T, E> + 'static,
) -> Result<T, E> {
    let (app, by) = (app.clone(), Initiator { actor, origin: extract::origin(request, app) });
    to_the_end(async move { work(&app, &by).await }).await
}
