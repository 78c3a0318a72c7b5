//! Brute-force protection (OWASP ASVS 6.3.1, NIST SP 800-63B section 3.2.2): how often a password
//! may be guessed, for an account and from a network. Every attempt is reserved in one atomic step
//! before its hash is computed and settled after it, so guesses side by side count like guesses one
//! after the other. Also how often one session may be refreshed and its tokens revoked, and how often a
//! network or a user may ask for other work that costs something (`limit`).
//!
//! Invariants: no more hashes are computed for wrong passwords than the policy allows, whatever runs
//! side by side, on however many instances. Attempts wait for those in flight instead of being
//! refused, so right passwords side by side all get in. Nothing is locked for good: waits have a
//! longest, failures are forgotten, and no stranger's failure counts against a network that the
//! account is known to sign in from.

mod gate;
mod limit;
mod names;
mod policy;
mod record;
mod records;
mod refreshes;
mod tally;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::time::Timestamp;
use crate::storage::records::Records as Store;
use crate::storage::redis::Redis;
use crate::storage::{Db, StorageError};
use gate::Entered;
use record::{Record, Reserved};
use records::Records;
use tally::Verdict;

pub use limit::{Limit, LimitPolicy, Limits};
pub use names::{Account, Names, Network};
pub use policy::{Delays, Free, Policy};
pub use record::Outcome;
pub use refreshes::{RatePolicy, RefreshLimit, RevocationLimit, Revoker};

/// How long an attempt waits for those in flight, or before it, until it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks for what other instances have settled.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// To an attempt that has waited, or would have to wait, for too long.
const COME_BACK: Result<Attempt, AttemptError> = Err(AttemptError::Limited(Limited::FOR_A_MOMENT));

/// Until when a record is to be kept.
type ExpiresAt = fn(&Record, Timestamp, &Policy) -> Timestamp;
const ACCOUNT: ExpiresAt = Record::account_expires_at;
const NETWORK: ExpiresAt = Record::network_expires_at;

/// The attempts of this service. Cheap to clone.
#[derive(Clone)]
pub struct Attempts(Arc<Shared>);

struct Shared {
    records: Records,
    names: Names,
    policy: Policy,
    limited: AtomicU64,
}

/// An attempt that may be made. What is not settled counts as failed, and holds its place for up to
/// a minute.
#[must_use = "an attempt holds its place until it is settled"]
pub struct Attempt(Option<Place>);

struct Place {
    lane: Entered,
    account: Entered,
    of_account: Reserved,
    network: Entered,
    of_network: Reserved,
    /// What the account's record calls the network.
    name: String,
    clock: Moving,
}

/// Why an attempt may not be made.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// Not now.
    #[error("too many attempts")]
    Limited(Limited),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Come back later: the same to everybody, whether the account exists and the password is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Seconds, at least one.
    pub retry_after: u64,
}

impl Limited {
    /// Where there is no telling how long it will be.
    pub const FOR_A_MOMENT: Self = Self { retry_after: 1 };
}

/// The present moment of somebody who waits.
#[derive(Clone, Copy)]
struct Moving {
    began_at: Timestamp,
    began: Instant,
}

impl Moving {
    fn now(&self) -> Timestamp {
        self.began_at.plus(self.began.elapsed())
    }
}

impl Attempts {
    /// Attempts in the SQL database.
    pub fn in_sql(db: Db, names: Names, policy: Policy) -> Self {
        Self::new(Store::in_sql(db), names, policy)
    }

    /// Attempts in Redis.
    pub fn in_redis(redis: Redis, names: Names, policy: Policy) -> Self {
        Self::new(Store::in_redis(redis), names, policy)
    }

    fn new(store: Store, names: Names, policy: Policy) -> Self {
        let (records, limited) = (Records::new(store), AtomicU64::default());
        Self(Arc::new(Shared { records, names, policy, limited }))
    }

    /// What accounts and networks go by here.
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// Reserves an attempt at `account` from `network`, after waiting for those in flight that
    /// decide whether it may be made. To be settled once the password has been checked.
    pub async fn reserve(
        &self,
        account: &Account,
        network: &Network,
        now: Timestamp,
    ) -> Result<Attempt, AttemptError> {
        if !self.0.policy.enabled {
            return Ok(Attempt(None));
        }
        let clock = Moving { began_at: now, began: Instant::now() };
        let result = self.reserve_in_turn(account, network, clock).await;
        if let Err(AttemptError::Limited(_)) = result {
            self.0.limited.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn reserve_in_turn(
        &self,
        account: &Account,
        network: &Network,
        clock: Moving,
    ) -> Result<Attempt, AttemptError> {
        let name = network.short().to_owned();
        let lane = self.0.records.enter(&format!("{} {name}", account.key()));
        let account = self.0.records.enter(account.key());
        let outages = lane.gate.outages.load(Ordering::Relaxed);
        let deadline = clock.began + PATIENCE;
        let (of_account, network, of_network) = {
            let Some(_turn) = lane.turn(deadline).await else { return COME_BACK };
            loop {
                // Without this, all who wait would find out for themselves, each for a second.
                if lane.gate.outages.load(Ordering::Relaxed) != outages {
                    let cause = "the store did not answer the attempt before";
                    return Err(StorageError::Unavailable(cause.into()).into());
                }
                match self.place(&account, network, clock.now()).await {
                    Ok(Ok(placed)) => break placed,
                    Ok(Err(Verdict::Refused(retry_after))) => {
                        return Err(AttemptError::Limited(Limited { retry_after }));
                    }
                    Ok(Err(_)) if Instant::now() >= deadline => return COME_BACK,
                    Ok(Err(_)) => {
                        // Either way it is time to look again.
                        let settled = lane.gate.settled.notified();
                        let _ = tokio::time::timeout(LOOK_EVERY, settled).await;
                    }
                    Err(error) => {
                        lane.gate.outages.fetch_add(1, Ordering::Relaxed);
                        return Err(error.into());
                    }
                }
            }
        };
        Ok(Attempt(Some(Place { lane, account, of_account, network, of_network, name, clock })))
    }

    /// Reserves in both records, or in none. Who is refused has changed nothing, so that refusals
    /// cost little and nobody's wait begins anew.
    async fn place(
        &self,
        account: &Entered,
        network: &Network,
        now: Timestamp,
    ) -> Result<Result<(Reserved, Entered, Reserved), Verdict>, StorageError> {
        let (name, policy) = (network.short(), &self.0.policy);
        let at_account = |record: Record| record.reserve_account(name, now, policy);
        let from_network = |record: Record| record.reserve_network(now, policy);
        let network = self.0.records.enter(network.key());
        if let Err(verdict) = self.0.records.look(account, now, at_account).await? {
            return Ok(Err(verdict));
        }
        // Who is refused need not wait in line to hear it, nor stand in anybody's way.
        if network.gate.record.try_lock().is_err()
            && let Err(verdict) = self.0.records.look(&network, now, from_network).await?
        {
            return Ok(Err(verdict));
        }
        let of_network = match self.change(&network, NETWORK, now, from_network).await? {
            Ok(reserved) => reserved,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let refused = match self.change(account, ACCOUNT, now, at_account).await {
            Ok(Ok(of_account)) => return Ok(Ok((of_account, network, of_network))),
            Ok(Err(verdict)) => Ok(Err(verdict)),
            Err(error) => Err(error),
        };
        let back = self.settle_network(&network, of_network, Outcome::NotMade, now).await;
        refused.and_then(|verdict| back.map(|()| verdict))
    }

    /// Says how an attempt ended. Those who wait for it go on.
    pub async fn settle(&self, attempt: Attempt, outcome: Outcome) -> Result<(), StorageError> {
        let Attempt(Some(place)) = attempt else { return Ok(()) };
        let Place { lane, account, of_account, network, of_network, name, clock } = place;
        let (now, policy) = (clock.now(), &self.0.policy);
        let settle = |record: Record| {
            Ok((record.settle_account(&name, of_account, outcome, now, policy), ()))
        };
        let in_account = self.change(&account, ACCOUNT, now, settle);
        let in_network = self.settle_network(&network, of_network, outcome, now);
        let (in_account, in_network) = futures_util::future::join(in_account, in_network).await;
        lane.gate.settled.notify_one();
        // Nothing stands in the way of it, so a verdict says no more than that it is done.
        in_account.map(drop).and(in_network)
    }

    async fn settle_network(
        &self,
        network: &Entered,
        reserved: Reserved,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let policy = &self.0.policy;
        let settle =
            |record: Record| Ok((record.settle_network(reserved, outcome, now, policy), ()));
        self.change(network, NETWORK, now, settle).await.map(drop)
    }

    /// Forgets all failures at `account`. Networks that it signs in from stay known.
    pub async fn unlock(&self, account: &Account, now: Timestamp) -> Result<(), StorageError> {
        let entered = self.0.records.enter(account.key());
        let unlock = |record: Record| Ok((record.unlock(now, &self.0.policy), ()));
        self.change(&entered, ACCOUNT, now, unlock).await.map(drop)
    }

    async fn change<T>(
        &self,
        entered: &Entered,
        expires_at: ExpiresAt,
        now: Timestamp,
        decide: impl Fn(Record) -> Result<(Record, T), Verdict>,
    ) -> Result<Result<T, Verdict>, StorageError> {
        let expires_at = |record: &Record| expires_at(record, now, &self.0.policy);
        self.0.records.change(entered, expires_at, now, decide).await
    }

    /// Removes at most `limit` records that say nothing any more; how many.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Result<u64, StorageError> {
        self.0.records.purge(now, limit).await
    }

    /// How many attempts were refused.
    pub fn limited(&self) -> u64 {
        self.0.limited.load(Ordering::Relaxed)
    }
}
