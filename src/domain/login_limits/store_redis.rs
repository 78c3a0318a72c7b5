//! Attempts in Redis: `signet:a:name` for an account, `signet:n:name` for a network, and another
//! letter for each limit, each a text that lives until it says nothing any more. No script touches two of them, so a cluster may put
//! them where it likes. Times come with the call, never from Redis.

use redis::{Script, cmd};

use crate::base::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::redis::Redis;

/// The store over a Redis.
pub struct RedisStore {
    redis: Redis,
    swap: Script,
}

impl RedisStore {
    /// The store over `redis`. The script is loaded when it is first needed.
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis, swap: Script::new(include_str!("store_swap.lua")) }
    }

    pub(super) async fn load(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.redis.query(cmd("GET").arg(full(key))).await
    }

    pub(super) async fn swap(
        &self,
        key: &str,
        held: Option<&str>,
        next: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let mut call = self.swap.key(full(key));
        // No record is empty.
        call.arg(held.unwrap_or_default()).arg(next);
        self.redis.invoke(call.arg(expires_at.since(now).as_secs().max(1))).await
    }
}

fn full(key: &str) -> String {
    format!("signet:{key}")
}
