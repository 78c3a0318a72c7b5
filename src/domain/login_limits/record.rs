//! What is kept under one key, and what an attempt does to it: pure decisions over values. An
//! account's record has a tally for each of its newest networks and one for all networks together
//! that it is not known to sign in from; a network's record has one tally.

use std::time::Duration;

use crate::base::time::Timestamp;

use super::policy::{Policy, Rule};
use super::tally::{Tally, Verdict};

/// Networks that an account is known to sign in from, the newest; and others with failures.
const MOST_KNOWN: usize = 20;
const MOST_OTHERS: usize = 20;
/// A record is kept for a moment even if it says nothing: the next attempt is often near.
pub(super) const AT_LEAST: Duration = Duration::from_secs(60);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password was right.
    Succeeded,
    /// The password was wrong.
    Failed,
    /// The password was not looked at.
    NotMade,
}

/// What settling an attempt needs to know of its reservation: the lease period in each tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    own: i64,
    /// Where the account was not known to sign in from the network.
    shared: Option<i64>,
}

/// What is kept under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Of a network: its attempts. Of an account: those from networks that were not known.
    pub(super) shared: Tally,
    /// Of an account: its networks.
    pub(super) networks: Vec<Entry>,
}

/// An account's dealings with one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(super) network: String,
    pub(super) tally: Tally,
    /// The newest login from there.
    pub(super) signed_in_at: Option<Timestamp>,
}

impl Entry {
    fn is_known(&self) -> bool {
        self.signed_in_at.is_some()
    }
}

impl Record {
    /// Reserves an attempt at this account from `network`.
    pub fn reserve_account(
        self,
        network: &str,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<(Self, Reserved), Verdict> {
        let mut record = self.account_at(now, policy);
        let entry = record.entry(network, now);
        let from_unknown = !entry.is_known();
        let own = entry.tally.decide(now, &policy.account_from_network);
        let shared = match from_unknown {
            true => record.shared.decide(now, &policy.account_from_unknown),
            false => Verdict::Granted,
        };
        check(own, shared)?;
        let entry = record.entry(network, now);
        entry.tally = entry.tally.reserve(now);
        let own = entry.tally.lease;
        if from_unknown {
            record.shared = record.shared.reserve(now);
        }
        let shared = from_unknown.then_some(record.shared.lease);
        record.drop_oldest(network);
        Ok((record, Reserved { own, shared }))
    }

    /// Settles an attempt that was reserved at this account.
    pub fn settle_account(
        self,
        network: &str,
        reserved: Reserved,
        outcome: Outcome,
        now: Timestamp,
        policy: &Policy,
    ) -> Self {
        let mut record = self.account_at(now, policy);
        if let Some(lease) = reserved.shared {
            record.shared = settle(record.shared, lease, outcome);
        }
        // Its entry may have given way to newer ones.
        let is_there = record.networks.iter().any(|entry| entry.network == network);
        if outcome == Outcome::Succeeded || is_there {
            let entry = record.entry(network, now);
            entry.tally = settle(entry.tally, reserved.own, outcome);
            if outcome == Outcome::Succeeded {
                // Who knows the password is no guesser: nothing from there counts any more.
                entry.tally = entry.tally.clear();
                entry.signed_in_at = Some(now);
            }
        }
        record.drop_oldest(network);
        record
    }

    /// Reserves an attempt from this network.
    pub fn reserve_network(
        self,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<(Self, Reserved), Verdict> {
        let tally = self.shared.at(now, &policy.network);
        check(tally.decide(now, &policy.network), Verdict::Granted)?;
        let tally = tally.reserve(now);
        let record = Self { shared: tally, networks: Vec::new() };
        Ok((record, Reserved { own: tally.lease, shared: None }))
    }

    /// Settles an attempt that was reserved from this network. One that succeeded is given back and
    /// clears nothing: a guesser may have an account too.
    pub fn settle_network(
        self,
        reserved: Reserved,
        outcome: Outcome,
        now: Timestamp,
        policy: &Policy,
    ) -> Self {
        let tally = self.shared.at(now, &policy.network);
        Self { shared: settle(tally, reserved.own, outcome), networks: Vec::new() }
    }

    /// Counts a request that is limited by `rule` in this record, or says how many seconds it has
    /// to wait.
    pub fn charge(self, now: Timestamp, rule: &Rule) -> Result<Self, Verdict> {
        let tally = self.shared.at(now, rule);
        match tally.wait(now, rule) {
            0 => Ok(Self { shared: tally.charge(now), networks: Vec::new() }),
            seconds => Err(Verdict::Refused(seconds)),
        }
    }

    /// An account's record without any failures. Known networks stay known.
    pub fn unlock(self, now: Timestamp, policy: &Policy) -> Self {
        let mut record = self.account_at(now, policy);
        record.shared = record.shared.clear();
        for entry in &mut record.networks {
            entry.tally = entry.tally.clear();
        }
        record.account_at(now, policy)
    }

    /// Until when an account's record is to be kept.
    pub fn account_expires_at(&self, now: Timestamp, policy: &Policy) -> Timestamp {
        let known = self.networks.iter().filter_map(|entry| entry.signed_in_at);
        let known = known.map(|at| at.plus(policy.known_network));
        let tallies = self.networks.iter().map(|entry| &entry.tally);
        let own = tallies.map(|tally| tally.forgotten_at(&policy.account_from_network));
        let shared = self.shared.forgotten_at(&policy.account_from_unknown);
        known.chain(own).chain([shared, now.plus(AT_LEAST)]).max().unwrap_or(now)
    }

    /// Until when a network's record is to be kept.
    pub fn network_expires_at(&self, now: Timestamp, policy: &Policy) -> Timestamp {
        self.shared.forgotten_at(&policy.network).max(now.plus(AT_LEAST))
    }

    /// The same at `now`, without what does not count any more.
    fn account_at(mut self, now: Timestamp, policy: &Policy) -> Self {
        self.shared = self.shared.at(now, &policy.account_from_unknown);
        for entry in &mut self.networks {
            entry.tally = entry.tally.at(now, &policy.account_from_network);
            let is_known = |at: &Timestamp| now.since(*at) < policy.known_network;
            entry.signed_in_at = entry.signed_in_at.filter(is_known);
        }
        self.networks.retain(|entry| entry.is_known() || !entry.tally.is_empty());
        self
    }

    /// The entry of `network`, a new one where there is none.
    fn entry(&mut self, network: &str, now: Timestamp) -> &mut Entry {
        let known = self.networks.iter().position(|entry| entry.network == network);
        let position = known.unwrap_or_else(|| {
            let (network, tally) = (network.to_owned(), Tally::empty_at(now));
            self.networks.push(Entry { network, tally, signed_in_at: None });
            self.networks.len() - 1
        });
        &mut self.networks[position]
    }

    /// Keeps the record small: of each kind of network the oldest goes, but never `newest`. What a
    /// network that was not known loses by it still counts in the tally that they share.
    fn drop_oldest(&mut self, newest: &str) {
        for (known, most) in [(true, MOST_KNOWN), (false, MOST_OTHERS)] {
            while self.networks.iter().filter(|entry| entry.is_known() == known).count() > most {
                let others = self.networks.iter().enumerate();
                let others = others.filter(|(_, e)| e.is_known() == known && e.network != newest);
                let oldest = others.min_by_key(|(_, e)| (e.signed_in_at, e.tally.last));
                let Some((position, _)) = oldest else { break };
                self.networks.swap_remove(position);
            }
        }
    }
}

/// Both must agree. A wait that is certain comes before one that is not.
fn check(one: Verdict, other: Verdict) -> Result<(), Verdict> {
    match (one, other) {
        (Verdict::Refused(one), Verdict::Refused(other)) => Err(Verdict::Refused(one.max(other))),
        (Verdict::Refused(seconds), _) | (_, Verdict::Refused(seconds)) => {
            Err(Verdict::Refused(seconds))
        }
        (Verdict::Busy, _) | (_, Verdict::Busy) => Err(Verdict::Busy),
        (Verdict::Granted, Verdict::Granted) => Ok(()),
    }
}

fn settle(tally: Tally, lease: i64, outcome: Outcome) -> Tally {
    match outcome {
        Outcome::Failed => tally.fail(lease),
        Outcome::Succeeded | Outcome::NotMade => tally.give_back(lease),
    }
}
