//! A forgotten password: a token is mailed to the account's address, and whoever presents it sets a
//! new one. Whatever ends all sessions also ends every token that was asked for before.

use super::Accounts;
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::audit::Initiator;
use crate::domain::login_limits::LoginLimits;
use crate::domain::users::{MailedToken, Purpose, Redemption, TokenOwner, User};
use crate::storage::Stored;

pub(crate) struct Resettable {
    pub(super) token: MailedToken,
    /// The account; of an address that is only signed up, who reads its mail gets it.
    pub(crate) user: Option<User>,
}

impl Resettable {
    pub(crate) fn email(&self) -> &str {
        self.user.as_ref().map_or(&self.token.email, |user| &user.email)
    }
}

impl Accounts {
    /// What `token` may set a password for now; nothing is used up yet.
    pub(crate) async fn find_password_reset(
        &self,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Stored<Option<Resettable>> {
        let found = self.find_mailed(token, now).await?;
        Ok(found.filter(|Resettable { token, user }| {
            token.purpose == Purpose::ResetPassword
                && user.as_ref().is_none_or(|user| token.fits(user))
        }))
    }

    /// The record of `token`, whatever it is for.
    pub(super) async fn find_mailed(
        &self,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Stored<Option<Resettable>> {
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        let Some(token) = self.users.find_token(&fingerprint, now).await? else { return Ok(None) };
        let TokenOwner::User(id) = token.owner else {
            return Ok(Some(Resettable { token, user: None }));
        };
        let user = self.users.find(id).await?;
        Ok(user.map(|user| Resettable { token, user: Some(user) }))
    }

    /// Redeems the token of `found` for a new password, ends all sessions, forgets the wrong
    /// passwords and notifies the user; of an address that is only signed up, makes the account.
    /// `false` when the token was used, or the account has changed, since it was found.
    pub(crate) async fn reset_password(
        &self,
        found: &Resettable,
        hash: &Secret<String>,
        attempts: &LoginLimits,
        by: &Initiator,
    ) -> Stored<bool> {
        let Resettable { token, user } = found;
        match user {
            Some(user) => self.redeem(token, user, Redemption::Reset(hash), attempts, by).await,
            None => self.sign_up_anew(token, hash, attempts, by).await,
        }
    }
}
