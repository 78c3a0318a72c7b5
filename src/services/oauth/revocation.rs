//! Token revocation (RFC 7009). A refresh token's session ends; of an access token, it alone, but
//! for the eleventh of one session, which ends the session. A token of another issuer, whose key is
//! published here to verify, ends alone always: whatever it says of users and sessions is not Signet's
//! word.

use super::{AuthorizationServer, CheckError, TokenError};
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind, Origin};
use crate::domain::clients::Client;
use crate::domain::login_limits::{Limited, Revoker};
use crate::domain::revocations::{ForeignToken, RevokedToken, TokenRevocation, TooMany};
use crate::domain::tokens::{Claims, LEEWAY, Policy, RefreshToken};

/// Section 2.1: a token of another client is refused, and the client told.
const NOT_YOURS: TokenError = TokenError::InvalidGrant("the token was issued to another client");

/// The identifiers of another issuer's token go to every resource server, and into the stores.
const NOT_RECORDED: TokenError = TokenError::InvalidRequest(
    "the token is another issuer's, and is not told to resource servers: its jti and sub must have 1 \
     to 128 characters, and no control characters",
);
/// The characters that such an identifier may have.
const LONGEST_FOREIGN_ID: usize = 128;

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
            self.revoke_session(client, refresh, origin, now).await
        } else if let Ok(claims) = self.access_tokens.verify_with(LEEWAY, token, now) {
            self.revoke_access_token(client, claims, origin, now).await
        } else {
            Ok(())
        }
    }

    async fn revoke_session(
        &self,
        client: &Client,
        refresh: RefreshToken,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        let session = self.sessions.find(refresh.user_id, refresh.sid, now).await?;
        if session.as_ref().is_some_and(|session| session.client_id != client.client_id) {
            return Err(NOT_YOURS);
        }
        self.check_revocation_limit(Revoker::Session(refresh.sid), now)?;
        let Some(session) = session else {
            // It may be one that the store has lost, whose access tokens resource servers still
            // accept. The token proves that there was such a session.
            self.sessions.record_lost(refresh.user_id, refresh.sid, now).await?;
            return Ok(());
        };
        self.sessions.revoke(session.user_id, session.sid, now).await?;
        let (subject, sid) = (session.user_id.to_string(), session.sid.to_string());
        self.revoked(Kind::SessionRevoked, client, subject, sid, origin, now).await;
        Ok(())
    }

    async fn revoke_access_token(
        &self,
        client: &Client,
        claims: Claims,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        if claims.client_id != client.client_id {
            return Err(NOT_YOURS);
        }
        if claims.foreign {
            return self.revoke_foreign_token(client, claims, origin, now).await;
        }
        let revoked = self.end_token(&claims, now).await?;
        let (kind, what) = match revoked {
            TokenRevocation::Covered => return Ok(()),
            TokenRevocation::Session { sid, .. } => (Kind::SessionRevoked, sid.to_string()),
            TokenRevocation::Token | TokenRevocation::Subject => (Kind::TokenRevoked, claims.jti),
        };
        self.revoked(kind, client, claims.sub, what, origin, now).await;
        Ok(())
    }

    async fn revoke_foreign_token(
        &self,
        client: &Client,
        claims: Claims,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        if !is_recordable(&claims.jti) || !is_recordable(&claims.sub) {
            return Err(NOT_RECORDED);
        }
        self.check_revocation_limit(Revoker::Key(claims.kid.clone()), now)?;
        // The other issuer writes whatever end into its tokens.
        let latest = now.plus(Policy::MAX_ACCESS_TOKEN_LIFETIME);
        let token = ForeignToken {
            jti: claims.jti,
            subject: claims.sub,
            kid: claims.kid,
            ends_at: claims.exp.min(latest).plus(LEEWAY),
        };
        match self.sessions.revoke_foreign_token(&token, now).await? {
            Ok(TokenRevocation::Covered) => Ok(()),
            Ok(_) => {
                let ForeignToken { jti, kid, .. } = token;
                self.revoked(Kind::TokenRevoked, client, kid, jti, origin, now).await;
                Ok(())
            }
            Err(TooMany) => Err(TokenError::Limited(Limited::FOR_A_MOMENT)),
        }
    }

    /// Ends the access token with these claims, within the limit of its session or client; of many
    /// of one session, the session ends.
    pub async fn end_token(
        &self,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<TokenRevocation, CheckError> {
        let client_id = || claims.client_id.clone();
        let revoker = claims.sid.map_or_else(|| Revoker::Client(client_id()), Revoker::Session);
        self.check_revocation_limit(revoker, now)?;
        let token = RevokedToken {
            jti: claims.jti.clone(),
            subject: claims.sub.clone(),
            session: claims.sid,
            issued_at: claims.iat,
            ends_at: claims.exp.plus(LEEWAY),
        };
        Ok(self.sessions.revoke_token(&token, now).await?)
    }

    /// Everything that a revocation adds goes to every resource server, hence the limit.
    fn check_revocation_limit(&self, revoker: Revoker, now: Timestamp) -> Result<(), CheckError> {
        self.revocation_limit.take(revoker, now).map_err(CheckError::Limited)
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
        let by = &Initiator::client(&client.client_id, origin.clone());
        let event = Event::new(kind, by).about(subject).client(&client.client_id).detail(what);
        self.audit.record(event, now).await;
    }
}

/// Whether an identifier that another issuer made may be put on record.
fn is_recordable(id: &str) -> bool {
    let length = id.chars().take(LONGEST_FOREIGN_ID + 1).count();
    (1..=LONGEST_FOREIGN_ID).contains(&length) && !id.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_other_issuers_are_bounded() {
        let (longest, longer) = ("é".repeat(128), "é".repeat(129));
        for good in ["a", "urn:uuid:7", &longest] {
            assert!(is_recordable(good), "{good}");
        }
        for bad in ["", "a\0b", "line\nline", &longer] {
            assert!(!is_recordable(bad), "{bad:?}");
        }
    }
}
