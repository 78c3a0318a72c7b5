//! Mail that is asked for by an address: to prove it, or to change to it. Invariant: a request
//! costs the same whether there is an account or not, and only the mail shows the result.

use super::{Accounts, SelfService};
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::login_limits::Limited;
use crate::domain::outbox::{self, Entry, WINDOW};
use crate::domain::users::{Email, User};
use crate::services::authentication::CheckError;

impl SelfService {
    /// Asks for the mail to `email` with a token that proves the address, if it is of an account or a
    /// sign-up and not proven yet, or with one for a new password, if it is of an active account or a
    /// pending sign-up.
    pub(crate) async fn ask_mail(
        &self,
        kind: outbox::Kind,
        email: &Email,
        by: &Initiator,
    ) -> Result<(), CheckError> {
        self.admit_mail(by).await?;
        let entry = self.accounts.entry(kind, email.address(), by.at);
        self.accounts.outbox.ask(&entry, by.at).await?;
        if kind == outbox::Kind::PasswordReset {
            self.accounts.audit.record(Event::new(Kind::PasswordResetAsked, by)).await;
        }
        Ok(())
    }

    /// Asks to give `user`, who has confirmed it by the present password, the address `new`: a token
    /// goes there, and a notice to the present one. The answer does not show whether it is taken. It
    /// takes the place of what was asked before: an address that was mistyped is not to be had any more.
    pub(crate) async fn ask_email_change(
        &self,
        user: &User,
        new: &Email,
        by: &Initiator,
    ) -> Result<(), CheckError> {
        self.admit_confirmed_change(user, by).await?;
        let Accounts { db, users, outbox, .. } = &self.accounts;
        let entry = |kind, address| Entry {
            user_id: Some(user.id),
            epoch: Some(user.session_epoch),
            ..self.accounts.entry(kind, address, by.at)
        };
        let asked = entry(outbox::Kind::EmailChange, new.address());
        let notice = entry(outbox::Kind::EmailChangeAsked, &user.email);
        let admitted = db.write(async |transaction| {
            if !outbox.admit_in(transaction, &asked, user.id, by.at).await? {
                return Ok(false);
            }
            outbox.supersede_in(transaction, &asked).await?;
            users.end_other_changes_in(transaction, user.id, new.address(), by.at).await?;
            outbox.ask_in(transaction, &asked, by.at).await?;
            outbox.ask_in(transaction, &notice, by.at).await?;
            Ok(true)
        });
        if !admitted.await? {
            return Err(CheckError::Limited(Limited { retry_after: WINDOW.as_secs() }));
        }
        outbox.wake();
        self.accounts.record(Kind::EmailChangeAsked, user.id, by).await;
        Ok(())
    }
}

impl Accounts {
    /// A message to an address of which nothing more is known.
    pub(super) fn entry(&self, kind: outbox::Kind, recipient: &str, now: Timestamp) -> Entry {
        let id = self.random.uuid_at(now);
        Entry { id, kind, recipient: recipient.to_owned(), user_id: None, epoch: None }
    }
}
