//! Which rows of the database are keys: those whose tag verifies. Any other row is neither
//! published nor used, whatever it contains, and raises an alarm; the other keys continue without
//! it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::chain::{Chain, Owed};
use super::changes::{MAX_TRIES, Revoked, entries};
use super::store::{Head, Rows, StoredKey};
use super::tag::{self, TagError};
use super::{Algorithm, Keys, KeysError, full};
use crate::base::sealing::SealingKeys;
use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored};

/// How many characters of a name are logged, since whoever writes a row chooses its name.
const MAX_SHOWN_NAME: usize = 128;

/// A row that is not authentic.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) kid: String,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) error: TagError,
}

impl Refused {
    fn of(key: &StoredKey, error: TagError) -> Self {
        Self { kid: key.kid.clone(), algorithm: Some(key.algorithm), error }
    }

    pub(super) fn into_error(self) -> KeysError {
        KeysError::unverified(self.kid, self.error)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the key {} is not used: {}", shown(&self.kid), full(&self.error))
    }
}

/// The authentic keys that are not retired, and the rows that are not authentic.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Authentic, newest first.
    pub keys: Vec<StoredKey>,
    pub refused: Vec<Refused>,
}

impl Published {
    /// A row of `algorithm` that may be a key of an instance with another key-encryption key. While
    /// such a row exists no new key is made. If the authentic keys are a whole chain, the row is
    /// not one of its keys, since whoever changes a chain writes the neighbouring rows as well.
    pub(super) fn undecided(&self, algorithm: Algorithm, now: Timestamp) -> Option<&Refused> {
        let is_whole = || Chain::new(entries(self.keys.clone(), algorithm), now).is_whole(now);
        let may_be =
            |row: &&Refused| row.algorithm == Some(algorithm) && row.error.missing_key().is_some();
        self.refused.iter().find(may_be).filter(|_| !is_whole())
    }

    pub(super) fn into_refusal(self) -> KeysError {
        self.refused.into_iter().next().map_or(KeysError::NoneActive, Refused::into_error)
    }
}

pub(crate) fn examine(sealing: &SealingKeys, rows: Rows) -> (Vec<StoredKey>, Vec<Refused>) {
    let unreadable = |kid| Refused { kid, algorithm: None, error: TagError::Unreadable };
    let mut refused: Vec<_> = rows.unreadable.into_iter().map(unreadable).collect();
    let mut keys = Vec::new();
    for key in rows.keys {
        match tag::check(sealing, &key) {
            Ok(()) => keys.push(key),
            Err(error) => refused.push(Refused::of(&key, error)),
        }
    }
    (keys, refused)
}

/// The same for all rows, to list them. Rows without a tag from before the upgrade that are retired
/// or revoked stay in the list, and have no effect.
pub(crate) fn examine_all(
    sealing: &SealingKeys,
    mut rows: Rows,
    now: Timestamp,
) -> (Vec<StoredKey>, Vec<Refused>) {
    let all = rows.keys.clone();
    rows.keys.retain(|key| key.tag.is_some() || key.is_published(now));
    let (_, refused) = examine(sealing, rows);
    let is_refused = |key: &StoredKey| refused.iter().any(|row| row.kid == key.kid);
    let listed = all.into_iter().filter(|key| !is_refused(key)).collect();
    (listed, refused)
}

/// The rows that are not authentic, as far as this process has seen them, with the reason.
#[derive(Debug, Default)]
pub(super) struct Alarms(Mutex<BTreeMap<String, String>>, Mutex<Option<Owed>>);

impl Alarms {
    /// Whether a handover that is out of bounds differs from the last one that was logged.
    fn note_handover(&self, owed: Option<Owed>) -> bool {
        let mut logged = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *logged, owed) != owed
    }

    /// Logs what is new in `refused`. If `refused` is complete, forgets every other row.
    fn note(&self, refused: &[Refused], are_all: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = BTreeMap::new();
        for row in refused {
            let kid = &row.kid;
            let reason = full(&row.error);
            if known.get(kid) != Some(&reason) {
                let kid = shown(kid);
                tracing::error!(
                    kid,
                    reason,
                    "a signing key in the database is not authentic: it is neither published nor used"
                );
            }
            seen.insert(kid.clone(), reason);
        }
        if are_all { *known = seen } else { known.append(&mut seen) }
    }
}

fn shown(kid: &str) -> String {
    kid.chars().take(MAX_SHOWN_NAME).flat_map(char::escape_debug).collect()
}

impl Keys {
    pub(super) fn tagged(&self, key: StoredKey) -> StoredKey {
        let tag = Some(tag::make(self.vault.sealing(), &key));
        StoredKey { tag, ..key }
    }

    pub(super) fn is_authentic(&self, key: &StoredKey) -> bool {
        tag::check(self.vault.sealing(), key).is_ok()
    }

    /// Whether a row is not authentic for any instance, by `is_decided`.
    pub(super) fn is_ignored(&self, key: &StoredKey, is_decided: bool) -> bool {
        let checked = tag::check(self.vault.sealing(), key);
        checked.is_err_and(|error| is_decided || error.missing_key().is_none())
    }

    /// The version of the keys of `algorithm`, and what they owe. Read it before the keys.
    pub(super) async fn head(&self, algorithm: Algorithm, now: Timestamp) -> Stored<Head> {
        let mut head = self.store.head(algorithm).await?;
        let bounded = head.owed.map(|owed| owed.bounded(now));
        if bounded != head.owed && self.alarms.note_handover(head.owed) {
            tracing::error!(
                %algorithm,
                handover = ?head.owed,
                "the stored handover of the signing keys is outside the bounds of any revocation: \
                 the nearest bound is used"
            );
        }
        head.owed = bounded;
        Ok(head)
    }

    /// Fails if this process may not recognise all keys of `algorithm`, since it lacks a
    /// key-encryption key that others have: a key that it made would be one too many for them.
    pub(super) async fn check_decided(
        &self,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<(), KeysError> {
        match self.published(now).await?.undecided(algorithm, now) {
            Some(undecided) => Err(KeysError::Undecided(undecided.to_string())),
            None => Ok(()),
        }
    }

    /// Revokes a row that is not authentic here: planted, changed, or under a key-encryption key
    /// that this process lacks. The other keys stay as they are; if one is missing, the next reload
    /// lets the spare sign.
    pub(super) async fn withdraw(
        &self,
        stored: StoredKey,
        error: &TagError,
        now: Timestamp,
    ) -> Result<Revoked, KeysError> {
        for _ in 0..MAX_TRIES {
            let from_version = self.store.head(stored.algorithm).await?.version;
            match self.store.withdraw(&stored, from_version, now).await {
                Err(StorageError::Conflict) => continue,
                Err(error) => return Err(error.into()),
                Ok(()) => break,
            }
        }
        let keys = self.published(now).await?.keys;
        let mut chain = Chain::new(entries(keys, stored.algorithm), now);
        chain.activate_spare(now);
        // The times in a row that is not authentic are not trusted either.
        let only_verified = error.missing_key().is_none() || stored.is_foreign();
        Ok(Revoked::of(stored.times, only_verified, stored.algorithm, &chain, now))
    }

    /// The keys that are not retired at `now`. Rows that are not authentic raise the alarm.
    pub(super) async fn published(&self, now: Timestamp) -> Stored<Published> {
        let rows = self.store.load_published(now, |key| self.is_authentic(key)).await?;
        let (keys, refused) = examine(self.vault.sealing(), rows);
        self.alarms.note(&refused, false);
        Ok(Published { keys, refused })
    }

    /// All present and former keys, newest first. Rows that are not authentic raise the alarm.
    pub async fn list(&self, now: Timestamp) -> Stored<Vec<StoredKey>> {
        let rows = self.store.load_all(|key| self.is_authentic(key)).await?;
        let (keys, refused) = examine_all(self.vault.sealing(), rows, now);
        self.alarms.note(&refused, true);
        Ok(keys)
    }

    /// The rows that are not authentic, with the reasons, as of the last complete read.
    pub fn unverified(&self) -> Vec<(String, String)> {
        let known = self.alarms.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(kid, reason)| (shown(kid), reason.clone())).collect()
    }

    pub(crate) fn count_unverified(&self) -> usize {
        self.alarms.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
