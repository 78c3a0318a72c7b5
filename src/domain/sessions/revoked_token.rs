//! The revocation of single access tokens.

use super::Sessions;
use crate::base::time::Timestamp;
use crate::domain::revocations::{ForeignToken, RevokedToken, TokenRevocation, TooMany};
use crate::storage::Stored;

impl Sessions {
    /// Revokes one access token. Beyond a number of tokens of one session, the session ends instead, as
    /// [`TokenRevocation`] says.
    pub async fn revoke_token(
        &self,
        token: &RevokedToken,
        now: Timestamp,
    ) -> Stored<TokenRevocation> {
        let RevokedToken { subject, jti, ends_at, .. } = token;
        if *ends_at <= now {
            return Ok(TokenRevocation::Covered);
        }
        let revoked = self.revocations.record_token(token, now).await?;
        if let TokenRevocation::Session { sid, user_id } = revoked {
            self.store.delete(user_id, sid).await?;
        } else {
            // Introspection refuses the token immediately, on every instance.
            self.store.revoke_token(subject, jti, *ends_at, now).await?;
        }
        Ok(revoked)
    }

    pub(crate) async fn revoke_foreign_token(
        &self,
        token: &ForeignToken,
        now: Timestamp,
    ) -> Stored<Result<TokenRevocation, TooMany>> {
        let revoked = self.revocations.record_foreign_token(token, now).await?;
        if revoked == Ok(TokenRevocation::Token) {
            self.store.revoke_token(&token.subject, &token.jti, token.ends_at, now).await?;
        }
        Ok(revoked)
    }
}
