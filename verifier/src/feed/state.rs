//! The rules of following the feed, as a pure state machine: it takes what arrives and decides what
//! to do with the held set. It knows which changes are held, requests a snapshot when one may be
//! missing, and knows up to which moment the state is complete.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::revocations::Revocations;

/// How long an instance may report a position ahead or behind before that counts: a change may be
/// on its way, and instances may lag behind each other by half a second.
const GRACE: Duration = Duration::from_secs(1);
/// The maximum number of changes beyond a gap.
const MAX_AHEAD: usize = 4096;
/// The maximum number of entries of a history without a snapshot.
const MAX_PENDING: usize = 100_000;

/// What arrived.
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
    /// An instance reports its position.
    Heartbeat {
        /// The history.
        epoch: String,
        /// The last change of that instance.
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
    /// A change arrived that could not be read.
    Unreadable,
    /// A snapshot was fetched.
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

/// What to do with the held set.
#[derive(Clone, Debug)]
pub enum Action {
    /// Add these.
    Merge(Revocations),
    /// Replace it by these: another history has begun.
    Replace(Revocations),
}

/// The position of a verifier in the history.
#[derive(Debug, Default)]
pub struct State {
    epoch: Option<String>,
    seq: u64,
    /// Changes beyond a gap. Their entries are in effect already.
    ahead: BTreeSet<u64>,
    known: Option<Instant>,
    /// A heartbeat from further on: once all changes up to it are held, this moment is confirmed.
    beat: Option<(u64, Instant)>,
    /// Since when heartbeats have another position in the history.
    apart_since: Option<Instant>,
    pending: Option<Pending>,
    missing: Option<Missing>,
    wants: bool,
}

/// Announced by the stream and not held. A snapshot may lack it if it was requested before, or if
/// it comes from an instance that lags.
#[derive(Debug)]
struct Missing {
    /// A history and a number in it up to which everything is needed, if known.
    place: Option<(String, u64)>,
    /// A snapshot confirmed then or later contains it, whatever its number.
    confirmed_from: Instant,
}

impl Missing {
    fn is_in(&self, epoch: &str, seq: u64, known: Instant) -> bool {
        let reached = |place: &(String, u64)| place.0 == epoch && place.1 <= seq;
        known >= self.confirmed_from || self.place.as_ref().is_some_and(reached)
    }
}

/// Changes of a history without a snapshot yet.
#[derive(Debug)]
struct Pending {
    epoch: String,
    entries: Revocations,
    numbers: BTreeSet<u64>,
}

impl State {
    /// Processes `input`, which arrived at `now`.
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

    /// Checks the time: what was on its way should have arrived by `deadline`.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.wants = true;
            self.apart_since = Some(now);
        }
    }

    /// When to check the time again.
    pub fn deadline(&self) -> Option<Instant> {
        self.apart_since.map(|since| since + GRACE)
    }

    /// Whether a snapshot is needed.
    pub fn wants_snapshot(&self) -> bool {
        self.wants
    }

    /// The moment up to which the state is complete.
    pub fn known(&self) -> Option<Instant> {
        self.known
    }

    /// The last change up to which all entries are held.
    pub fn seq(&self) -> Option<u64> {
        self.epoch.is_some().then_some(self.seq)
    }

    fn is_in(&self, epoch: &str) -> bool {
        self.epoch.as_deref() == Some(epoch)
    }

    /// Requests a snapshot that contains what arrived now: everything up to `place`, if known.
    fn miss(&mut self, place: Option<(String, u64)>, now: Instant) {
        self.wants = true;
        let place = match self.missing.take() {
            None => place,
            // Of two histories, each number would suffice for one only.
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

    /// Entries are in effect immediately, whatever their number, since nothing is ever withdrawn.
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
        // Too many to hold: they are dropped, and the next heartbeat shows the gap.
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

/// Whether the numbers fit into the limit.
fn fits(numbers: &RangeInclusive<u64>, held: usize) -> bool {
    numbers.end() - numbers.start() < MAX_AHEAD.saturating_sub(held) as u64
}

#[cfg(test)]
#[path = "state_model.rs"]
mod model;
#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
