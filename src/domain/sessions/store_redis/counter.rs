//! Detects that Redis lost its last writes, where it does not show its process to this user. Each
//! instance has a counter of its own in Redis, which it raises once a second and after each write that
//! ends a session or token. Redis loses its newest writes first: where one of those is lost, so is the
//! increment that followed it, and the next increment returns a value that this instance has seen.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};

use redis::cmd;

use crate::base::random::Random;
use crate::storage::Stored;
use crate::storage::redis::Redis;

/// How long a counter outlives its instance, in seconds. A counter that expires too early looks like a
/// loss, which only costs a repair.
const LIFETIME: u64 = 86_400;
/// The number of increments after which the lifetime begins anew.
const RENEWED_EVERY: i64 = 100;
const PREFIX: &str = "counted:";

pub(super) struct Counter {
    key: String,
    runs: AtomicBool,
    seen: AtomicI64,
    /// Losses so far. A start counts as one, because earlier instances may have seen one.
    losses: AtomicU64,
    /// The loss after which revocations were last written back.
    repaired: AtomicU64,
}

impl Counter {
    pub(super) fn new() -> Self {
        Self {
            key: format!("signet:counter:{}", Random::system().uuid().simple()),
            runs: AtomicBool::new(false),
            seen: AtomicI64::new(0),
            losses: AtomicU64::new(1),
            repaired: AtomicU64::new(0),
        }
    }

    /// Raises the counter; returns `None` where nothing was lost since the last repair, else the name of
    /// the loss for [`repaired`](Self::repaired).
    pub(super) async fn lineage(&self, redis: &Redis) -> Stored<Option<String>> {
        self.runs.store(true, SeqCst);
        self.raise(redis).await?;
        let losses = self.losses.load(SeqCst);
        Ok((self.repaired.load(SeqCst) != losses).then(|| format!("{PREFIX}{losses}")))
    }

    pub(super) fn is_name(lineage: &str) -> bool {
        lineage.starts_with(PREFIX)
    }

    /// Marks the loss as repaired, by an increment that is lost with any of the repair's writes.
    pub(super) async fn repaired(&self, redis: &Redis, lineage: &str) -> Stored<()> {
        self.raise(redis).await?;
        if let Some(loss) = lineage.strip_prefix(PREFIX).and_then(|loss| loss.parse().ok()) {
            // A loss that came in between has a higher number, and is repaired next.
            self.repaired.fetch_max(loss, SeqCst);
        }
        Ok(())
    }

    /// Raises the counter after a write that must not be lost unnoticed.
    pub(super) async fn after_write(&self, redis: &Redis) {
        if self.runs.load(SeqCst) && self.raise(redis).await.is_err() {
            // It is not known whether the increment covers the write.
            self.losses.fetch_add(1, SeqCst);
        }
    }

    async fn raise(&self, redis: &Redis) -> Stored<()> {
        // Every value returned before this call is below the value that it returns.
        let seen = self.seen.load(SeqCst);
        let value: i64 = redis.query(cmd("INCR").arg(&self.key)).await?;
        if value > seen {
            self.seen.fetch_max(value, SeqCst);
        } else {
            self.losses.fetch_add(1, SeqCst);
            self.seen.store(value, SeqCst);
        }
        if value == 1 || value % RENEWED_EVERY == 0 {
            redis.query::<()>(cmd("EXPIRE").arg(&self.key).arg(LIFETIME)).await?;
        }
        Ok(())
    }
}
