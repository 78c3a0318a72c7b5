//! What a store of attempts must do: keep small texts by key, and put one in the place of another
//! only if that is still there. It decides nothing and reads no clock. An engine that does not
//! answer gives [`StorageError::Unavailable`], never an empty result; whether a change that was not
//! answered has happened is then unknown, and the callers bear both.

use crate::base::time::Timestamp;
use crate::storage::redis::Redis;
use crate::storage::{Db, StorageError};

use super::store_redis::RedisStore;
use super::store_sql::SqlStore;

/// The engine that keeps records.
pub enum Store {
    /// The SQL database.
    Sql(SqlStore),
    /// Redis.
    Redis(Box<RedisStore>),
}

impl Store {
    pub(super) fn in_sql(db: Db) -> Self {
        Self::Sql(SqlStore(db))
    }

    pub(super) fn in_redis(redis: Redis) -> Self {
        Self::Redis(Box::new(RedisStore::new(redis)))
    }

    /// The text under `key`, if there is any.
    pub(super) async fn load(&self, key: &str) -> Result<Option<String>, StorageError> {
        match self {
            Self::Sql(store) => store.load(key).await,
            Self::Redis(store) => store.load(key).await,
        }
    }

    /// Puts `next` under `key` until `expires_at` if `held`, or nothing for `None`, is what is
    /// there; `false` if not. Of many at once with the same `held`, exactly one succeeds.
    pub(super) async fn swap(
        &self,
        key: &str,
        held: Option<&str>,
        next: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        match self {
            Self::Sql(store) => store.swap(key, held, next, expires_at).await,
            Self::Redis(store) => store.swap(key, held, next, expires_at, now).await,
        }
    }

    /// Removes at most `limit` texts that have expired by `now`; how many it removed. A store that
    /// forgets by itself has nothing to do.
    pub(super) async fn purge(&self, now: Timestamp, limit: u32) -> Result<u64, StorageError> {
        match self {
            Self::Sql(store) => store.purge(now, limit).await,
            Self::Redis(_) => Ok(0),
        }
    }
}
