//! Token introspection (RFC 7662), for resource servers that cannot wait until a token expires.
//! Whatever is not a live token is inactive, without a reason (section 2.2).

use super::{AuthorizationServer, TokenError, target};
use crate::base::time::Timestamp;
use crate::domain::audit::Initiator;
use crate::domain::clients::{Client, ClientType, Credentials, Method};
use crate::domain::tokens::Claims;

pub(crate) enum Introspection {
    /// Not a live token, or not this client's to ask about.
    Inactive,
    AccessToken(Box<Claims>),
    /// A live refresh token of the client that asks.
    RefreshToken {
        sub: String,
        client_id: String,
        scope: String,
        iat: Timestamp,
        /// The end, unless the token is used before.
        exp: Timestamp,
    },
}

impl AuthorizationServer {
    /// The state of `token` now. Only confidential clients may ask: an open endpoint would let anybody
    /// try tokens (section 2.1). Authentication comes before the check for a missing token.
    pub(crate) async fn introspect(
        &self,
        credentials: Option<Credentials>,
        token: Option<&str>,
        by: &Initiator,
    ) -> Result<Introspection, TokenError> {
        let credentials = super::required(credentials)?;
        let client = self.client(&credentials, by).await?;
        let token = token.ok_or(TokenError::InvalidRequest("token is missing"))?;
        if client.client_type == ClientType::Public {
            return Err(TokenError::InvalidClient { basic: credentials.method == Method::Basic });
        }
        match self.authentication.find_live(token, by.at).await? {
            Some((claims, _)) => Ok(Introspection::AccessToken(Box::new(claims))),
            None => self.introspect_refresh_token(&client, token, by.at).await,
        }
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
        let session = self.stores.sessions.find(refresh.user_id, refresh.sid, now).await?;
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
                    exp: session.expires_at(self.stores.sessions.policy()),
                    client_id: session.client_id,
                    scope: scope.to_string(),
                }
            }
            _ => Introspection::Inactive,
        })
    }
}
