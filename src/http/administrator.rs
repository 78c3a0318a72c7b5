//! Who administers Signet by a request: a user with a role that carries the scope for it, or a
//! client in its own name, either with that scope.

use actix_web::HttpRequest;

use super::bearer::BearerError;
use super::signed_in::{self, NotSignedIn};
use crate::app::App;
use crate::audit::Actor;
use crate::clients::GrantType;
use crate::time::Timestamp;
use crate::tokens::{Scope, scope};

/// The administrator that `request` speaks for. A token tells what was granted once; what its
/// client and its user may do now counts as well.
pub async fn administrator(
    app: &App,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<Actor, NotSignedIn> {
    let (claims, live) = signed_in::claims(app, request, now).await?;
    let actor = match live.epoch {
        // Nobody's token but a client's own is without a session.
        None if claims.sub == claims.client_id => Actor::Client(claims.sub.clone()),
        None => return Err(BearerError::NotAdministrator.into()),
        Some(epoch) => {
            let user = signed_in::user_of(app, &claims, epoch).await?;
            if !app.authorization_server.holds(&user, scope::ADMIN).await? {
                return Err(BearerError::NotAdministrator.into());
            }
            Actor::User(user.id)
        }
    };
    let client = app.authorization_server.clients.find_enabled(&claims.client_id).await?;
    let is_own = live.epoch.is_none();
    let client_may = client.is_some_and(|client| {
        let may_act = !is_own || client.may_use(GrantType::ClientCredentials);
        may_act && client.scope.contains(scope::ADMIN)
    });
    let granted = Scope::parse(&claims.scope).unwrap_or_default().contains(scope::ADMIN);
    if granted && client_may { Ok(actor) } else { Err(BearerError::NotAdministrator.into()) }
}
