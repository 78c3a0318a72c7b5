//! How often one session may be refreshed, and how often one session's or client's tokens may be
//! revoked: token buckets, far above what any client needs, so that only one that runs in circles
//! is slowed down. By session or client and never by address, behind which there may be many;
//! each instance counts for itself, and forgets a bucket as soon as it is full again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::Limited;
use crate::base::time::Timestamp;

/// Fewer buckets than this are not worth looking through.
const FEW: usize = 1024;

/// The size of a burst, and the rate a second that may go on for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RatePolicy {
    enabled: bool,
    burst: u32,
    per_second: u32,
}

impl RatePolicy {
    /// Checks the bounds; the error names the setting, with the sentence for the operator.
    pub(crate) fn new(
        enabled: bool,
        burst: u32,
        per_second: u32,
    ) -> Result<Self, (&'static str, String)> {
        for (name, number) in [("burst", burst), ("per_second", per_second)] {
            if !(1..=1_000_000).contains(&number) {
                return Err((name, "must be from 1 to 1000000".into()));
            }
        }
        Ok(Self { enabled, burst, per_second })
    }
}

/// The limit on the refreshes of a session, by `sid`.
pub(crate) type RefreshLimit = RateLimit<Uuid>;
pub(crate) type RevocationLimit = RateLimit<Revoker>;

/// The owner of the bucket that a revocation draws on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Revoker {
    /// The session of a user's token, by `sid`.
    Session(Uuid),
    /// The client of its own token, by `client_id`.
    Client(String),
    /// The key of another issuer that signed the token, by `kid`.
    Key(String),
}

/// A token bucket for each `K` that did something a moment ago.
pub(crate) struct RateLimit<K> {
    policy: RatePolicy,
    buckets: Mutex<Buckets<K>>,
    limited: AtomicU64,
}

struct Buckets<K> {
    spent: HashMap<K, Spent>,
    /// How many buckets there may be before the full ones are looked for.
    look_at: usize,
}

/// What is missing from a full bucket, as it was at that time.
#[derive(Clone, Copy)]
struct Spent {
    tokens: u32,
    at: Timestamp,
}

impl Spent {
    fn at(self, now: Timestamp, policy: &RatePolicy) -> u32 {
        let seconds = u32::try_from(now.since(self.at).as_secs()).unwrap_or(u32::MAX);
        self.tokens.saturating_sub(seconds.saturating_mul(policy.per_second))
    }
}

impl<K: Eq + Hash> RateLimit<K> {
    pub(crate) fn new(policy: RatePolicy) -> Self {
        let buckets = Mutex::new(Buckets { spent: HashMap::new(), look_at: 0 });
        Self { policy, buckets, limited: AtomicU64::default() }
    }

    /// Takes a token out of the bucket of `key`, if there is one left.
    pub(crate) fn take(&self, key: K, now: Timestamp) -> Result<(), Limited> {
        if !self.policy.enabled {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.spent.len() >= buckets.look_at {
            buckets.spent.retain(|_, spent| spent.at(now, &self.policy) > 0);
            // Looked through again once there are twice as many: the cost is shared by all of them.
            buckets.look_at = (2 * buckets.spent.len()).max(FEW);
        }
        let bucket = buckets.spent.entry(key).or_insert(Spent { tokens: 0, at: now });
        let tokens = bucket.at(now, &self.policy);
        if tokens >= self.policy.burst {
            self.limited.fetch_add(1, Ordering::Relaxed);
            return Err(Limited::FOR_A_MOMENT);
        }
        // A clock that was set back must not give a second's tokens twice.
        *bucket = Spent { tokens: tokens + 1, at: bucket.at.max(now) };
        Ok(())
    }

    pub(crate) fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(burst: u32, per_second: u32) -> RefreshLimit {
        RefreshLimit::new(RatePolicy::new(true, burst, per_second).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_764_547_200 + seconds)
    }

    #[test]
    fn a_session_in_a_loop_is_slowed_down_and_no_other() {
        let limit = limit(5, 2);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let taken = |sid, now| (0..20).filter(|_| limit.take(sid, at(now)).is_ok()).count();
        assert_eq!(taken(one, 0), 5);
        assert_eq!(limit.take(one, at(0)), Err(Limited { retry_after: 1 }));
        assert_eq!(taken(other, 0), 5);
        assert_eq!(taken(one, 1), 2);
        assert_eq!(taken(one, 3), 4);
        assert_eq!(taken(one, 100), 5);
        assert_eq!(taken(one, 50), 0, "a clock that went back");
        assert_eq!(limit.limited(), 15 + 1 + 15 + 18 + 16 + 15 + 20);
    }

    #[test]
    fn sessions_at_rest_are_forgotten() {
        let limit = limit(10, 10);
        for number in 0..100_000_u128 {
            limit.take(Uuid::from_u128(number), at(number as i64 / 500)).unwrap();
        }
        let kept = limit.buckets.lock().unwrap().spent.len();
        assert!(kept <= 2 * FEW, "{kept}");
    }

    #[test]
    fn it_can_be_switched_off() {
        let limit = RefreshLimit::new(RatePolicy::new(false, 1, 1).unwrap());
        assert!((0..100).all(|_| limit.take(Uuid::nil(), at(0)).is_ok()));
    }
}
