//! Token introspection (RFC 7662), for siblings that must know now. Whatever is not a live token
//! is inactive, without a reason (section 2.2).

use super::{AuthorizationServer, TokenError, target};
use crate::base::time::Timestamp;
use crate::domain::clients::{Client, ClientType, Method};
use crate::domain::sessions::Live;
use crate::domain::tokens::Claims;
use crate::storage::StorageError;

/// What is known of a token.
pub enum Introspection {
    /// Not a live token, or not this client's to ask about.
    Inactive,
    /// A live access token.
    AccessToken(Box<Claims>),
    /// A live refresh token of the client that asks.
    RefreshToken {
        /// The user.
        sub: String,
        /// The client.
        client_id: String,
        /// What was granted.
        scope: String,
        /// When it was issued.
        iat: Timestamp,
        /// When it ends unless used before.
        exp: Timestamp,
    },
}

impl AuthorizationServer {
    /// What `token` is worth now. Only confidential clients may ask: an open endpoint would let
    /// anybody try tokens (section 2.1).
    pub async fn introspect(
        &self,
        client: &Client,
        method: Method,
        token: &str,
        now: Timestamp,
    ) -> Result<Introspection, TokenError> {
        if client.client_type == ClientType::Public {
            return Err(TokenError::InvalidClient { basic: method == Method::Basic });
        }
        if let Some((claims, _)) = self.live_access_token(token, now).await? {
            return Ok(Introspection::AccessToken(Box::new(claims)));
        }
        self.introspect_refresh_token(client, token, now).await
    }

    /// The claims of `token` and what it rests on, if it is good, was not revoked, and its session
    /// and client are live.
    pub async fn live_access_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<(Claims, Live)>, StorageError> {
        let Ok(claims) = self.access_tokens.verify(token, now) else { return Ok(None) };
        // What siblings refuse is refused here, even where the session store has lost its word on it.
        if self.revocations.covers(&claims) {
            return Ok(None);
        }
        let live = self.sessions.find_live(&claims.sub, claims.sid, &claims.jti, now).await?;
        let Some(live) = live else { return Ok(None) };
        let client = self.clients.find_enabled(&claims.client_id).await?;
        let same = client.is_some_and(|client| !client.is_younger_than(claims.iat));
        Ok(same.then_some((claims, live)))
    }

    async fn introspect_refresh_token(
        &self,
        client: &Client,
        token: &str,
        now: Timestamp,
    ) -> Result<Introspection, TokenError> {
        let Some(refresh) = self.refresh_tokens.parse(token) else {
            return Ok(Introspection::Inactive);
        };
        let session = self.sessions.find(refresh.user_id, refresh.sid, now).await?;
        Ok(match session {
            // Asking must not rotate, heal or end anything, so only the newest token counts.
            Some(session)
                if session.client_id == client.client_id
                    && session.current == refresh.generation =>
            {
                let scope = target::granted_scope(&session)?;
                Introspection::RefreshToken {
                    sub: session.user_id.to_string(),
                    iat: session.advanced_at,
                    exp: session.expires_at(self.sessions.policy()),
                    client_id: session.client_id,
                    scope: scope.to_string(),
                }
            }
            _ => Introspection::Inactive,
        })
    }
}
