//! Sorting: from "someone asked for mail to this address" to a message for a user, or to nothing.
//! The message goes to the address as the account has it, never as it was typed: two that compare
//! the same may be two mailboxes.

use uuid::Uuid;

use super::Notifier;
use crate::base::time::Timestamp;
use crate::domain::outbox::{Entry, Kind};
use crate::domain::users::{User, email};
use crate::storage::{StorageError, Stored};

const BATCH: i64 = 100;

impl Notifier {
    /// Sorts what waits for it, up to a bound; returns whether there may be more.
    pub(crate) async fn sort(&self, now: Timestamp) -> Stored<bool> {
        let rows = self.outbox.unsorted(BATCH).await?;
        let rows: Vec<_> = rows.into_iter().map(|row| row.entry).collect();
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
        rows: &'a [Entry],
        now: Timestamp,
    ) -> Stored<Vec<&'a Entry>> {
        let keys_of = |asked: &Entry| match asked.user_id {
            Some(_) => Vec::new(),
            None => email::stored_keys(&asked.recipient),
        };
        let keys: Vec<_> = rows.iter().flat_map(keys_of).collect();
        let known = self.users.known_email_keys(&keys, now).await?;
        let is_deliverable = |asked: &&Entry| {
            asked.user_id.is_some() || keys_of(asked).iter().any(|key| known.contains(key))
        };
        let (others, undeliverable): (Vec<_>, Vec<_>) = rows.iter().partition(is_deliverable);
        let ids: Vec<_> = undeliverable.iter().map(|asked| asked.id).collect();
        self.outbox.remove_unsorted(&ids).await?;
        Ok(others)
    }

    async fn sort_one(&self, asked: &Entry, now: Timestamp) -> Stored<()> {
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
    async fn is_due(&self, message: &ToSend, now: Timestamp) -> Stored<bool> {
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

    /// What is to be sent for `asked`; `None` for nothing. A sign-up's mail carries a token, and
    /// `asked.user_id` is the id of the sign-up.
    async fn message_for(&self, asked: &Entry, now: Timestamp) -> Stored<Option<ToSend>> {
        let key = email::key_of(&asked.recipient);
        let Some(asker) = asked.user_id else {
            return match self.users.find_by_address(&asked.recipient).await? {
                Some(user) if user.is_active() => Ok(for_address(asked, &user)),
                Some(_) => Ok(None),
                None => self.message_for_pending(asked, key, now).await,
            };
        };
        if asked.kind == Kind::SignUp {
            return Ok(match self.users.find_by_address(&asked.recipient).await? {
                Some(holder) => account_exists(asked, &holder, None),
                None => Some(ToSend::new(asked.clone(), vec![key])),
            });
        }
        let user = self.users.find(asker).await?;
        // Nothing has ended what was asked for.
        let Some(user) = user.filter(|user| user.is_in(asked.epoch)) else { return Ok(None) };
        let subjects = match asked.kind {
            Kind::EmailChange => {
                let holder = self.users.find_by_address(&asked.recipient).await?;
                if let Some(holder) = holder.filter(|holder| holder.id != user.id) {
                    return Ok(account_exists(asked, &holder, Some(&user)));
                }
                // The account that asks for many addresses was counted when it asked.
                vec![key]
            }
            // As often as a change was asked for: the owner of the account gets a notice of each.
            Kind::EmailChangeAsked => Vec::new(),
            _ => vec![user.id.to_string()],
        };
        Ok(Some(ToSend::new(asked.clone(), subjects)))
    }

    /// What a caller who knows an address that is only signed up may have sent to it: a token that
    /// is for none of its sign-ups more than for another.
    async fn message_for_pending(
        &self,
        asked: &Entry,
        key: String,
        now: Timestamp,
    ) -> Stored<Option<ToSend>> {
        let kind = match asked.kind {
            Kind::Verification => Kind::SignUp,
            Kind::PasswordReset => Kind::PasswordReset,
            _ => return Ok(None),
        };
        let newest = self.users.find_pending(&key, now).await?.into_iter().next();
        Ok(newest.map(|signup| {
            let entry =
                Entry { id: asked.id, kind, recipient: signup.email, user_id: None, epoch: None };
            ToSend { entry, counted_as: asked.kind, subjects: vec![key] }
        }))
    }
}

struct ToSend {
    entry: Entry,
    counted_as: Kind,
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

fn for_address(asked: &Entry, user: &User) -> Option<ToSend> {
    let epoch = (asked.kind == Kind::PasswordReset).then_some(user.session_epoch);
    let is_proven = asked.kind == Kind::Verification && user.email_verified_at.is_some();
    let entry = to(asked.id, asked.kind, user, epoch);
    (!is_proven).then(|| ToSend::new(entry, vec![user.id.to_string()]))
}

/// The notice to `holder`, who has the address that somebody signs up with or `asker` wants.
fn account_exists(asked: &Entry, holder: &User, asker: Option<&User>) -> Option<ToSend> {
    let subjects = [Some(holder), asker].into_iter().flatten().map(|user| user.id.to_string());
    let entry = to(asked.id, Kind::AccountExists, holder, None);
    holder.is_active().then(|| ToSend::new(entry, subjects.collect()))
}

fn to(id: Uuid, kind: Kind, user: &User, epoch: Option<i64>) -> Entry {
    Entry { id, kind, recipient: user.email.clone(), user_id: Some(user.id), epoch }
}
