//! The address of an account: sign-up where it has to be proven, the proof, and a change of it.
//! Invariant: what is asked for by an address costs the same whether there is an account or not, and
//! what it comes to is told by mail alone. A change and the letter that tells of it are one step.

use super::{Accounts, NewAccount};
use crate::audit::{Actor, By, Kind, Origin};
use crate::mail::{self, Entry};
use crate::secret::{Fingerprint, Secret};
use crate::storage::StorageError;
use crate::time::Timestamp;
use crate::users::{Email, MailedToken, Purpose, User};

impl Accounts {
    /// Makes an account whose address is yet to be proven, and writes to it. Where the address is
    /// taken, the letter says so instead, and nothing else tells the difference, time included.
    pub async fn sign_up(
        &self,
        new: NewAccount,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let user = self.new_user(new, now);
        let created = self
            .db
            .write(async |transaction| {
                let created = self.users.create_unless_taken_in(transaction, &user).await?;
                let kind =
                    if created { mail::Kind::Verification } else { mail::Kind::AccountExists };
                self.outbox.ask_in(transaction, &self.entry(kind, &user.email, now), now).await?;
                Ok(created)
            })
            .await?;
        self.outbox.wake();
        if created {
            // Beside the answer, whose time would tell.
            let (accounts, id, origin) = (self.clone(), user.id, origin.clone());
            tokio::spawn(async move {
                let by = By { actor: Actor::Anonymous, origin: &origin };
                accounts.record(Kind::UserCreated, id, by, now).await;
            });
        }
        Ok(())
    }

    /// Sends a token that proves the address, if it is of an account and not proven yet.
    pub async fn ask_verification(
        &self,
        email: &Email,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let entry = self.entry(mail::Kind::Verification, email.address(), now);
        self.outbox.ask(&entry, now).await
    }

    /// Asks to give `user` the address `new`: a token goes there, and a notice to the present one.
    /// Whether it is taken is not told. It takes the place of what was asked before: an address that
    /// was mistyped is not to be had any more. `false` where that was asked too often.
    pub async fn ask_email_change(
        &self,
        user: &User,
        new: &Email,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let entry = |kind, address| Entry {
            user_id: Some(user.id),
            epoch: Some(user.session_epoch),
            ..self.entry(kind, address, now)
        };
        let asked = entry(mail::Kind::EmailChange, new.address());
        let notice = entry(mail::Kind::EmailChangeAsked, &user.email);
        let admitted = self.db.write(async |transaction| {
            if !self.outbox.admit_in(transaction, &asked, user.id, now).await? {
                return Ok(false);
            }
            self.outbox.supersede_in(transaction, &asked).await?;
            self.users.end_other_changes_in(transaction, user.id, new.address(), now).await?;
            self.outbox.ask_in(transaction, &asked, now).await?;
            self.outbox.ask_in(transaction, &notice, now).await?;
            Ok(true)
        });
        if !admitted.await? {
            return Ok(false);
        }
        self.outbox.wake();
        self.record(Kind::EmailChangeAsked, user.id, by, now).await;
        Ok(true)
    }

    /// Redeems a token that was mailed to an address: it is the user's, or becomes so. `false` when
    /// the token is not good, for whatever reason.
    pub async fn confirm_email(
        &self,
        token: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        let Some(token) = self.users.find_token(&fingerprint, now).await? else {
            return Ok(false);
        };
        let Some(user) = self.users.find(token.user_id).await? else { return Ok(false) };
        let (done, kind) = match token.purpose {
            Purpose::VerifyEmail => (self.verify_email(&token, now).await?, Kind::EmailVerified),
            Purpose::ChangeEmail => {
                (self.change_email(&token, &user, now).await?, Kind::EmailChanged)
            }
            Purpose::ResetPassword => return Ok(false),
        };
        if done {
            self.outbox.wake();
            let by = By { actor: Actor::User(user.id), origin };
            self.record(kind, user.id, by, now).await;
        }
        Ok(done)
    }

    async fn verify_email(
        &self,
        token: &MailedToken,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.db
            .write(async |transaction| {
                Ok(self.users.redeem_in(transaction, token, now).await?
                    && self.users.verify_email_in(transaction, token, now).await?)
            })
            .await
    }

    /// Other tokens of the account were mailed to the address of before, or would change it once
    /// more: they end.
    async fn change_email(
        &self,
        token: &MailedToken,
        user: &User,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let notice = Entry {
            user_id: Some(user.id),
            ..self.entry(mail::Kind::EmailChanged, &user.email, now)
        };
        let changed = self
            .db
            .write(async |transaction| {
                let changed = self.users.redeem_in(transaction, token, now).await?
                    && self.users.change_email_in(transaction, token, &user.email, now).await?;
                if changed {
                    self.users.end_tokens_in(transaction, user.id, now).await?;
                    self.outbox.tell_in(transaction, &notice, now).await?;
                }
                Ok(changed)
            })
            .await;
        match changed {
            // Somebody else has the address by now.
            Err(StorageError::Conflict) => Ok(false),
            changed => changed,
        }
    }

    /// A letter to an address of which nothing more is known.
    pub(super) fn entry(&self, kind: mail::Kind, recipient: &str, now: Timestamp) -> Entry {
        let id = self.random.uuid_at(now);
        Entry { id, kind, recipient: recipient.to_owned(), user_id: None, epoch: None }
    }
}
