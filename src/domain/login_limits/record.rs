//! The record under one key, and what an attempt changes in it: pure decisions over values. An
//! account's record has a budget for each of its newest networks and one for all networks together
//! that it is not known to sign in from; a network's record has one budget.

use std::time::Duration;

use crate::base::time::Timestamp;

use super::budget::{Budget, Verdict};
use super::policy::{Policy, Rule};

/// The newest networks that an account is known to sign in from.
const MAX_KNOWN: usize = 20;
const MAX_OTHERS: usize = 20;
/// The shortest time that a record is kept, even an empty one: the next attempt is often near.
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

/// What settling an attempt needs to know of its reservation: the lease period in each budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    own: i64,
    /// Where the account was not known to sign in from the network.
    shared: Option<i64>,
}

/// What is kept under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Of a network: its attempts. Of an account: those from networks that were not known.
    pub(super) shared: Budget,
    pub(super) networks: Vec<Entry>,
}

/// The attempts at one account from one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) network: String,
    pub(super) budget: Budget,
    pub(super) signed_in_at: Option<Timestamp>,
}

impl Entry {
    fn is_known(&self) -> bool {
        self.signed_in_at.is_some()
    }
}

impl Record {
    pub(super) fn reserve_account(
        self,
        network: &str,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<(Self, Reserved), Verdict> {
        let mut record = self.account_at(now, policy);
        let entry = record.entry(network, now);
        let from_unknown = !entry.is_known();
        let own = entry.budget.decide(now, &policy.account_from_network);
        let shared = match from_unknown {
            true => record.shared.decide(now, &policy.account_from_unknown),
            false => Verdict::Granted,
        };
        check(own, shared)?;
        let entry = record.entry(network, now);
        entry.budget = entry.budget.reserve(now);
        let own = entry.budget.lease;
        if from_unknown {
            record.shared = record.shared.reserve(now);
        }
        let shared = from_unknown.then_some(record.shared.lease);
        record.drop_oldest(network);
        Ok((record, Reserved { own, shared }))
    }

    pub(super) fn settle_account(
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
            entry.budget = settle(entry.budget, reserved.own, outcome);
            if outcome == Outcome::Succeeded {
                // A caller who knows the password is no guesser: earlier failures from there do not count.
                entry.budget = entry.budget.clear();
                entry.signed_in_at = Some(now);
            }
        }
        record.drop_oldest(network);
        record
    }

    pub(super) fn reserve_network(
        self,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<(Self, Reserved), Verdict> {
        let budget = self.shared.at(now, &policy.network);
        check(budget.decide(now, &policy.network), Verdict::Granted)?;
        let budget = budget.reserve(now);
        let record = Self { shared: budget, networks: Vec::new() };
        Ok((record, Reserved { own: budget.lease, shared: None }))
    }

    /// Settles an attempt that was reserved from this network. One that succeeded is given back and
    /// clears nothing: a guesser may have an account too.
    pub(super) fn settle_network(
        self,
        reserved: Reserved,
        outcome: Outcome,
        now: Timestamp,
        policy: &Policy,
    ) -> Self {
        let budget = self.shared.at(now, &policy.network);
        Self { shared: settle(budget, reserved.own, outcome), networks: Vec::new() }
    }

    /// Counts a request under `rule` in this record, or says how many seconds it has to wait.
    pub(super) fn charge(self, now: Timestamp, rule: &Rule) -> Result<Self, Verdict> {
        let budget = self.shared.at(now, rule);
        match budget.wait(now, rule) {
            0 => Ok(Self { shared: budget.charge(now), networks: Vec::new() }),
            seconds => Err(Verdict::Refused(seconds)),
        }
    }

    /// An account's record without any failures. Known networks stay known.
    pub(super) fn unlock(self, now: Timestamp, policy: &Policy) -> Self {
        let mut record = self.account_at(now, policy);
        record.shared = record.shared.clear();
        for entry in &mut record.networks {
            entry.budget = entry.budget.clear();
        }
        record.account_at(now, policy)
    }

    pub(super) fn account_expires_at(&self, now: Timestamp, policy: &Policy) -> Timestamp {
        let known = self.networks.iter().filter_map(|entry| entry.signed_in_at);
        let known = known.map(|at| at.plus(policy.known_network));
        let budgets = self.networks.iter().map(|entry| &entry.budget);
        let own = budgets.map(|budget| budget.forgotten_at(&policy.account_from_network));
        let shared = self.shared.forgotten_at(&policy.account_from_unknown);
        known.chain(own).chain([shared, now.plus(AT_LEAST)]).max().unwrap_or(now)
    }

    pub(super) fn network_expires_at(&self, now: Timestamp, policy: &Policy) -> Timestamp {
        self.shared.forgotten_at(&policy.network).max(now.plus(AT_LEAST))
    }

    /// The same at `now`, without what does not count any more.
    fn account_at(mut self, now: Timestamp, policy: &Policy) -> Self {
        self.shared = self.shared.at(now, &policy.account_from_unknown);
        for entry in &mut self.networks {
            entry.budget = entry.budget.at(now, &policy.account_from_network);
            let is_known = |at: &Timestamp| now.since(*at) < policy.known_network;
            entry.signed_in_at = entry.signed_in_at.filter(is_known);
        }
        self.networks.retain(|entry| entry.is_known() || !entry.budget.is_empty());
        self
    }

    /// The entry of `network`, a new one where there is none.
    #[allow(clippy::indexing_slicing, reason = "the position was found or pushed just before")]
    fn entry(&mut self, network: &str, now: Timestamp) -> &mut Entry {
        let known = self.networks.iter().position(|entry| entry.network == network);
        let position = known.unwrap_or_else(|| {
            let (network, budget) = (network.to_owned(), Budget::empty_at(now));
            self.networks.push(Entry { network, budget, signed_in_at: None });
            self.networks.len() - 1
        });
        &mut self.networks[position]
    }

    /// Keeps the record small: of each kind of network the oldest goes, but never `newest`. What a
    /// network that was not known loses by it still counts in the budget that they share.
    fn drop_oldest(&mut self, newest: &str) {
        for (known, most) in [(true, MAX_KNOWN), (false, MAX_OTHERS)] {
            while self.networks.iter().filter(|entry| entry.is_known() == known).count() > most {
                let others = self.networks.iter().enumerate();
                let others = others.filter(|(_, e)| e.is_known() == known && e.network != newest);
                let oldest = others.min_by_key(|(_, e)| (e.signed_in_at, e.budget.last));
                let Some((position, _)) = oldest else { break };
                self.networks.swap_remove(position);
            }
        }
    }
}

/// Both must grant the attempt. A certain wait comes before an uncertain one.
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

fn settle(budget: Budget, lease: i64, outcome: Outcome) -> Budget {
    match outcome {
        Outcome::Failed => budget.fail(lease),
        Outcome::Succeeded | Outcome::NotMade => budget.give_back(lease),
    }
}
