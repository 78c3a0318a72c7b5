//! Bearers of access tokens at Signet's own endpoints. A token shows what was granted once; what its
//! session, client and user may do now counts as well.

use uuid::Uuid;

use super::Authentication;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Event, Initiator, Kind};
use crate::domain::clients::GrantType;
use crate::domain::sessions::Live;
use crate::domain::tokens::{Claims, Scope, scope};
use crate::domain::users::User;
use crate::storage::{StorageError, Stored};

/// Why a bearer token does not open an endpoint (RFC 6750 section 3.1).
#[derive(Debug, thiserror::Error)]
pub(crate) enum BearerError {
    #[error("a bearer token is needed")]
    Missing,
    #[error("present one bearer token, by one Authorization header")]
    Repeated,
    #[error("the access token is not valid")]
    Invalid,
    #[error("the access token was not issued to a user")]
    NotAUser,
    #[error("the access token lacks the scope openid")]
    NotOpenId,
    #[error(
        "administration needs a token with the scope signet:admin, asked for by name, and of a user \
         a role that carries it"
    )]
    NotAdministrator,
    #[error(
        "a client's own token cannot do this: an administrator does it with the current password, or \
         an operator at the command line"
    )]
    NotAPerson,
    #[error("the access token lacks the scope revocations:read")]
    NotListener,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

pub(crate) struct AdminRequest<'a> {
    pub(crate) token: &'a str,
    /// The scope word that admits a client in its own name as well, where there is one.
    pub(crate) own: Option<&'static str>,
    pub(crate) route: &'a str,
    pub(crate) by: Initiator,
}

impl Authentication {
    /// The claims of `token` and its session, if the token is good and not revoked, and its session
    /// and client are live. For whatever audience it is.
    pub(crate) async fn find_live(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Stored<Option<(Claims, Live)>> {
        let Ok(claims) = self.access_tokens.verify(token, now) else { return Ok(None) };
        // What resource servers refuse is refused here, even where the session store has lost it.
        if self.stores.revocations.covers(&claims) {
            return Ok(None);
        }
        let sessions = &self.stores.sessions;
        let live = sessions.find_live(&claims.sub, claims.sid, &claims.jti, now).await?;
        let Some(live) = live else { return Ok(None) };
        let client = self.stores.clients.find_enabled(&claims.client_id).await?;
        let same = client.is_some_and(|client| !client.is_younger_than(claims.iat));
        Ok(same.then_some((claims, live)))
    }

    /// The claims and the session of a live token that is meant for Signet.
    pub(crate) async fn bearer(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(Claims, Live), BearerError> {
        let (claims, live) = self.find_live(token, now).await?.ok_or(BearerError::Invalid)?;
        // What another issuer says of a user opens nothing here.
        if claims.foreign || !self.access_tokens.is_for_signet(&claims.aud) {
            return Err(BearerError::Invalid);
        }
        Ok((claims, live))
    }

    pub(crate) async fn user(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(User, Claims), BearerError> {
        let (claims, live) = self.bearer(token, now).await?;
        let epoch = live.epoch.ok_or(BearerError::NotAUser)?;
        Ok((self.user_of(&claims, epoch).await?, claims))
    }

    /// The user whose token has these claims and belongs to a session of `epoch`.
    async fn user_of(&self, claims: &Claims, epoch: i64) -> Result<User, BearerError> {
        let id: Uuid =
            claims.sub.parse().map_err(|_| StorageError::corrupt("sub of our own token"))?;
        let user = self.stores.users.find(id).await?;
        // The epoch counts even where a session's record has outlived it.
        let user = user.filter(|user| user.is_in(Some(epoch)));
        user.ok_or(BearerError::Invalid)
    }

    /// The administrator that a request comes from: a user with a role that carries the scope for it,
    /// or a client in its own name, either with that scope in a token for the audience of
    /// administration. A token that is good but does not administer is recorded in the audit trail.
    pub(crate) async fn administrator(
        &self,
        request: AdminRequest<'_>,
    ) -> Result<(Actor, Claims), BearerError> {
        let (claims, live) = self.bearer(request.token, request.by.at).await?;
        let admitted = self.admit(&claims, &live, request.own).await;
        if matches!(admitted, Err(BearerError::NotAdministrator)) {
            let actor = match claims.sub.parse() {
                Ok(user) if claims.sub != claims.client_id => Actor::User(user),
                _ => Actor::Client(claims.sub.clone()),
            };
            let by = &request.by.acting(actor);
            let event = Event::new(Kind::AdminRefused, by).client(&claims.client_id);
            self.stores.audit.record(event.detail(request.route.to_owned())).await;
        }
        Ok((admitted?, claims))
    }

    /// Who may administer by the token with these claims, whose session is `live`.
    async fn admit(
        &self,
        claims: &Claims,
        live: &Live,
        own: Option<&str>,
    ) -> Result<Actor, BearerError> {
        let granted = Scope::parse(&claims.scope).unwrap_or_default();
        if !self.access_tokens.is_for_administration(&claims.aud) {
            // One that has the word all the same was issued by a version that put no power into an
            // audience of its own; any other lacks the word, which brings the audience.
            return Err(match granted.is_administrative() {
                true => BearerError::Invalid,
                false => BearerError::NotAdministrator,
            });
        }
        let actor = match live.epoch {
            // Only a client's own token is without a session.
            None if claims.sub == claims.client_id => Actor::Client(claims.sub.clone()),
            None => return Err(BearerError::NotAdministrator),
            Some(epoch) => {
                let user = self.user_of(claims, epoch).await?;
                let catalogue = self.stores.roles.catalogue().await?;
                if !catalogue.holds(&user.roles, scope::ADMIN) {
                    return Err(BearerError::NotAdministrator);
                }
                Actor::User(user.id)
            }
        };
        let client = self.stores.clients.find_enabled(&claims.client_id).await?;
        let is_own = live.epoch.is_none();
        let client =
            client.filter(|client| !is_own || client.may_use(GrantType::ClientCredentials));
        let has = |word: &str| {
            granted.contains(word)
                && client.as_ref().is_some_and(|client| client.scope.contains(word))
        };
        match has(scope::ADMIN) || (is_own && own.is_some_and(has)) {
            true => Ok(actor),
            false => Err(BearerError::NotAdministrator),
        }
    }
}
