//! A chain of which a key was lost otherwise than by a step: its row is gone, or is not authentic. The
//! spare then signs in its place, since nothing else would.

use super::{Chain, Link};
use crate::base::time::Timestamp;
use crate::domain::keys::rotation::State;

impl Chain {
    /// Whether any key signs at `now`, or will.
    pub fn signs_at_all(&self, now: Timestamp) -> bool {
        self.links.iter().any(|link| link.signs_after(now))
    }

    /// Whether nothing but the spare is left to sign: the key before it was lost, which no step does.
    pub fn is_headless(&self, now: Timestamp) -> bool {
        let next = self.first_pending(now).map(|next| &self.links[next]);
        self.active(now).is_none() && next.is_some_and(Link::is_spare)
    }

    /// Whether one key signs at `now`, each that waits takes over from the one before it, and the last has
    /// no end: then no key is missing.
    pub fn is_whole(&self, now: Timestamp) -> bool {
        let from = self.links.iter().position(|link| link.times.state(now) == State::Active);
        let Some(rest) = from.map(|from| &self.links[from..]) else { return false };
        let follows =
            |pair: &[Link]| pair[0].times.deactivates_at == Some(pair[1].times.activates_at);
        rest.windows(2).all(follows)
            && rest.last().is_some_and(|last| last.times.deactivates_at.is_none())
    }

    /// Lets the spare sign from `now` on where nothing else is left to.
    pub fn lead(&mut self, now: Timestamp) {
        if self.is_headless(now)
            && let Some(spare) = self.first_pending(now)
        {
            self.links[spare].times.activates_at = now;
        }
    }
}
