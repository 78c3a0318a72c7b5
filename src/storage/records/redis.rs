//! Records in Redis: texts under `signet:{key}`, each of which expires. No command touches two of
//! them, so a cluster may keep each on any node. The caller passes the time; Redis's clock is never
//! asked for it.

use std::sync::Arc;

use redis::{Script, cmd};

use crate::base::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::redis::Redis;

/// Records in a Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisRecords {
    redis: Redis,
    compare_and_swap: Arc<Script>,
}

impl RedisRecords {
    /// Creates the records in `redis`. The script is loaded at its first use.
    pub(super) fn new(redis: Redis) -> Self {
        let compare_and_swap = Script::new(include_str!("compare_and_swap.lua")).into();
        Self { redis, compare_and_swap }
    }

    pub(super) async fn find(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.redis.query(cmd("GET").arg(full(key))).await
    }

    pub(super) async fn insert_if_absent(
        &self,
        key: &str,
        value: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let mut set = cmd("SET");
        set.arg(full(key)).arg(value).arg("NX").arg("EX").arg(seconds(expires_at, now));
        let done: Option<String> = self.redis.query(&set).await?;
        Ok(done.is_some())
    }

    pub(super) async fn compare_and_swap(
        &self,
        key: &str,
        held: &str,
        next: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let mut call = self.compare_and_swap.key(full(key));
        self.redis.invoke(call.arg(held).arg(next).arg(seconds(expires_at, now))).await
    }

    pub(super) async fn take(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.redis.query(cmd("GETDEL").arg(full(key))).await
    }
}

fn full(key: &str) -> String {
    format!("signet:{key}")
}

/// The lifetime of a record in seconds, at least 1: Redis refuses 0.
fn seconds(expires_at: Timestamp, now: Timestamp) -> u64 {
    expires_at.since(now).as_secs().max(1)
}
