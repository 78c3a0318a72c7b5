//! Token revocation (RFC 7009). A refresh token's session ends; of an access token, it alone.

use super::{AuthorizationServer, TokenError};
use crate::audit::{Actor, Event, Kind, Origin};
use crate::clients::Client;
use crate::time::Timestamp;
use crate::tokens::LEEWAY;

/// Section 2.1: a token of another client is refused, and the client told.
const NOT_YOURS: TokenError = TokenError::InvalidGrant("the token was issued to another client");

impl AuthorizationServer {
    /// Ends `token`. One that is unknown, malformed or over is no error: it is not usable, which
    /// is what the client wants (section 2.2). The kind is told from the token itself, so a wrong
    /// `token_type_hint` does no harm.
    pub async fn revoke(
        &self,
        client: &Client,
        token: &str,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        if let Some(refresh) = self.refresh_tokens.parse(token) {
            let session = self.sessions.find(refresh.user_id, refresh.sid, now).await?;
            let Some(session) = session else {
                // It may be one that the store has lost, whose access tokens siblings still accept.
                // The token proves that there was such a session.
                self.sessions.tell_ended(refresh.user_id, refresh.sid, now).await?;
                return Ok(());
            };
            if session.client_id != client.client_id {
                return Err(NOT_YOURS);
            }
            self.sessions.revoke(session.user_id, session.sid, now).await?;
            let subject = session.user_id.to_string();
            self.revoked(
                Kind::SessionRevoked,
                client,
                subject,
                session.sid.to_string(),
                origin,
                now,
            )
            .await;
        } else if let Ok(claims) = self.access_tokens.verify_with(LEEWAY, token, now) {
            if claims.client_id != client.client_id {
                return Err(NOT_YOURS);
            }
            let until = claims.exp.plus(LEEWAY);
            self.sessions.revoke_token(&claims.sub, &claims.jti, until, now).await?;
            self.revoked(Kind::TokenRevoked, client, claims.sub, claims.jti, origin, now).await;
        }
        Ok(())
    }

    async fn revoked(
        &self,
        kind: Kind,
        client: &Client,
        subject: String,
        what: String,
        origin: &Origin,
        now: Timestamp,
    ) {
        let event = Event {
            kind,
            actor: Actor::Client(client.client_id.clone()),
            subject: Some(subject),
            client_id: Some(&client.client_id),
            detail: Some(what),
            origin,
        };
        self.audit.record(event, now).await;
    }
}
