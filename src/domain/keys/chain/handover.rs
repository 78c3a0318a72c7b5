//! The handover that a revocation asks for. Many verifiers drop a revoked key only when a `kid` that
//! they do not know makes them fetch JWKS, and the spare that signs in its place is known to them
//! already. So a revocation also asks for a key that nobody has seen, which takes over a while later.
//! Until such a key is planned the chain owes it: that is stored with the chain, and whoever follows
//! the keys makes it.

use std::time::Duration;

use super::lead::LONGEST_WAIT;
use super::{Chain, Handover, Link, Refusal, Rules};
use crate::base::time::Timestamp;
use crate::domain::keys::rotation::{NOT_PLANNED, State, Times};

/// The most keys that may wait before the next handover is planned: each revocation makes a key, and
/// JWKS is not to grow with them.
const MAX_WAITING: usize = 8;

/// A handover that a revocation asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// When the key was revoked. A verifier that has never seen a key which was published after this
    /// second fetches JWKS to learn of it, and drops the revoked one.
    pub since: Timestamp,
    /// How long the new key is published before it signs; `None` once its turn is planned.
    pub lead: Option<Duration>,
}

/// The clock of who revoked may be ahead by so much.
const LEEWAY: Duration = Duration::from_secs(60);

impl Owed {
    /// The same within what a revocation can have asked for by `now`: whoever writes the database could
    /// otherwise put the handover off for ever.
    pub fn bounded(self, now: Timestamp) -> Self {
        let lead = self.lead.map(|lead| lead.min(LONGEST_WAIT));
        Self { since: self.since.clamp(Timestamp::from_unix(0), now.plus(LEEWAY)), lead }
    }

    /// Whether the key was published after the revocation.
    fn is_met_by(&self, link: &Link) -> bool {
        link.times.created_at > self.since
    }
}

impl Chain {
    /// The same chain with the handover that is stored for it.
    pub fn owing(mut self, owed: Option<Owed>) -> Self {
        self.owed = owed;
        self
    }

    /// The handover that the last revocation asked for, to be stored with the chain.
    pub fn owed(&self) -> Option<Owed> {
        self.owed
    }

    /// Asks for a key that takes over `lead` after it is published, because another was revoked at
    /// `now`. Where an earlier revocation still waits for its key, one key serves both, after the
    /// shorter of the two times. Refuses a lead of more than 90 days.
    pub fn owe(&mut self, lead: Duration, now: Timestamp) -> Result<(), Refusal> {
        if lead > LONGEST_WAIT {
            return Err(Refusal::TooLate(LONGEST_WAIT));
        }
        let (since, before) = self.owed.map_or((now, None), |owed| (owed.since, owed.lead));
        let lead = before.map_or(lead, |before| before.min(lead));
        self.owed = Some(Owed { since: since.max(now), lead: Some(lead) });
        Ok(())
    }

    /// Whether a key has to be made that takes over because another was revoked. Not while so many
    /// wait already that JWKS would grow; the handover stays owed.
    pub fn needs_successor(&self, now: Timestamp) -> bool {
        let waiting = self.links.iter().filter(|link| link.times.state(now) == State::Pending);
        self.owed.is_some_and(|owed| owed.lead.is_some())
            && self.links.iter().any(|link| link.signs_after(now))
            && waiting.count() < MAX_WAITING
    }

    /// Adds `kid`, made now, which takes over after the time that is owed; the turns of other keys
    /// stay as they are. Published from the second after the revocation on, if `now` is not later:
    /// the clock of who revoked may be ahead. Returns `None` where no key is needed.
    pub fn succeed(&mut self, kid: String, rules: &Rules, now: Timestamp) -> Option<Handover> {
        let owed = self.owed.filter(|_| self.needs_successor(now))?;
        let made = now.max(owed.since.plus(Duration::from_secs(1)));
        let at = made.plus(owed.lead?);
        self.insert(Link { kid: kid.clone(), times: Times::new(made, at) }, rules, now);
        self.owed = Some(Owed { lead: None, ..owed });
        Some(Handover { kid, at, old_retires_at: at.plus(rules.token_lifetime) })
    }

    /// The key that takes over, or took over, for the last revocation, and when. `None` while it is
    /// not planned.
    pub fn successor(&self) -> Option<&Link> {
        let owed = self.owed.filter(|owed| owed.lead.is_none())?;
        let planned = |link: &&Link| owed.is_met_by(link) && link.times.activates_at != NOT_PLANNED;
        self.links.iter().find(planned)
    }

    /// The key that signs if the active one is revoked at `now`.
    pub(super) fn stand_in(&self, rules: &Rules, now: Timestamp) -> Option<String> {
        let waiting = self.links.iter().filter(|link| link.times.state(now) == State::Pending);
        let preferred = |link: &&Link| {
            let published = link.times.created_at;
            let is_cached = published.plus(rules.least_ahead) <= now;
            (!is_cached, self.handover_lead(link, now).is_some(), published)
        };
        waiting.min_by_key(preferred).map(|link| link.kid.clone())
    }

    /// How long the key is published before it takes over for a revocation; `None` for a key that
    /// does not, or has done so.
    pub(super) fn handover_lead(&self, link: &Link, now: Timestamp) -> Option<Duration> {
        let owed = self.owed?;
        let waits = |link: &Link| link.times.state(now) == State::Pending;
        let is_over = self.links.iter().any(|link| owed.is_met_by(link) && !waits(link));
        let is_planned = waits(link) && !link.is_spare();
        (is_planned && owed.is_met_by(link) && !is_over)
            .then(|| link.times.activates_at.since(link.times.created_at))
    }

    /// Keeps the handover of a key that has been taken out at `place`, which was to be `at`, `lead`
    /// after it was published: the spare takes it over where nobody had seen that one either, and
    /// otherwise it is owed again.
    pub(super) fn pass_on(&mut self, place: usize, at: Timestamp, lead: Duration) {
        let Some(owed) = self.owed else { return };
        match self.links.get_mut(place) {
            Some(next) if owed.is_met_by(next) => {
                let published = next.times.created_at.plus(lead);
                next.times.activates_at = at.max(published).min(next.times.activates_at);
            }
            _ => {
                let lead = owed.lead.map_or(lead, |before| before.min(lead));
                self.owed = Some(Owed { lead: Some(lead), ..owed });
            }
        }
    }
}
