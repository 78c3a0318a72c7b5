//! Mail that is asked for by an address: to prove it, or to change to it. Invariant: a request
//! costs the same whether there is an account or not, and only the mail shows the result.

use super::Accounts;
use crate::base::time::Timestamp;
use crate::domain::audit::{Initiator, Kind};
use crate::domain::outbox::{self, Entry};
use crate::domain::users::{Email, User};
use crate::storage::StorageError;

impl Accounts {
    /// Sends a token that proves the address, if it is of an account or a sign-up and not proven yet.
    pub async fn ask_verification(
        &self,
        email: &Email,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let entry = self.entry(outbox::Kind::Verification, email.address(), now);
        self.outbox.ask(&entry, now).await
    }

    /// Asks to give `user` the address `new`: a token goes there, and a notice to the present one.
    /// The answer does not show whether it is taken. It takes the place of what was asked before:
    /// an address that was mistyped is not to be had any more. `false` where that was asked too
    /// often.
    pub async fn ask_email_change(
        &self,
        user: &User,
        new: &Email,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let entry = |kind, address| Entry {
            user_id: Some(user.id),
            epoch: Some(user.session_epoch),
            ..self.entry(kind, address, now)
        };
        let asked = entry(outbox::Kind::EmailChange, new.address());
        let notice = entry(outbox::Kind::EmailChangeAsked, &user.email);
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

    /// A message to an address of which nothing more is known.
    pub(super) fn entry(&self, kind: outbox::Kind, recipient: &str, now: Timestamp) -> Entry {
        let id = self.random.uuid_at(now);
        Entry { id, kind, recipient: recipient.to_owned(), user_id: None, epoch: None }
    }
}
