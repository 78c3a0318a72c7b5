//! The keys of one algorithm in the order in which they sign, and what may be done to them, as pure
//! functions of the chain, the rules and `now`. Each key signs until the next one does, so at every
//! moment exactly one signs, however a step is cut off: the chain is replaced as a whole or not at
//! all. Its last key is a spare: published, and ready to sign at once should another be revoked.

mod handover;
mod lead;
mod lost;

use std::time::Duration;

use super::algorithm::Algorithm;
use super::rotation::{NOT_PLANNED, State, Times};
use crate::base::time::Timestamp;

pub use handover::Owed;
pub use lead::Lead;

use lead::check_lead;

/// What the steps of a chain follow.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long a key is published before it signs, where nothing else is said.
    pub publish_ahead: Duration,
    /// The least that an operator may shorten that to.
    pub least_ahead: Duration,
    /// How long a key signs before the next takes over; `None` for never by itself.
    pub rotate_every: Option<Duration>,
    /// How long a token can be alive, leeway included.
    pub token_lifetime: Duration,
}

/// Why a step is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The next key signs no later anyway.
    #[error("a rotation is already under way: the next key starts to sign at {0}")]
    UnderWay(Timestamp),
    /// It would not happen in the foreseeable future, and nothing else could meanwhile.
    #[error("the new key must start to sign within {} days", .0.as_secs() / 86_400)]
    TooLate(Duration),
    /// Verifiers would meet tokens of a key that they have not seen.
    #[error(
        "the new key must be published for at least {} before it signs (keys.jwks_max_age and \
         5s, at least 30s), since verifiers would receive tokens of a key that they do not have; \
         it can be forced, with a reason",
        humantime::format_duration(*.0)
    )]
    TooSoon(Duration),
    /// No key by that name.
    #[error("no key has the kid {}", .0.escape_debug())]
    Unknown(String),
    /// It signs.
    #[error(
        "the key is active: rotate first, and it retires automatically, or revoke it if it is \
         compromised"
    )]
    Live,
    /// Tokens that it signed can be alive.
    #[error(
        "tokens of the key can be valid until {0}, when it retires automatically; to retire it \
         now can be forced, with a reason"
    )]
    InUse(Timestamp),
    /// It is not published any more.
    #[error("the key is retired already")]
    Retired,
    /// Keys for an algorithm that signs nothing.
    #[error("{0} is not among the algorithms of the configuration (keys.algorithm, keys.also)")]
    NotConfigured(Algorithm),
    /// Nobody has to vouch for it.
    #[error("the key is authentic already")]
    Authentic,
    /// There is no key to take over.
    #[error("no key is pending; one is being made")]
    NothingNext,
    /// It is there already.
    #[error("the key {0} exists already")]
    Known(String),
}

/// One key of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub kid: String,
    /// The times of its life.
    pub times: Times,
}

/// The keys of one algorithm that are not retired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// In the order in which they sign.
    links: Vec<Link>,
    /// Those that only verify, and those that a step has taken out.
    aside: Vec<Link>,
    /// The handover that the last revocation asked for.
    owed: Option<Owed>,
}

impl Chain {
    /// The chain of `links`, in any order; those that are retired at `now` are left out.
    pub fn new(links: impl IntoIterator<Item = Link>, now: Timestamp) -> Self {
        let live = |link: &Link| link.times.state(now) != State::Retired;
        let (mut links, aside): (Vec<_>, Vec<_>) =
            links.into_iter().filter(live).partition(|link| link.times.signs_ever());
        links.sort_by_key(|link| (link.times.activates_at, link.times.deactivates_at.is_none()));
        Self { links, aside, owed: None }
    }

    /// All its keys, those first that a step has just taken out.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.aside.iter().chain(&self.links)
    }

    /// When the key that signs at `now` has done so for `rotate_every`.
    pub fn rotation_due(&self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        Some(self.active(now)?.times.activates_at.plus(rules.rotate_every?))
    }

    /// Whether a further key is needed now: because there is no spare, or because the spare's turn
    /// is to be planned.
    pub fn needs_key(&self, rules: &Rules, now: Timestamp) -> bool {
        !self.links.last().is_some_and(Link::is_spare)
            || self.spare_is_due(rules, now)
            || self.is_headless(now)
    }

    fn spare_is_due(&self, rules: &Rules, now: Timestamp) -> bool {
        let next = self.first_pending(now).map(|next| &self.links[next]);
        let due = self.rotation_due(rules, now);
        next.is_some_and(Link::is_spare)
            && due.is_some_and(|due| due <= now.plus(rules.publish_ahead))
    }

    /// Adds `kid`, made now: plans the spare's turn if that is due, and makes `kid` the next spare.
    /// In a chain where none signs it does so from `first_at`.
    pub fn grow(
        &mut self,
        kid: String,
        first_at: Timestamp,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<Handover> {
        let mut handover = None;
        self.lead(now);
        if self.spare_is_due(rules, now)
            && let Some(due) = self.rotation_due(rules, now)
            && let Some(spare) = self.first_pending(now)
        {
            let published = self.links[spare].times.created_at.plus(rules.publish_ahead);
            handover = Some(self.hand_over(spare, due.max(published).max(now), rules, now));
        }
        let at = if self.signs_at_all(now) { NOT_PLANNED } else { first_at };
        if let Some(last) = self.links.last_mut() {
            last.sign_until(at, rules, now);
        }
        self.links.push(Link { kid, times: Times::new(now, at) });
        handover
    }

    /// Plans the next key's turn after `lead`; a key that takes over for a revocation before then is
    /// passed over. The chain may need a further key then.
    pub fn rotate(
        &mut self,
        lead: Lead,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Handover, Refusal> {
        let first = self.first_pending(now).ok_or(Refusal::NothingNext)?;
        let lead = check_lead(lead, rules)?;
        let at = now.plus(lead);
        let hands_over =
            |link: &&Link| link.times.activates_at <= at && self.handover_lead(link, now).is_some();
        let passed = self.links.iter().skip(first).take_while(hands_over).count();
        let next = if first + passed < self.links.len() { first + passed } else { first };
        let Times { created_at, activates_at: planned, .. } = self.links[next].times;
        // The clock of who made it may be ahead, and so is the second of its publication then.
        let at = at.max(created_at.plus(lead));
        if planned <= at {
            return Err(Refusal::UnderWay(planned));
        }
        Ok(self.hand_over(next, at, rules, now))
    }

    /// Adds the imported key `kid`: it signs after `lead`, before the keys that wait already; in an
    /// empty chain at once.
    pub fn import(
        &mut self,
        kid: String,
        lead: Lead,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Timestamp, Refusal> {
        let lead = check_lead(lead, rules)?;
        let at = if self.links.is_empty() { now } else { now.plus(lead) };
        self.insert(Link { kid, times: Times::new(now, at) }, rules, now);
        Ok(at)
    }

    /// Adds a key in the place that its first second of signing gives it.
    fn insert(&mut self, mut link: Link, rules: &Rules, now: Timestamp) {
        let at = link.times.activates_at;
        let place = self.links.partition_point(|link| link.times.activates_at <= at);
        if let Some(next) = self.links.get(place) {
            link.end(next.times.activates_at, rules);
        }
        if let Some(before) = place.checked_sub(1) {
            self.links[before].sign_until(at, rules, now);
        }
        self.links.insert(place, link);
    }

    /// Takes a key out that is not needed: one that waits, or, if `forced`, one whose tokens can
    /// still be alive.
    pub fn retire(
        &mut self,
        kid: &str,
        forced: bool,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let link = self.find(kid)?;
        match link.times.state(now) {
            State::Active => Err(Refusal::Live),
            State::Retiring if !forced => {
                Err(Refusal::InUse(link.times.retires_at.unwrap_or(NOT_PLANNED)))
            }
            _ => self.take_out(kid, rules, now),
        }
    }

    /// Takes a compromised key out at once. Where it signs, one of the keys that wait signs from
    /// now on: of those that every cache can have, or else of all, the one that was published first
    /// and is not itself to hand over for a revocation. The chain may be left with none, and must
    /// then [grow](Self::grow) in this very step.
    pub fn revoke(&mut self, kid: &str, rules: &Rules, now: Timestamp) -> Result<(), Refusal> {
        let active = self.find(kid)?.times.state(now) == State::Active;
        let chosen = self.stand_in(rules, now);
        self.take_out(kid, rules, now)?;
        if !active {
            return Ok(());
        }
        let chosen = self.links.iter().position(|link| Some(&link.kid) == chosen.as_ref());
        let (Some(first), Some(chosen)) = (self.first_pending(now), chosen) else { return Ok(()) };
        // It goes before the others, whose turns stay as they are.
        self.links[first..=chosen].rotate_right(1);
        self.links[first].times.activates_at = now;
        if first < chosen {
            let next = self.links[first + 1].times.activates_at;
            self.links[first].end(next, rules);
            let after = self.links.get(chosen + 1).map(|link| link.times.activates_at);
            match after {
                Some(after) => self.links[chosen].end(after, rules),
                None => self.links[chosen].stays_last(),
            }
        }
        Ok(())
    }

    /// Adds a key that only verifies.
    pub fn set_aside(&mut self, link: Link) {
        self.aside.push(link);
    }

    /// Lets the whole chain end, its algorithm not being used any more: no key signs from now on,
    /// and the last one stays published while its tokens can be alive.
    pub fn wind_down(&mut self, rules: &Rules, now: Timestamp) {
        while let Some(waiting) = self.first_pending(now) {
            let mut link = self.links.remove(waiting);
            (link.times.deactivates_at, link.times.retires_at) = (Some(now), Some(now));
            self.aside.push(link);
        }
        let active = self.links.iter_mut().find(|link| link.times.state(now) == State::Active);
        if let Some(active) = active {
            active.end(now, rules);
        }
    }

    /// The key that signs at `now`.
    pub fn active(&self, now: Timestamp) -> Option<&Link> {
        self.links.iter().find(|link| link.times.state(now) == State::Active)
    }

    /// The key named `kid`.
    pub fn find(&self, kid: &str) -> Result<&Link, Refusal> {
        self.links().find(|link| link.kid == kid).ok_or_else(|| Refusal::Unknown(kid.to_owned()))
    }

    /// Lets the key leave JWKS now. One that waited is jumped over: its predecessor signs until the
    /// one after it does. Where none signs yet, the one after it takes over its turn.
    fn take_out(&mut self, kid: &str, rules: &Rules, now: Timestamp) -> Result<(), Refusal> {
        let Some(at) = self.links.iter().position(|link| link.kid == kid) else {
            let link = self.aside.iter_mut().find(|link| link.kid == kid);
            link.ok_or_else(|| Refusal::Unknown(kid.to_owned()))?.times.retires_at = Some(now);
            return Ok(());
        };
        let handover = self.handover_lead(&self.links[at], now);
        let mut link = self.links.remove(at);
        let waited = link.times.state(now) == State::Pending;
        if let Some(lead) = handover {
            self.pass_on(at, link.times.activates_at, lead);
        }
        let before = at.checked_sub(1).filter(|before| self.links[*before].signs_after(now));
        match (before, self.links.get(at).map(|next| next.times)) {
            (Some(before), Some(next)) if waited => {
                self.links[before].end(next.activates_at, rules);
            }
            (Some(before), None) if waited => self.links[before].stays_last(),
            (None, Some(next)) if waited => {
                let published = next.created_at.plus(rules.publish_ahead);
                let turn = link.times.activates_at.max(published);
                self.links[at].times.activates_at = turn.min(next.activates_at);
            }
            _ => {}
        }
        link.times.deactivates_at = link.times.deactivates_at.filter(|at| *at < now).or(Some(now));
        link.times.retires_at = Some(now);
        self.aside.push(link);
        Ok(())
    }

    fn first_pending(&self, now: Timestamp) -> Option<usize> {
        self.links.iter().position(|link| link.times.state(now) == State::Pending)
    }

    /// Lets the key at `next` sign from `at`, and its predecessor until then.
    fn hand_over(&mut self, next: usize, at: Timestamp, rules: &Rules, now: Timestamp) -> Handover {
        self.links[next].times.activates_at = at;
        if let Some(old) = next.checked_sub(1) {
            self.links[old].sign_until(at, rules, now);
        }
        let old_retires_at = at.plus(rules.token_lifetime);
        Handover { kid: self.links[next].kid.clone(), at, old_retires_at }
    }
}

/// The next key's turn, as it was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The key that takes over.
    pub kid: String,
    /// It signs from here on.
    pub at: Timestamp,
    /// The old key leaves JWKS here.
    pub old_retires_at: Timestamp,
}

impl Link {
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

    /// The same as [`end`](Self::end), except that a key which has ceased to sign does not begin
    /// again.
    fn sign_until(&mut self, at: Timestamp, rules: &Rules, now: Timestamp) {
        if self.signs_after(now) {
            self.end(at, rules);
        }
    }

    /// Signs until `at`, and stays published until the last token that it signed is dead.
    fn end(&mut self, at: Timestamp, rules: &Rules) {
        let retires_at =
            if at == NOT_PLANNED { NOT_PLANNED } else { at.plus(rules.token_lifetime) };
        (self.times.deactivates_at, self.times.retires_at) = (Some(at), Some(retires_at));
    }
}
