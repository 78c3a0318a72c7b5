//! Token revocation (RFC 7009). A refresh token's session ends; of an access token, it alone, but
//! for the eleventh of one session, which ends the session. A token of another issuer, whose key is
//! published here to verify, always ends alone: Signet does not vouch for what it says of users and
//! sessions.

use super::{AuthorizationServer, CheckError, TokenError};
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::clients::{Client, Credentials};
use crate::domain::login_limits::{Limited, Revoker};
use crate::domain::revocations::{ForeignToken, RevokedToken, TokenRevocation, TooMany};
use crate::domain::tokens::{Claims, LEEWAY, Policy, RefreshToken};

/// The answer to a client that revokes a token of another client (section 2.1).
const NOT_YOURS: TokenError = TokenError::InvalidGrant("the token was issued to another client");

/// The identifiers of another issuer's token go to every resource server, and into the stores.
const NOT_RECORDED: TokenError = TokenError::InvalidRequest(
    "the token is another issuer's and is not published to resource servers: its jti and sub must \
     have 1 to 128 characters, and no control characters",
);
const MAX_FOREIGN_ID: usize = 128;

struct Revoked {
    kind: Kind,
    subject: String,
    what: String,
}

impl AuthorizationServer {
    /// Ends `token`. One that is unknown, malformed or expired is no error: it cannot be used, which
    /// is what the client wants (section 2.2). The kind is read from the token itself, so a wrong
    /// `token_type_hint` does no harm. Not to be cut off: the audit event follows the change.
    pub(crate) async fn revoke(
        &self,
        credentials: Option<Credentials>,
        token: &str,
        by: &Initiator,
    ) -> Result<(), TokenError> {
        let credentials = super::required(credentials)?;
        let client = self.client(&credentials, by).await?;
        let revoked = if let Some(refresh) = self.refresh_tokens.parse(token) {
            self.revoke_session(&client, refresh, by.at).await?
        } else if let Ok(claims) = self.access_tokens.verify_with(LEEWAY, token, by.at) {
            if claims.client_id != client.client_id {
                return Err(NOT_YOURS);
            }
            match claims.foreign {
                true => self.revoke_foreign_token(claims, by.at).await?,
                false => self.revoke_access_token(claims, by.at).await?,
            }
        } else {
            None
        };
        if let Some(Revoked { kind, subject, what }) = revoked {
            let by = &by.as_client(&client.client_id);
            let event = Event::new(kind, by).about(subject).client(&client.client_id);
            self.stores.audit.record(event.detail(what)).await;
        }
        Ok(())
    }

    async fn revoke_session(
        &self,
        client: &Client,
        refresh: RefreshToken,
        now: Timestamp,
    ) -> Result<Option<Revoked>, TokenError> {
        let RefreshToken { user_id, sid, .. } = refresh;
        let sessions = &self.stores.sessions;
        let session = sessions.find(user_id, sid, now).await?;
        if session.as_ref().is_some_and(|session| session.client_id != client.client_id) {
            return Err(NOT_YOURS);
        }
        self.check_revocation_limit(Revoker::Session(sid), now)?;
        if session.is_none() {
            // It may be one that the store has lost, whose access tokens resource servers still
            // accept. The token proves that there was such a session.
            sessions.record_lost(user_id, sid, now).await?;
            return Ok(None);
        }
        sessions.revoke(user_id, sid, now).await?;
        let (subject, what) = (user_id.to_string(), sid.to_string());
        Ok(Some(Revoked { kind: Kind::SessionRevoked, subject, what }))
    }

    async fn revoke_access_token(
        &self,
        claims: Claims,
        now: Timestamp,
    ) -> Result<Option<Revoked>, TokenError> {
        let (kind, what) = match self.end_token(&claims, now).await? {
            TokenRevocation::Covered => return Ok(None),
            TokenRevocation::Session { sid, .. } => (Kind::SessionRevoked, sid.to_string()),
            TokenRevocation::Token | TokenRevocation::Subject => (Kind::TokenRevoked, claims.jti),
        };
        Ok(Some(Revoked { kind, subject: claims.sub, what }))
    }

    async fn revoke_foreign_token(
        &self,
        claims: Claims,
        now: Timestamp,
    ) -> Result<Option<Revoked>, TokenError> {
        if !is_recordable(&claims.jti) || !is_recordable(&claims.sub) {
            return Err(NOT_RECORDED);
        }
        self.check_revocation_limit(Revoker::Key(claims.kid.clone()), now)?;
        // The other issuer decides on the end in its tokens.
        let latest = now.plus(Policy::MAX_ACCESS_TOKEN_LIFETIME);
        let token = ForeignToken {
            jti: claims.jti,
            subject: claims.sub,
            kid: claims.kid,
            ends_at: claims.exp.min(latest).plus(LEEWAY),
        };
        match self.stores.sessions.revoke_foreign_token(&token, now).await? {
            Ok(TokenRevocation::Covered) => Ok(None),
            Ok(_) => {
                let ForeignToken { jti: what, kid: subject, .. } = token;
                Ok(Some(Revoked { kind: Kind::TokenRevoked, subject, what }))
            }
            Err(TooMany) => Err(CheckError::Limited(Limited::FOR_A_MOMENT).into()),
        }
    }

    /// Ends the access token with these claims, within the limit of its session or client; of many
    /// of one session, the session ends.
    pub(crate) async fn end_token(
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
            issued_at: Some(claims.iat),
            ends_at: claims.exp.plus(LEEWAY),
        };
        Ok(self.stores.sessions.revoke_token(&token, now).await?)
    }

    /// Everything that a revocation adds goes to every resource server, hence the limit.
    fn check_revocation_limit(&self, revoker: Revoker, now: Timestamp) -> Result<(), CheckError> {
        self.revocation_limit.take(revoker, now).map_err(CheckError::Limited)
    }
}

/// Whether an identifier that another issuer made may be put on record.
fn is_recordable(id: &str) -> bool {
    let length = id.chars().take(MAX_FOREIGN_ID + 1).count();
    (1..=MAX_FOREIGN_ID).contains(&length) && !id.chars().any(char::is_control)
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
