//! Sorting: from "someone asked for mail to this address" to a message for a user, or to nothing.
//! The message goes to the address as the account has it, never as it was typed: two that compare
//! the same may be two mailboxes.

use uuid::Uuid;

use super::Notifier;
use crate::base::time::Timestamp;
use crate::domain::mail::{Entry, Kind, Waiting};
use crate::domain::users::{User, email};
use crate::storage::StorageError;

/// How many rows are sorted in one go.
const BATCH: i64 = 100;

impl Notifier {
    /// Sorts what waits for it, up to a bound; returns whether there may be more.
    pub async fn sort(&self, now: Timestamp) -> Result<bool, StorageError> {
        let rows = self.outbox.unsorted(BATCH).await?;
        let known = self.remove_undeliverable(&rows, now).await?;
        for asked in known {
            match self.sort_one(asked, now).await {
                Err(error @ StorageError::Unavailable(_)) => return Err(error),
                // One that cannot be read must not hold up the others.
                Err(error) => {
                    tracing::error!(mail = %asked.id, %error, "mail could not be sorted");
                    self.outbox.remove(asked.id).await?;
                }
                Ok(()) => {}
            }
        }
        Ok(i64::try_from(rows.len()).is_ok_and(|sorted| sorted == BATCH))
    }

    /// Removes those of `rows` that ask for mail to an address without an account or a sign-up, all in
    /// one statement: any caller can ask for many of them, and no mail is to wait for that. Returns
    /// the others.
    async fn remove_undeliverable<'a>(
        &self,
        rows: &'a [Waiting],
        now: Timestamp,
    ) -> Result<Vec<&'a Waiting>, StorageError> {
        let keys_of = |asked: &Waiting| match asked.user_id {
            Some(_) => Vec::new(),
            None => email::stored_keys(&asked.recipient),
        };
        let keys: Vec<_> = rows.iter().flat_map(keys_of).collect();
        let known = self.users.known_email_keys(&keys, now).await?;
        let is_deliverable = |asked: &&Waiting| {
            asked.user_id.is_some() || keys_of(asked).iter().any(|key| known.contains(key))
        };
        let (others, undeliverable): (Vec<_>, Vec<_>) = rows.iter().partition(is_deliverable);
        let ids: Vec<_> = undeliverable.iter().map(|asked| asked.id).collect();
        self.outbox.remove_unsorted(&ids).await?;
        Ok(others)
    }

    async fn sort_one(&self, asked: &Waiting, now: Timestamp) -> Result<(), StorageError> {
        let mut next = self.message_for(asked, now).await?;
        while let Some(message) = next {
            if self.is_due(&message, now).await? {
                return self.outbox.set_sorted(&message.entry, now).await;
            }
            next = message.instead();
        }
        self.outbox.remove(asked.id).await.map(drop)
    }

    /// Whether no message of the same kind waits already, and none of the recipients gets too many.
    async fn is_due(&self, message: &ToSend, now: Timestamp) -> Result<bool, StorageError> {
        let ToSend { entry, counted_as, subjects } = message;
        // What has no subjects was counted when it was asked for, and is sent each time.
        if !subjects.is_empty() && self.outbox.has_same(entry).await? {
            return Ok(false);
        }
        for subject in subjects {
            if !self.outbox.admit(*counted_as, subject, entry.id, now).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is to be sent for `asked`; `None` for nothing.
    async fn message_for(
        &self,
        asked: &Waiting,
        now: Timestamp,
    ) -> Result<Option<ToSend>, StorageError> {
        let key = email::key_of(&asked.recipient);
        if asked.kind == Kind::SignUp {
            return self.message_for_signup(asked, key).await;
        }
        let Some(asker) = asked.user_id else {
            return match self.users.find_by_address(&asked.recipient).await? {
                Some(user) if user.is_active() => Ok(for_address(asked, &user)),
                Some(_) => Ok(None),
                None => self.message_for_pending(asked, key, now).await,
            };
        };
        let user = self.users.find(asker).await?;
        let Some(user) = user.filter(|user| still_asks(asked, user)) else { return Ok(None) };
        let own = |kind| Entry {
            id: asked.id,
            kind,
            recipient: asked.recipient.clone(),
            user_id: Some(user.id),
            epoch: asked.epoch,
        };
        match asked.kind {
            Kind::EmailChange => {
                let holder = self.users.find_by_address(&asked.recipient).await?;
                match holder.filter(|holder| holder.id != user.id) {
                    Some(holder) if holder.is_active() => {
                        let exists = to(asked.id, Kind::AccountExists, &holder, None);
                        let subjects = vec![holder.id.to_string(), user.id.to_string()];
                        Ok(Some(ToSend::new(exists, subjects)))
                    }
                    Some(_) => Ok(None),
                    // The account that asks for many addresses was counted when it asked.
                    None => Ok(Some(ToSend::new(own(asked.kind), vec![key]))),
                }
            }
            // As often as a change was asked for: the owner of the account gets a notice of each.
            Kind::EmailChangeAsked => Ok(Some(ToSend::new(own(asked.kind), Vec::new()))),
            kind => Ok(Some(ToSend::new(own(kind), vec![user.id.to_string()]))),
        }
    }

    /// A sign-up's mail carries a token; where the address has an account, its holder gets a notice
    /// instead. `asked.user_id` is the id of the sign-up.
    async fn message_for_signup(
        &self,
        asked: &Waiting,
        key: String,
    ) -> Result<Option<ToSend>, StorageError> {
        Ok(match self.users.find_by_address(&asked.recipient).await? {
            Some(holder) if holder.is_active() => {
                let exists = to(asked.id, Kind::AccountExists, &holder, None);
                Some(ToSend::new(exists, vec![holder.id.to_string()]))
            }
            Some(_) => None,
            None => {
                let recipient = asked.recipient.clone();
                let (id, user_id) = (asked.id, asked.user_id);
                let entry = Entry { id, kind: Kind::SignUp, recipient, user_id, epoch: None };
                Some(ToSend::new(entry, vec![key]))
            }
        })
    }

    /// What a caller who knows an address that is only signed up may have sent to it: a token that
    /// is for none of its sign-ups more than for another.
    async fn message_for_pending(
        &self,
        asked: &Waiting,
        key: String,
        now: Timestamp,
    ) -> Result<Option<ToSend>, StorageError> {
        let kind = match asked.kind {
            Kind::Verification => Kind::SignUp,
            Kind::PasswordReset => Kind::PasswordReset,
            _ => return Ok(None),
        };
        let newest = self.users.find_pending(&key, now).await?.into_iter().next();
        Ok(newest.map(|signup| {
            let recipient = signup.email;
            let entry = Entry { id: asked.id, kind, recipient, user_id: None, epoch: None };
            ToSend { entry, counted_as: asked.kind, subjects: vec![key] }
        }))
    }
}

/// A row of the outbox as it is to be sent.
struct ToSend {
    entry: Entry,
    /// The kind of mail that it counts as.
    counted_as: Kind,
    /// The users and addresses that it counts against.
    subjects: Vec<String>,
}

impl ToSend {
    fn new(entry: Entry, subjects: Vec<String>) -> Self {
        Self { counted_as: entry.kind, entry, subjects }
    }

    /// What is sent where there were too many of these. Of sign-ups that is a token for none of
    /// them more than for another, as the address's owner could ask for one: a person who was kept
    /// from their own by a stranger's sign-ups proves theirs by it. It counts as what they would
    /// ask for, so that where it is not due either, such tokens have just been sent.
    fn instead(self) -> Option<Self> {
        let is_of_signup = self.entry.kind == Kind::SignUp && self.entry.user_id.is_some();
        let entry = Entry { user_id: None, ..self.entry };
        is_of_signup.then_some(Self { entry, counted_as: Kind::Verification, ..self })
    }
}

/// Whether `user` is who asked, and nothing has ended what was asked for.
fn still_asks(asked: &Waiting, user: &User) -> bool {
    user.is_active() && asked.epoch.is_none_or(|epoch| epoch == user.session_epoch)
}

/// What a caller who knows an address may have sent to it.
fn for_address(asked: &Waiting, user: &User) -> Option<ToSend> {
    let entry = match asked.kind {
        Kind::Verification if user.email_verified_at.is_some() => return None,
        Kind::PasswordReset => to(asked.id, asked.kind, user, Some(user.session_epoch)),
        kind => to(asked.id, kind, user, None),
    };
    Some(ToSend::new(entry, vec![user.id.to_string()]))
}

fn to(id: Uuid, kind: Kind, user: &User, epoch: Option<i64>) -> Entry {
    Entry { id, kind, recipient: user.email.clone(), user_id: Some(user.id), epoch }
}
