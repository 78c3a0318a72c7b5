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

mod budget;
mod limit;
mod names;
mod policy;
mod queue;
mod record;
mod records;
mod refreshes;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::time::Timestamp;
use crate::storage::records::Records as Store;
use crate::storage::{StorageError, Stored};
use budget::Verdict;
use queue::Entered;
use record::{Record, Reserved};
use records::Records;

pub use limit::{Limit, LimitPolicy, Limits};
pub use names::{Account, Names, Network};
pub use policy::{Delays, Free, Policy};
pub use record::Outcome;
pub(crate) use refreshes::{RatePolicy, RefreshLimit, RevocationLimit, Revoker};

/// The longest wait of an attempt for those in flight or before it, until it is refused.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The time between two looks for what other instances have settled.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The answer to an attempt that has waited, or would have to wait, for too long.
const TRY_LATER: Result<Attempt, AttemptError> = Err(AttemptError::Limited(Limited::FOR_A_MOMENT));

type ExpiresAt = fn(&Record, Timestamp, &Policy) -> Timestamp;
const ACCOUNT: ExpiresAt = Record::account_expires_at;
const NETWORK: ExpiresAt = Record::network_expires_at;

/// The limits on attempts to check a password. Cheap to clone.
#[derive(Clone)]
pub struct LoginLimits(Arc<Shared>);

struct Shared {
    records: Records,
    names: Names,
    policy: Policy,
    limited: AtomicU64,
}

/// An attempt that may be made. Unsettled, it counts as failed after a minute at most.
#[must_use = "an attempt holds its place until it is settled"]
pub struct Attempt(Option<Place>);

struct Place {
    pair: Entered,
    account: Entered,
    of_account: Reserved,
    network: Entered,
    of_network: Reserved,
    name: String,
    clock: RunningClock,
}

/// Why an attempt may not be made.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// There were too many.
    #[error("too many attempts")]
    Limited(Limited),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The refusal of an attempt: the same whether or not the account exists and the password is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The seconds until the next attempt, at least one.
    pub retry_after: u64,
}

impl Limited {
    /// The shortest wait, where the real one is not known.
    pub const FOR_A_MOMENT: Self = Self { retry_after: 1 };
}

/// The present moment of an attempt that waits.
#[derive(Clone, Copy)]
struct RunningClock {
    began_at: Timestamp,
    began: Instant,
}

impl RunningClock {
    fn now(&self) -> Timestamp {
        self.began_at.plus(self.began.elapsed())
    }
}

impl LoginLimits {
    /// Attempts whose records are in `store`.
    pub fn new(store: Store, names: Names, policy: Policy) -> Self {
        let (records, limited) = (Records::new(store), AtomicU64::default());
        Self(Arc::new(Shared { records, names, policy, limited }))
    }

    pub(crate) fn names(&self) -> &Names {
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
        let clock = RunningClock { began_at: now, began: Instant::now() };
        let result = self.reserve_in_order(account, network, clock).await;
        if let Err(AttemptError::Limited(_)) = result {
            self.0.limited.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn reserve_in_order(
        &self,
        account: &Account,
        network: &Network,
        clock: RunningClock,
    ) -> Result<Attempt, AttemptError> {
        let name = network.short().to_owned();
        let pair = self.0.records.enter(&format!("{} {name}", account.0));
        let account = self.0.records.enter(&account.0);
        let outages = pair.queue.outages.load(Ordering::Relaxed);
        let deadline = clock.began + MAX_WAIT;
        let (of_account, network, of_network) = {
            let Some(_front) = pair.front(deadline).await else { return TRY_LATER };
            loop {
                // Otherwise each attempt that waits would find out for itself, in a second of its own.
                if pair.queue.outages.load(Ordering::Relaxed) != outages {
                    let cause = "the store did not answer the attempt before";
                    return Err(StorageError::Unavailable(cause.into()).into());
                }
                match self.place(&account, network, clock.now()).await {
                    Ok(Ok(placed)) => break placed,
                    Ok(Err(Verdict::Refused(retry_after))) => {
                        return Err(AttemptError::Limited(Limited { retry_after }));
                    }
                    Ok(Err(_)) if Instant::now() >= deadline => return TRY_LATER,
                    Ok(Err(_)) => {
                        // Either way it is time to look again.
                        let settled = pair.queue.settled.notified();
                        let _ = tokio::time::timeout(LOOK_EVERY, settled).await;
                    }
                    Err(error) => {
                        pair.queue.outages.fetch_add(1, Ordering::Relaxed);
                        return Err(error.into());
                    }
                }
            }
        };
        Ok(Attempt(Some(Place { pair, account, of_account, network, of_network, name, clock })))
    }

    /// Reserves in both records, or in none. A refused attempt changes nothing, so that refusals cost
    /// little and no wait starts anew.
    async fn place(
        &self,
        account: &Entered,
        network: &Network,
        now: Timestamp,
    ) -> Stored<Result<(Reserved, Entered, Reserved), Verdict>> {
        let (name, policy) = (network.short(), &self.0.policy);
        let at_account = |record: Record| record.reserve_account(name, now, policy);
        let from_network = |record: Record| record.reserve_network(now, policy);
        let network = self.0.records.enter(&network.0);
        if let Err(verdict) = self.0.records.look(account, now, at_account).await? {
            return Ok(Err(verdict));
        }
        // An attempt that is refused anyway need not wait for the record, nor hold up others.
        if network.queue.record.try_lock().is_err()
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

    /// Settles an attempt by its outcome. Attempts that wait for it go on.
    pub async fn settle(&self, attempt: Attempt, outcome: Outcome) -> Stored<()> {
        let Attempt(Some(place)) = attempt else { return Ok(()) };
        let Place { pair, account, of_account, network, of_network, name, clock } = place;
        let (now, policy) = (clock.now(), &self.0.policy);
        let settle = |record: Record| {
            Ok((record.settle_account(&name, of_account, outcome, now, policy), ()))
        };
        let in_account = self.change(&account, ACCOUNT, now, settle);
        let in_network = self.settle_network(&network, of_network, outcome, now);
        let (in_account, in_network) = futures_util::future::join(in_account, in_network).await;
        pair.queue.settled.notify_one();
        // Settling is never refused, so the verdict holds nothing.
        in_account.map(drop).and(in_network)
    }

    async fn settle_network(
        &self,
        network: &Entered,
        reserved: Reserved,
        outcome: Outcome,
        now: Timestamp,
    ) -> Stored<()> {
        let policy = &self.0.policy;
        let settle =
            |record: Record| Ok((record.settle_network(reserved, outcome, now, policy), ()));
        self.change(network, NETWORK, now, settle).await.map(drop)
    }

    /// Forgets all failures at `account`. Networks that it signs in from stay known.
    pub async fn unlock(&self, account: &Account, now: Timestamp) -> Stored<()> {
        let entered = self.0.records.enter(&account.0);
        let unlock = |record: Record| Ok((record.unlock(now, &self.0.policy), ()));
        self.change(&entered, ACCOUNT, now, unlock).await.map(drop)
    }

    async fn change<T>(
        &self,
        entered: &Entered,
        expires_at: ExpiresAt,
        now: Timestamp,
        decide: impl Fn(Record) -> Result<(Record, T), Verdict>,
    ) -> Stored<Result<T, Verdict>> {
        let expires_at = |record: &Record| expires_at(record, now, &self.0.policy);
        self.0.records.change(entered, expires_at, now, decide).await
    }

    /// Removes at most `limit` records that have expired; returns how many.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        self.0.records.purge(now, limit).await
    }

    pub(crate) fn limited(&self) -> u64 {
        self.0.limited.load(Ordering::Relaxed)
    }
}
