//! A chain that lost a key other than by a change: its row is gone, or is not authentic. The spare
//! then signs in its place.

use super::{Chain, ScheduledKey};
use crate::base::time::Timestamp;
use crate::domain::keys::rotation::State;

impl Chain {
    pub(crate) fn signs_at_all(&self, now: Timestamp) -> bool {
        self.entries.iter().any(|entry| entry.signs_after(now))
    }

    /// Whether only the spare is left to sign: the key before it was lost, which no change does.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    pub(crate) fn is_headless(&self, now: Timestamp) -> bool {
        let next = self.first_pending(now).map(|next| &self.entries[next]);
        self.active(now).is_none() && next.is_some_and(ScheduledKey::is_spare)
    }

    /// Whether one key signs at `now`, each pending key follows the one before it, and the last has
    /// no end: then no key is missing.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    pub(crate) fn is_whole(&self, now: Timestamp) -> bool {
        let from = self.entries.iter().position(|entry| entry.times.state(now) == State::Active);
        let Some(rest) = from.map(|from| &self.entries[from..]) else { return false };
        let follows = |pair: &[ScheduledKey]| {
            pair[0].times.deactivates_at == Some(pair[1].times.activates_at)
        };
        rest.windows(2).all(follows)
            && rest.last().is_some_and(|last| last.times.deactivates_at.is_none())
    }

    /// Makes the spare sign from `now` on if no other key is left to sign.
    #[allow(clippy::indexing_slicing, reason = "positions are those of entries")]
    pub(crate) fn activate_spare(&mut self, now: Timestamp) {
        if self.is_headless(now)
            && let Some(spare) = self.first_pending(now)
        {
            self.entries[spare].times.activates_at = now;
        }
    }
}
