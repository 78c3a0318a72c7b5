//! A forgotten password: a token is mailed to the account's address, and whoever presents it sets a
//! new one. Whatever ends all sessions also ends every token that was asked for before.

use super::Accounts;
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::audit::Initiator;
use crate::domain::login_limits::LoginLimits;
use crate::domain::users::{MailedToken, PendingToken, Purpose, Redemption, User};
use crate::storage::Stored;

/// What a mailed token may set a password for.
pub(crate) enum Resettable {
    Account(MailedToken, Box<User>),
    /// An address that is only signed up: who reads its mail gets the account.
    SignUp(PendingToken),
}

impl Resettable {
    pub(crate) fn email(&self) -> &str {
        match self {
            Self::Account(_, user) => &user.email,
            Self::SignUp(token) => &token.email,
        }
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
        Ok(found.filter(|found| match found {
            Resettable::Account(token, user) => {
                token.purpose == Purpose::ResetPassword && token.fits(user)
            }
            Resettable::SignUp(token) => token.purpose == Purpose::ResetPassword,
        }))
    }

    /// The record of `token`, whatever it is for.
    pub(super) async fn find_mailed(
        &self,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Stored<Option<Resettable>> {
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        if let Some(token) = self.users.find_token(&fingerprint, now).await? {
            let user = self.users.find(token.user_id).await?;
            return Ok(user.map(|user| Resettable::Account(token, Box::new(user))));
        }
        Ok(self.users.find_pending_token(&fingerprint, now).await?.map(Resettable::SignUp))
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
        match found {
            Resettable::Account(token, user) => {
                self.redeem(token, user, Redemption::Reset(hash), attempts, by).await
            }
            Resettable::SignUp(token) => self.sign_up_anew(token, hash, attempts, by).await,
        }
    }
}
