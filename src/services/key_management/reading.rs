//! The keys of a database as they are stored, without opening any: also for an operator without the
//! key-encryption key, who cannot distinguish authentic rows from others.

use super::status::{self, KeyStatus};
use crate::base::sealing::SealingKeys;
use crate::base::time::Timestamp;
use crate::domain::keys::authentic::examine_all;
use crate::domain::keys::store::{KeyStore, Rows, StoredKey};
use crate::domain::keys::{Keys, KeysError, Policy, PublicKey, tag};
use crate::storage::{Db, StorageError, Stored};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the keys cannot be read")]
    Storage(#[from] StorageError),
    #[error("{0}")]
    NotAuthentic(String),
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The keys of a database, checked by a key-encryption key where one is at hand.
pub(crate) struct StoredKeys {
    store: KeyStore,
    sealing: Option<SealingKeys>,
}

impl StoredKeys {
    /// The keys of `db`, checked by `sealing`, but not before they were authenticated for the first
    /// time.
    pub(crate) async fn of(db: &Db, sealing: Option<SealingKeys>) -> Stored<Self> {
        let has_tags = !Keys::await_adoption(db).await?;
        Ok(Self { store: KeyStore::new(db.clone()), sealing: sealing.filter(|_| has_tags) })
    }

    /// All keys that there are or were, newest first, and which rows are none and why.
    pub(crate) async fn list(
        &self,
        policy: &Policy,
        now: Timestamp,
    ) -> Stored<(Vec<KeyStatus>, Vec<String>)> {
        let is_authentic = |key: &StoredKey| {
            self.sealing.as_ref().is_none_or(|sealing| tag::check(sealing, key).is_ok())
        };
        let rows = self.store.load_all(is_authentic).await?;
        let (keys, refused) = match &self.sealing {
            Some(sealing) => examine_all(sealing, rows, now),
            None => (rows.keys, Vec::new()),
        };
        let refused = refused.iter().map(ToString::to_string).collect();
        Ok((status::of_all(keys, policy, now), refused))
    }

    pub(crate) async fn find_public(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<PublicKey>, ReadError> {
        let Some(stored) = self.store.find(kid).await? else { return Ok(None) };
        if let Some(sealing) = &self.sealing {
            let rows = Rows { keys: vec![stored.clone()], ..Rows::default() };
            if let Some(refused) = examine_all(sealing, rows, now).1.first() {
                return Err(ReadError::NotAuthentic(refused.to_string()));
            }
        }
        Ok(Some(stored.public().map_err(KeysError::from)?))
    }
}
