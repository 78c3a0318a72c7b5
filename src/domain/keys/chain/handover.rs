//! The handover after a revocation. Many verifiers drop a revoked key only when an unknown `kid`
//! makes them fetch JWKS, and they have the spare that signs in its place. So a revocation also
//! requests a key that no verifier has seen, which becomes active some time later. Until such a key
//! is planned the chain owes it: that is stored with the chain, and the next maintenance of the
//! keys makes it.

use std::time::Duration;

use super::publish_ahead::MAX_AHEAD;
use super::{Chain, Handover, Refusal, Rules, ScheduledKey};
use crate::base::time::Timestamp;
use crate::domain::keys::rotation::{NOT_PLANNED, State, Times};

/// The maximum number of pending keys at which a handover is still planned. Each revocation makes a
/// key, and JWKS must not become large.
const MAX_WAITING: usize = 8;

/// A handover that a revocation requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// When the key was revoked. A verifier that receives a token of a key published after this
    /// second fetches JWKS, and drops the revoked key.
    pub since: Timestamp,
    /// How long the new key is published before it signs; `None` once its activation is planned.
    pub ahead: Option<Duration>,
}

/// How far the clock of the instance that revoked may be ahead.
const LEEWAY: Duration = Duration::from_secs(60);

impl Owed {
    /// The same within the bounds of any revocation by `now`, since whoever writes to the database
    /// could otherwise postpone the handover for ever.
    pub fn bounded(self, now: Timestamp) -> Self {
        let ahead = self.ahead.map(|ahead| ahead.min(MAX_AHEAD));
        Self { since: self.since.clamp(Timestamp::from_unix(0), now.plus(LEEWAY)), ahead }
    }

    fn is_met_by(&self, entry: &ScheduledKey) -> bool {
        entry.times.created_at > self.since
    }
}

impl Chain {
    pub(crate) fn owing(mut self, owed: Option<Owed>) -> Self {
        self.owed = owed;
        self
    }

    pub(crate) fn owed(&self) -> Option<Owed> {
        self.owed
    }

    /// Requests a key that becomes active `ahead` after its publication, because another was
    /// revoked at `now`. If an earlier revocation still waits for its key, one key serves both,
    /// after the shorter of the two times. Refuses an `ahead` of more than 90 days.
    pub(crate) fn owe(&mut self, ahead: Duration, now: Timestamp) -> Result<(), Refusal> {
        if ahead > MAX_AHEAD {
            return Err(Refusal::TooLate(MAX_AHEAD));
        }
        let (since, before) = self.owed.map_or((now, None), |owed| (owed.since, owed.ahead));
        let ahead = before.map_or(ahead, |before| before.min(ahead));
        self.owed = Some(Owed { since: since.max(now), ahead: Some(ahead) });
        Ok(())
    }

    /// Whether a key has to be made for a handover, which waits while too many keys are pending.
    pub(crate) fn needs_successor(&self, now: Timestamp) -> bool {
        let waiting = self.entries.iter().filter(|entry| entry.times.state(now) == State::Pending);
        self.owed.is_some_and(|owed| owed.ahead.is_some())
            && self.entries.iter().any(|entry| entry.signs_after(now))
            && waiting.count() < MAX_WAITING
    }

    /// Adds `kid`, made now, which becomes active after the time that is owed; the activations of
    /// other keys stay as they are. It counts as published from the second after the revocation at
    /// the earliest, since the clock of the instance that revoked may be ahead. Returns `None` when
    /// no key is needed.
    pub(crate) fn succeed(
        &mut self,
        kid: String,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<Handover> {
        let owed = self.owed.filter(|_| self.needs_successor(now))?;
        let made = now.max(owed.since.plus(Duration::from_secs(1)));
        let at = made.plus(owed.ahead?);
        self.insert(ScheduledKey { kid: kid.clone(), times: Times::new(made, at) }, rules, now);
        self.owed = Some(Owed { ahead: None, ..owed });
        Some(Handover { kid, at, old_retires_at: at.plus(rules.token_lifetime) })
    }

    /// The successor after the last revocation; `None` while its activation is not planned.
    pub(crate) fn successor(&self) -> Option<&ScheduledKey> {
        let owed = self.owed.filter(|owed| owed.ahead.is_none())?;
        let planned = |entry: &&ScheduledKey| {
            owed.is_met_by(entry) && entry.times.activates_at != NOT_PLANNED
        };
        self.entries.iter().find(planned)
    }

    /// The key that signs if the active one is revoked at `now`.
    pub(super) fn stand_in(&self, rules: &Rules, now: Timestamp) -> Option<String> {
        let waiting = self.entries.iter().filter(|entry| entry.times.state(now) == State::Pending);
        let preferred = |entry: &&ScheduledKey| {
            let published = entry.times.created_at;
            let is_cached = published.plus(rules.least_ahead) <= now;
            (!is_cached, self.handover_ahead(entry, now).is_some(), published)
        };
        waiting.min_by_key(preferred).map(|entry| entry.kid.clone())
    }

    /// How long the key is published before it becomes active for a revocation; `None` for any
    /// other key, and after the handover.
    pub(super) fn handover_ahead(&self, entry: &ScheduledKey, now: Timestamp) -> Option<Duration> {
        let owed = self.owed?;
        let waits = |entry: &ScheduledKey| entry.times.state(now) == State::Pending;
        let is_over = self.entries.iter().any(|entry| owed.is_met_by(entry) && !waits(entry));
        let is_planned = waits(entry) && !entry.is_spare();
        (is_planned && owed.is_met_by(entry) && !is_over)
            .then(|| entry.times.activates_at.since(entry.times.created_at))
    }

    /// Keeps the handover of an ended key at `place`, which was planned for `at`, `ahead` after its
    /// publication. The spare takes it over if no verifier has seen the spare either; otherwise it
    /// is owed again.
    pub(super) fn pass_on(&mut self, place: usize, at: Timestamp, ahead: Duration) {
        let Some(owed) = self.owed else { return };
        match self.entries.get_mut(place) {
            Some(next) if owed.is_met_by(next) => {
                let published = next.times.created_at.plus(ahead);
                next.times.activates_at = at.max(published).min(next.times.activates_at);
            }
            _ => {
                let ahead = owed.ahead.map_or(ahead, |before| before.min(ahead));
                self.owed = Some(Owed { ahead: Some(ahead), ..owed });
            }
        }
    }
}
