//! A forgotten password: a token goes to the account's address, and whoever shows it sets a new one.
//! What ends all sessions also ends every token that was asked for before.

use super::Accounts;
use crate::audit::{Actor, By, Event, Kind, Origin};
use crate::mail::{self, Entry};
use crate::secret::{Fingerprint, Secret};
use crate::storage::StorageError;
use crate::time::Timestamp;
use crate::users::{Email, MailedToken, Purpose, User};

impl Accounts {
    /// Sends a token for a new password, if the address is of an active account. The same work
    /// either way.
    pub async fn ask_password_reset(
        &self,
        email: &Email,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let entry = self.entry(mail::Kind::PasswordReset, email.address(), now);
        self.outbox.ask(&entry, now).await?;
        let event = Event {
            kind: Kind::PasswordResetAsked,
            actor: Actor::Anonymous,
            subject: None,
            client_id: None,
            detail: None,
            origin,
        };
        self.audit.record(event, now).await;
        Ok(())
    }

    /// Whose password `token` may set now; nothing is used up yet.
    pub async fn find_password_reset(
        &self,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Result<Option<(MailedToken, User)>, StorageError> {
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        let Some(token) = self.users.find_token(&fingerprint, now).await? else { return Ok(None) };
        let user = self.users.find(token.user_id).await?;
        let good = user.filter(|user| token.purpose == Purpose::ResetPassword && token.fits(user));
        Ok(good.map(|user| (token, user)))
    }

    /// Redeems `token` for a new password, ends all sessions, and tells the user. `false` when the
    /// token was used, or the account has changed, since it was found.
    pub async fn reset_password(
        &self,
        token: &MailedToken,
        user: &User,
        hash: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let notice = Entry {
            user_id: Some(user.id),
            ..self.entry(mail::Kind::PasswordChanged, &user.email, now)
        };
        let change = self.db.write(async |transaction| {
            let changed = self.users.redeem_in(transaction, token, now).await?
                && self.users.reset_password_in(transaction, token, hash, now).await?;
            if changed {
                self.users.end_tokens_in(transaction, user.id, now).await?;
                self.outbox.tell_in(transaction, &notice, now).await?;
            }
            Ok(changed)
        });
        let by = By { actor: Actor::User(user.id), origin };
        let done = self.ending_sessions(change, Kind::PasswordReset, user.id, by, now).await?;
        if done {
            self.outbox.wake();
        }
        Ok(done)
    }
}
