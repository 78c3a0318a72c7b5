//! Limits on work that anybody, or any user, can cause: sign-ups and mail by network, own changes
//! by user. A number of requests is free in an hour; each one beyond waits longer than the one
//! before. Invariant: a request is counted in one atomic step before its work begins, on however
//! many instances, and a refused request changes nothing. Records live where sessions live, under
//! keyed hashes, and expire.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::budget::Verdict;
use super::policy::{Delays, Rule};
use super::queue::Entered;
use super::record::{AT_LEAST, Record};
use super::records::Records;
use super::{AttemptError, Limited, Names};
use crate::base::time::Timestamp;
use crate::storage::Stored;
use crate::storage::records::Records as Store;

const HOUR: Duration = Duration::from_secs(3600);
/// Own changes of one user in an hour: far above what people do, far below what fills a table.
const OWN_CHANGES: u32 = 60;
/// The wait beyond them: as long as it takes to forget one.
const OWN_CHANGE_DELAY: Duration = Duration::from_secs(60);

/// How many requests are free in an hour, and how long the next one waits.
#[derive(Clone, Debug)]
pub struct LimitPolicy {
    enabled: bool,
    rule: Rule,
}

impl LimitPolicy {
    /// `network` requests from one network, at least one, are free in an hour; then the waits of
    /// `delays` follow.
    pub fn by_network(enabled: bool, network: u32, delays: Delays) -> Self {
        Self { enabled, rule: Rule { free: network.max(1), period: HOUR, delays } }
    }

    /// The limit on what users change of their own accounts: 60 in an hour.
    pub fn of_own_changes() -> Self {
        let delays = Delays { shortest: OWN_CHANGE_DELAY, longest: OWN_CHANGE_DELAY };
        Self { enabled: true, rule: Rule { free: OWN_CHANGES, period: HOUR, delays } }
    }
}

/// The limits of one service.
pub struct Limits {
    /// Sign-ups, by network.
    pub sign_ups: Limit,
    /// Requests that send mail, by network.
    pub mails: Limit,
    /// Changes of one's own account, by user.
    pub own_changes: Limit,
    /// Those of them that need the present password, which a stolen token does not use up.
    pub confirmed_changes: Limit,
}

impl Limits {
    /// Limits whose records are in `store`.
    pub fn new(store: &Store, names: &Names, sign_ups: LimitPolicy, mails: LimitPolicy) -> Self {
        let limit = |kind, policy| Limit::new(store.clone(), names.clone(), kind, policy);
        Self {
            sign_ups: limit('s', sign_ups),
            mails: limit('m', mails),
            own_changes: limit('o', LimitPolicy::of_own_changes()),
            confirmed_changes: limit('p', LimitPolicy::of_own_changes()),
        }
    }
}

/// One limit. Cheap to clone.
#[derive(Clone)]
pub struct Limit(Arc<Shared>);

struct Shared {
    records: Records,
    names: Names,
    /// Keeps the records of this limit apart from those of all others.
    kind: char,
    policy: LimitPolicy,
    limited: AtomicU64,
}

impl Limit {
    fn new(store: Store, names: Names, kind: char, policy: LimitPolicy) -> Self {
        let (records, limited) = (Records::new(store), AtomicU64::default());
        Self(Arc::new(Shared { records, names, kind, policy, limited }))
    }

    /// Counts a request from the network of `address` (an IPv6 network has 64 bits), or refuses it.
    pub async fn take_by_network(
        &self,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), AttemptError> {
        self.take(&self.0.names.of_network(self.0.kind, address), now).await
    }

    /// Refuses a request from the network of `address` that this process knows not to be admitted
    /// now. Asks no store and counts nothing.
    pub fn check_by_network(&self, address: IpAddr, now: Timestamp) -> Result<(), AttemptError> {
        let Shared { records, policy, names, kind, .. } = &*self.0;
        if !policy.enabled {
            return Ok(());
        }
        let entered = records.enter(&names.of_network(*kind, address));
        let charge = |record: Record| record.charge(now, &policy.rule).map(|next| (next, ()));
        match remembered_refusal(&entered, charge)? {
            Some(verdict) => Err(self.refuse(verdict)),
            None => Ok(()),
        }
    }

    /// Counts a request of the user `id`, or refuses it.
    pub async fn take_by_user(&self, id: Uuid, now: Timestamp) -> Result<(), AttemptError> {
        self.take(&self.0.names.of(self.0.kind, id.as_bytes()), now).await
    }

    /// The number of requests that this instance has refused.
    pub fn limited(&self) -> u64 {
        self.0.limited.load(Ordering::Relaxed)
    }

    async fn take(&self, key: &str, now: Timestamp) -> Result<(), AttemptError> {
        if !self.0.policy.enabled {
            return Ok(());
        }
        self.charge(key, now).await?.map_err(|verdict| self.refuse(verdict))
    }

    fn refuse(&self, verdict: Verdict) -> AttemptError {
        self.0.limited.fetch_add(1, Ordering::Relaxed);
        AttemptError::Limited(match verdict {
            Verdict::Refused(retry_after) => Limited { retry_after },
            Verdict::Granted | Verdict::Busy => Limited::FOR_A_MOMENT,
        })
    }

    async fn charge(&self, key: &str, now: Timestamp) -> Stored<Result<(), Verdict>> {
        let Shared { records, policy, .. } = &*self.0;
        let entered = records.enter(key);
        let charge = |record: Record| record.charge(now, &policy.rule).map(|next| (next, ()));
        if let Some(verdict) = remembered_refusal(&entered, charge)? {
            return Ok(Err(verdict));
        }
        // A flood is refused by what is read, and does not queue up for the record.
        if entered.queue.record.try_lock().is_err()
            && let Err(verdict) = records.look(&entered, now, charge).await?
        {
            return Ok(Err(verdict));
        }
        let expires_at =
            |record: &Record| record.shared.forgotten_at(&policy.rule).max(now.plus(AT_LEAST));
        records.change(&entered, expires_at, now, charge).await
    }
}

/// A refusal by the record as this process last saw it. Other instances only ever add to it, so it
/// stands, and a flood costs the store nothing.
fn remembered_refusal(
    entered: &Entered,
    charge: impl Fn(Record) -> Result<(Record, ()), Verdict>,
) -> Stored<Option<Verdict>> {
    let seen = entered.queue.record.try_lock().ok().and_then(|seen| seen.clone());
    match seen {
        Some(text) => Ok(charge(Record::from_text(text.as_deref())?).err()),
        None => Ok(None),
    }
}
