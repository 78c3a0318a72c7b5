//! Small records that expire, by key: texts that are inserted, replaced or taken in one atomic step
//! each. A record that has expired is absent, whether or not it was deleted yet. An engine that does
//! not answer gives [`StorageError::Unavailable`], never an empty result; whether a change that was
//! not answered has happened is then unknown.

mod redis;
mod sql;

use self::redis::RedisRecords;
use self::sql::SqlRecords;
use super::redis::Redis;
use super::{Db, StorageError};
use crate::base::time::Timestamp;

/// The engine that keeps records. Cheap to clone.
#[derive(Clone)]
pub enum Records {
    /// The SQL database.
    Sql(SqlRecords),
    /// Redis, which deletes what has expired by its own clock.
    Redis(RedisRecords),
}

impl Records {
    /// Records in the SQL database.
    pub fn in_sql(db: Db) -> Self {
        Self::Sql(SqlRecords(db))
    }

    /// Records in Redis.
    pub fn in_redis(redis: Redis) -> Self {
        Self::Redis(RedisRecords::new(redis))
    }

    /// The record of `key`.
    pub async fn find(&self, key: &str, now: Timestamp) -> Result<Option<String>, StorageError> {
        match self {
            Self::Sql(records) => records.find(key, now).await,
            Self::Redis(records) => records.find(key).await,
        }
    }

    /// Inserts `value` until `expires_at` unless `key` has a record; returns whether it did. Of
    /// concurrent calls exactly one succeeds.
    pub async fn insert_if_absent(
        &self,
        key: &str,
        value: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        match self {
            Self::Sql(records) => records.insert_if_absent(key, value, expires_at, now).await,
            Self::Redis(records) => records.insert_if_absent(key, value, expires_at, now).await,
        }
    }

    /// Replaces the record of `key` by `next` until `expires_at` if it is still `held`; returns
    /// whether it did. Of concurrent calls with the same `held` exactly one succeeds.
    pub async fn compare_and_swap(
        &self,
        key: &str,
        held: &str,
        next: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        match self {
            Self::Sql(records) => records.compare_and_swap(key, held, next, expires_at, now).await,
            Self::Redis(records) => {
                records.compare_and_swap(key, held, next, expires_at, now).await
            }
        }
    }

    /// Deletes the record of `key` and returns it. Of concurrent calls one gets it.
    pub async fn take(&self, key: &str, now: Timestamp) -> Result<Option<String>, StorageError> {
        match self {
            Self::Sql(records) => records.take(key, now).await,
            Self::Redis(records) => records.take(key).await,
        }
    }

    /// Deletes at most `limit` records that have expired; returns how many. Redis needs no help.
    pub async fn delete_expired(&self, now: Timestamp, limit: u32) -> Result<u64, StorageError> {
        match self {
            Self::Sql(records) => records.delete_expired(now, limit).await,
            Self::Redis(_) => Ok(0),
        }
    }
}
