//! The keys of one algorithm in the order in which they sign, and the changes that are possible, as
//! pure functions of the chain, the rules and `now`. Each key signs until the next one does, so
//! exactly one signs at every moment, wherever a change is interrupted: the chain is replaced as a
//! whole or not at all. Its last key is a spare: published, and ready to sign immediately if
//! another is revoked.

mod handover;
mod lost;
mod publish_ahead;

use std::time::Duration;

use super::algorithm::Algorithm;
use super::rotation::{NOT_PLANNED, State, Times};
use crate::base::time::Timestamp;

pub(crate) use handover::Owed;
pub(crate) use publish_ahead::PublishAhead;

use publish_ahead::check_publish_ahead;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub publish_ahead: Duration,
    /// The minimum that an operator may shorten that to.
    pub least_ahead: Duration,
    pub rotate_every: Option<Duration>,
    /// How long a token can be valid, leeway included.
    pub token_lifetime: Duration,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a rotation is already under way: the next key starts to sign at {0}")]
    UnderWay(Timestamp),
    #[error("the new key must start to sign within {} days", .0.as_secs() / 86_400)]
    TooLate(Duration),
    #[error(
        "the new key must be published for at least {} before it signs (keys.jwks_max_age and \
         5s, at least 30s), since verifiers would receive tokens of a key that they do not have; \
         it can be forced, with a reason",
        humantime::format_duration(*.0)
    )]
    TooSoon(Duration),
    #[error("no key has the kid {}", .0.escape_debug())]
    Unknown(String),
    #[error(
        "the key is active: rotate first, and it retires automatically, or revoke it if it is \
         compromised"
    )]
    Live,
    #[error(
        "tokens of the key can be valid until {0}, when it retires automatically; to retire it \
         now can be forced, with a reason"
    )]
    InUse(Timestamp),
    #[error("the key is retired already")]
    Retired,
    #[error("{0} is not among the algorithms of the configuration (keys.algorithm, keys.also)")]
    NotConfigured(Algorithm),
    #[error("the key is authentic already")]
    Authentic,
    #[error("no key is pending; one is being made")]
    NothingNext,
    #[error("the key {0} exists already")]
    Known(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledKey {
    pub kid: String,
    pub times: Times,
}

/// The keys of one algorithm that are not retired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    entries: Vec<ScheduledKey>,
    /// Keys that only verify, and keys that a change has just ended.
    aside: Vec<ScheduledKey>,
    owed: Option<Owed>,
}

impl Chain {
    /// The chain of `entries`, in any order; those that are retired at `now` are left out.
    pub(crate) fn new(entries: impl IntoIterator<Item = ScheduledKey>, now: Timestamp) -> Self {
        let live = |entry: &ScheduledKey| entry.times.state(now) != State::Retired;
        let (mut entries, aside): (Vec<_>, Vec<_>) =
            entries.into_iter().filter(live).partition(|entry| entry.times.signs_ever());
        entries
            .sort_by_key(|entry| (entry.times.activates_at, entry.times.deactivates_at.is_none()));
        Self { entries, aside, owed: None }
    }

    /// All keys of the chain, beginning with those that a change has just ended.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &ScheduledKey> {
        self.aside.iter().chain(&self.entries)
    }

    /// When the key that signs at `now` has done so for `rotate_every`.
    pub(crate) fn rotation_due(&self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        Some(self.active(now)?.times.activates_at.plus(rules.rotate_every?))
    }

    /// Whether a further key is needed now, as the spare or since the spare is to be activated.
    pub(crate) fn needs_key(&self, rules: &Rules, now: Timestamp) -> bool {
        !self.entries.last().is_some_and(ScheduledKey::is_spare)
            || self.spare_is_due(rules, now)
            || self.is_headless(now)
    }

    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    fn spare_is_due(&self, rules: &Rules, now: Timestamp) -> bool {
        let next = self.first_pending(now).map(|next| &self.entries[next]);
        let due = self.rotation_due(rules, now);
        next.is_some_and(ScheduledKey::is_spare)
            && due.is_some_and(|due| due <= now.plus(rules.publish_ahead))
    }

    /// Adds `kid`, made now: plans the activation of the spare if that is due, and makes `kid` the
    /// next spare. In an empty chain `kid` signs from `first_at`.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    pub(crate) fn add_spare(
        &mut self,
        kid: String,
        first_at: Timestamp,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<Handover> {
        let mut handover = None;
        self.activate_spare(now);
        if self.spare_is_due(rules, now)
            && let Some(due) = self.rotation_due(rules, now)
            && let Some(spare) = self.first_pending(now)
        {
            let published = self.entries[spare].times.created_at.plus(rules.publish_ahead);
            handover = Some(self.hand_over(spare, due.max(published).max(now), rules, now));
        }
        let at = if self.signs_at_all(now) { NOT_PLANNED } else { first_at };
        if let Some(last) = self.entries.last_mut() {
            last.sign_until(at, rules, now);
        }
        self.entries.push(ScheduledKey { kid, times: Times::new(now, at) });
        handover
    }

    /// Plans the activation of the next key after `ahead`. Keys that become active before then
    /// because of a revocation are skipped. The chain may then need a further key.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    pub(crate) fn rotate(
        &mut self,
        ahead: PublishAhead,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Handover, Refusal> {
        let first = self.first_pending(now).ok_or(Refusal::NothingNext)?;
        let ahead = check_publish_ahead(ahead, rules)?;
        let at = now.plus(ahead);
        let hands_over = |entry: &&ScheduledKey| {
            entry.times.activates_at <= at && self.handover_ahead(entry, now).is_some()
        };
        let passed = self.entries.iter().skip(first).take_while(hands_over).count();
        let next = if first + passed < self.entries.len() { first + passed } else { first };
        let Times { created_at, activates_at: planned, .. } = self.entries[next].times;
        // The clock of the instance that made it may be ahead, and with it the second of its
        // publication.
        let at = at.max(created_at.plus(ahead));
        if planned <= at {
            return Err(Refusal::UnderWay(planned));
        }
        Ok(self.hand_over(next, at, rules, now))
    }

    /// Adds the imported key `kid`: it signs after `ahead`, before the keys that are pending
    /// already; in an empty chain immediately.
    pub(crate) fn import(
        &mut self,
        kid: String,
        ahead: PublishAhead,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Timestamp, Refusal> {
        let ahead = check_publish_ahead(ahead, rules)?;
        let at = if self.entries.is_empty() { now } else { now.plus(ahead) };
        self.insert(ScheduledKey { kid, times: Times::new(now, at) }, rules, now);
        Ok(at)
    }

    /// Adds a key at the position of its first second of signing.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    fn insert(&mut self, mut entry: ScheduledKey, rules: &Rules, now: Timestamp) {
        let at = entry.times.activates_at;
        let place = self.entries.partition_point(|entry| entry.times.activates_at <= at);
        if let Some(next) = self.entries.get(place) {
            entry.end(next.times.activates_at, rules);
        }
        if let Some(before) = place.checked_sub(1) {
            self.entries[before].sign_until(at, rules, now);
        }
        self.entries.insert(place, entry);
    }

    /// Ends a pending key, or, if `forced`, one whose tokens can still be valid.
    pub(crate) fn retire(
        &mut self,
        kid: &str,
        forced: bool,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let entry = self.find(kid)?;
        match entry.times.state(now) {
            State::Active => Err(Refusal::Live),
            State::Retiring if !forced => {
                Err(Refusal::InUse(entry.times.retires_at.unwrap_or(NOT_PLANNED)))
            }
            _ => self.take_out(kid, rules, now),
        }
    }

    /// Ends a compromised key immediately. If it is active, a pending key signs from now on: of
    /// those that every cache can have, or else of all, the one that was published first and is not
    /// itself the successor after a revocation. The chain may then have no key, and must [add
    /// one](Self::add_spare) in the same change.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    pub(crate) fn revoke(
        &mut self,
        kid: &str,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let active = self.find(kid)?.times.state(now) == State::Active;
        let chosen = self.stand_in(rules, now);
        self.take_out(kid, rules, now)?;
        if !active {
            return Ok(());
        }
        let chosen = self.entries.iter().position(|entry| Some(&entry.kid) == chosen.as_ref());
        let (Some(first), Some(chosen)) = (self.first_pending(now), chosen) else { return Ok(()) };
        // It moves before the others, whose activations stay as they are.
        self.entries[first..=chosen].rotate_right(1);
        self.entries[first].times.activates_at = now;
        if first < chosen {
            let next = self.entries[first + 1].times.activates_at;
            self.entries[first].end(next, rules);
            let after = self.entries.get(chosen + 1).map(|entry| entry.times.activates_at);
            match after {
                Some(after) => self.entries[chosen].end(after, rules),
                None => self.entries[chosen].stays_last(),
            }
        }
        Ok(())
    }

    pub(crate) fn set_aside(&mut self, entry: ScheduledKey) {
        self.aside.push(entry);
    }

    /// Ends the whole chain, since its algorithm is not used any more: no key signs from now on,
    /// and the last one stays published while its tokens can be valid.
    pub(crate) fn wind_down(&mut self, rules: &Rules, now: Timestamp) {
        while let Some(waiting) = self.first_pending(now) {
            let mut entry = self.entries.remove(waiting);
            (entry.times.deactivates_at, entry.times.retires_at) = (Some(now), Some(now));
            self.aside.push(entry);
        }
        let active = self.entries.iter_mut().find(|entry| entry.times.state(now) == State::Active);
        if let Some(active) = active {
            active.end(now, rules);
        }
    }

    pub(crate) fn active(&self, now: Timestamp) -> Option<&ScheduledKey> {
        self.entries.iter().find(|entry| entry.times.state(now) == State::Active)
    }

    pub(crate) fn find(&self, kid: &str) -> Result<&ScheduledKey, Refusal> {
        self.entries()
            .find(|entry| entry.kid == kid)
            .ok_or_else(|| Refusal::Unknown(kid.to_owned()))
    }

    /// Ends the publication of the key now. If the key was pending, its predecessor signs until the
    /// next one does. If no key signs yet, the next one takes its activation.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    fn take_out(&mut self, kid: &str, rules: &Rules, now: Timestamp) -> Result<(), Refusal> {
        let Some(at) = self.entries.iter().position(|entry| entry.kid == kid) else {
            let entry = self.aside.iter_mut().find(|entry| entry.kid == kid);
            entry.ok_or_else(|| Refusal::Unknown(kid.to_owned()))?.times.retires_at = Some(now);
            return Ok(());
        };
        let handover = self.handover_ahead(&self.entries[at], now);
        let mut entry = self.entries.remove(at);
        let waited = entry.times.state(now) == State::Pending;
        if let Some(ahead) = handover {
            self.pass_on(at, entry.times.activates_at, ahead);
        }
        let before = at.checked_sub(1).filter(|before| self.entries[*before].signs_after(now));
        match (before, self.entries.get(at).map(|next| next.times)) {
            (Some(before), Some(next)) if waited => {
                self.entries[before].end(next.activates_at, rules);
            }
            (Some(before), None) if waited => self.entries[before].stays_last(),
            (None, Some(next)) if waited => {
                let published = next.created_at.plus(rules.publish_ahead);
                let turn = entry.times.activates_at.max(published);
                self.entries[at].times.activates_at = turn.min(next.activates_at);
            }
            _ => {}
        }
        entry.times.deactivates_at =
            entry.times.deactivates_at.filter(|at| *at < now).or(Some(now));
        entry.times.retires_at = Some(now);
        self.aside.push(entry);
        Ok(())
    }

    fn first_pending(&self, now: Timestamp) -> Option<usize> {
        self.entries.iter().position(|entry| entry.times.state(now) == State::Pending)
    }

    /// Makes the key at `next` sign from `at`, and its predecessor until then.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    fn hand_over(&mut self, next: usize, at: Timestamp, rules: &Rules, now: Timestamp) -> Handover {
        self.entries[next].times.activates_at = at;
        if let Some(old) = next.checked_sub(1) {
            self.entries[old].sign_until(at, rules, now);
        }
        let old_retires_at = at.plus(rules.token_lifetime);
        Handover { kid: self.entries[next].kid.clone(), at, old_retires_at }
    }
}

/// The planned activation of the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    pub kid: String,
    pub at: Timestamp,
    pub old_retires_at: Timestamp,
}

impl ScheduledKey {
    fn stays_last(&mut self) {
        (self.times.deactivates_at, self.times.retires_at) = (None, None);
    }

    fn is_spare(&self) -> bool {
        self.times.activates_at == NOT_PLANNED
    }

    /// Whether it signs after `now`, or will.
    fn signs_after(&self, now: Timestamp) -> bool {
        self.times.deactivates_at.is_none_or(|at| at > now)
    }

    /// The same as [`end`](Self::end), except for a key that has ceased to sign.
    fn sign_until(&mut self, at: Timestamp, rules: &Rules, now: Timestamp) {
        if self.signs_after(now) {
            self.end(at, rules);
        }
    }

    /// Signs until `at`, and stays published until the last token that it signed has expired.
    fn end(&mut self, at: Timestamp, rules: &Rules) {
        let retires_at =
            if at == NOT_PLANNED { NOT_PLANNED } else { at.plus(rules.token_lifetime) };
        (self.times.deactivates_at, self.times.retires_at) = (Some(at), Some(retires_at));
    }
}
