//! A verifier's rules for the feed, as a pure state machine: what came in, and what to do with the
//! set that is held. It knows which changes it has, wants a snapshot when it may lack one, and knows
//! up to which moment it has heard everything.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::revocations::Revocations;

/// An instance may say that it is ahead or behind for so long before that counts: a change may be
/// on its way, and instances may lag behind each other by half a second.
const GRACE: Duration = Duration::from_secs(1);
/// Numbers of changes that came before those ahead of them.
const MAX_AHEAD: usize = 4096;
/// Entries of a history that no snapshot was taken of yet.
const MAX_PENDING: usize = 100_000;

/// What came in.
#[derive(Clone, Debug)]
pub enum Input {
    /// The stream is open.
    Opened,
    /// The stream begins here: `event: snapshot`.
    Begins {
        /// The history.
        epoch: String,
        /// The last change before the stream's first.
        seq: u64,
    },
    /// An instance says where it is.
    Heartbeat {
        /// The history.
        epoch: String,
        /// The last change that it knows.
        seq: u64,
        /// When it confirmed that.
        known: Instant,
    },
    /// A change.
    Change {
        /// The history.
        epoch: String,
        /// The number of the first change in it.
        first: u64,
        /// The number of the last one.
        seq: u64,
        /// Its entries.
        entries: Revocations,
    },
    /// A change came that could not be read.
    Unreadable,
    /// A snapshot was taken.
    Snapshot {
        /// The history.
        epoch: String,
        /// The last change that it contains.
        seq: u64,
        /// Its entries.
        entries: Revocations,
        /// When it was confirmed.
        known: Instant,
    },
}

/// What to do with the set that is held.
#[derive(Clone, Debug)]
pub enum Action {
    /// Add these.
    Merge(Revocations),
    /// These instead: another history has begun.
    Replace(Revocations),
}

/// Where a verifier is in the history.
#[derive(Debug, Default)]
pub struct State {
    epoch: Option<String>,
    seq: u64,
    /// Changes beyond a gap. Their entries count already.
    ahead: BTreeSet<u64>,
    known: Option<Instant>,
    /// A heartbeat from further on: when all up to it is here, this is known.
    beat: Option<(u64, Instant)>,
    /// Since when heartbeats come from elsewhere in the history.
    apart_since: Option<Instant>,
    pending: Option<Pending>,
    missing: Option<Missing>,
    wants: bool,
}

/// What the stream told of and is not held. A snapshot may lack it that was asked for before, or
/// that an instance gave which lags.
#[derive(Debug)]
struct Missing {
    /// A history and a number of it up to which everything would be enough, where one is known.
    place: Option<(String, u64)>,
    /// What was confirmed then or later contains it, whatever its number.
    confirmed_from: Instant,
}

impl Missing {
    fn is_in(&self, epoch: &str, seq: u64, known: Instant) -> bool {
        let reached = |place: &(String, u64)| place.0 == epoch && place.1 <= seq;
        known >= self.confirmed_from || self.place.as_ref().is_some_and(reached)
    }
}

/// Changes of a history that no snapshot was taken of yet.
#[derive(Debug)]
struct Pending {
    epoch: String,
    entries: Revocations,
    numbers: BTreeSet<u64>,
}

impl State {
    /// Takes `input`, which came at `now`.
    pub fn on(&mut self, input: Input, now: Instant) -> Option<Action> {
        match input {
            Input::Opened => self.wants |= self.epoch.is_none(),
            Input::Unreadable => self.miss(None, now),
            Input::Begins { epoch, seq } => {
                if !self.is_in(&epoch) || seq > self.seq {
                    self.miss(Some((epoch, seq)), now);
                }
            }
            Input::Heartbeat { epoch, seq, known } => self.heartbeat(epoch, seq, known, now),
            Input::Change { epoch, first, seq, entries } => {
                return self.change(epoch, first..=seq, entries, now);
            }
            Input::Snapshot { epoch, seq, entries, known } => {
                return Some(self.snapshot(epoch, seq, entries, known, now));
            }
        }
        None
    }

    /// Looks at the time: what was on its way should be here by `deadline`.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.wants = true;
            self.apart_since = Some(now);
        }
    }

    /// When to look at the time again.
    pub fn deadline(&self) -> Option<Instant> {
        self.apart_since.map(|since| since + GRACE)
    }

    /// Whether a snapshot has to be taken.
    pub fn wants_snapshot(&self) -> bool {
        self.wants
    }

    /// The moment up to which everything was heard.
    pub fn known(&self) -> Option<Instant> {
        self.known
    }

    /// The last change of which, and of all before it, the entries are held.
    pub fn seq(&self) -> Option<u64> {
        self.epoch.is_some().then_some(self.seq)
    }

    fn is_in(&self, epoch: &str) -> bool {
        self.epoch.as_deref() == Some(epoch)
    }

    /// Wants a snapshot that contains what came now: everything up to `place`, where that is known.
    fn miss(&mut self, place: Option<(String, u64)>, now: Instant) {
        self.wants = true;
        let place = match self.missing.take() {
            None => place,
            // Of two histories, either number would be enough for one only.
            Some(former) => {
                former.place.zip(place).filter(|(a, b)| a.0 == b.0).map(|(a, b)| a.max(b))
            }
        };
        self.missing = Some(Missing { place, confirmed_from: now + GRACE });
    }

    fn heartbeat(&mut self, epoch: String, seq: u64, known: Instant, now: Instant) {
        if !self.is_in(&epoch) {
            self.miss(Some((epoch, seq)), now);
            return;
        }
        if seq == self.seq {
            self.apart_since = None;
        } else {
            self.apart_since.get_or_insert(now);
        }
        if seq > self.seq {
            self.beat = Some((seq, known));
        } else {
            self.raise_known(known);
        }
    }

    /// Entries count at once, whatever the number says: they are never taken back.
    fn change(
        &mut self,
        epoch: String,
        numbers: RangeInclusive<u64>,
        entries: Revocations,
        now: Instant,
    ) -> Option<Action> {
        let seq = *numbers.end();
        if !self.is_in(&epoch) {
            self.miss(Some((epoch.clone(), seq)), now);
            self.put_aside(epoch, numbers, entries);
            return None;
        }
        if *numbers.start() <= self.seq.saturating_add(1) {
            self.seq = self.seq.max(seq);
        } else if fits(&numbers, self.ahead.len()) {
            self.ahead.extend(numbers);
        }
        self.advance();
        self.wants |= seq > self.seq;
        Some(Action::Merge(entries))
    }

    fn put_aside(&mut self, epoch: String, numbers: RangeInclusive<u64>, entries: Revocations) {
        let pending = self.pending.take().filter(|pending| pending.epoch == epoch);
        let mut pending = pending.unwrap_or_else(|| Pending {
            epoch,
            entries: Revocations::default(),
            numbers: BTreeSet::new(),
        });
        pending.entries.absorb(entries);
        let fits = fits(&numbers, pending.numbers.len());
        if fits {
            pending.numbers.extend(numbers);
        }
        // Too much to hold: as if nothing of it had come. The next heartbeat tells of the gap.
        self.pending = (fits && pending.entries.len() <= MAX_PENDING).then_some(pending);
    }

    fn snapshot(
        &mut self,
        epoch: String,
        seq: u64,
        mut entries: Revocations,
        known: Instant,
        now: Instant,
    ) -> Action {
        let action = if self.is_in(&epoch) {
            self.raise_known(known);
            Action::Merge(entries)
        } else {
            self.ahead.clear();
            if let Some(pending) = self.pending.take().filter(|pending| pending.epoch == epoch) {
                entries.absorb(pending.entries);
                self.ahead = pending.numbers;
            }
            self.epoch = Some(epoch.clone());
            self.known = Some(known);
            self.beat = None;
            Action::Replace(entries)
        };
        self.seq = seq;
        self.apart_since = None;
        self.advance();
        // Another instance may have answered, which lags.
        self.apart_since = self.beat.map(|_| now);
        self.missing.take_if(|missing| missing.is_in(&epoch, self.seq, known));
        self.wants = self.missing.is_some() || !self.ahead.is_empty();
        action
    }

    /// Closes the gaps that can be closed.
    fn advance(&mut self) {
        while self.ahead.remove(&self.seq.saturating_add(1)) {
            self.seq += 1;
        }
        self.ahead = self.ahead.split_off(&self.seq.saturating_add(1));
        if let Some((_, known)) = self.beat.take_if(|(seq, _)| *seq <= self.seq) {
            self.raise_known(known);
            self.apart_since = None;
        }
    }

    fn raise_known(&mut self, known: Instant) {
        self.known = self.known.max(Some(known));
    }
}

/// Whether the numbers can be held beside so many others.
fn fits(numbers: &RangeInclusive<u64>, held: usize) -> bool {
    numbers.end() - numbers.start() < MAX_AHEAD.saturating_sub(held) as u64
}

#[cfg(test)]
#[path = "state_model.rs"]
mod model;
#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
