//! Where attempts of this process meet. At one account from one network they come one after the
//! other, in the order in which they arrived: of a thousand parallel guesses one asks the store, and
//! the others wait for it in memory. Nobody waits there for what comes from elsewhere. And a record
//! is changed by one at a time; across processes the store's compare-and-swap does the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify};
use tokio::time::Instant;

/// Attempts at one account from one network that may wait; more are refused at once. Each holds a
/// password.
const MOST_WAITING: usize = 1024;
/// The same for all together. Who need not wait does not count.
const MOST_WAITING_IN_ALL: usize = 4096;

/// Records that are remembered while nobody uses them: the next attempt need not read them.
const MOST_REMEMBERED: usize = 4096;

/// The gates in use, and some that were. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gates(Arc<Shared>);

#[derive(Default)]
struct Shared {
    gates: Mutex<HashMap<String, Used>>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Used {
    gate: Arc<Gate>,
    users: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        // Nothing is left half done in it by a panic elsewhere.
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What those share who go through it: on the way to a record, and to an account from a network.
#[derive(Default)]
pub struct Gate {
    /// Held while the record is changed. What it was when this process last saw it, if it is known.
    pub(super) record: AsyncMutex<Option<Option<String>>>,
    /// Whoever holds it may reserve, or wait for what is in flight.
    pub(super) turn: AsyncMutex<()>,
    /// An attempt was settled.
    pub(super) settled: Notify,
    /// How often the store did not answer. Who waited meanwhile need not ask it again.
    pub(super) outages: AtomicU32,
    waiting: AtomicUsize,
}

/// A gate in use. With its last user it is forgotten, unless it remembers a record.
pub struct Entered {
    pub(super) key: String,
    pub(super) gate: Arc<Gate>,
    shared: Arc<Shared>,
}

/// A place among those who wait.
struct Place<'a>(&'a Entered);

impl Gates {
    /// The gate called `key`.
    pub(super) fn enter(&self, key: &str) -> Entered {
        let mut gates = self.0.lock();
        let used = gates.entry(key.to_owned()).or_default();
        used.users += 1;
        Entered { key: key.to_owned(), gate: used.gate.clone(), shared: self.0.clone() }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.lock().len()
    }
}

impl Entered {
    /// The turn, by `deadline`; `None` where it does not come, or too many wait for it.
    pub(super) async fn turn(&self, deadline: Instant) -> Option<AsyncMutexGuard<'_, ()>> {
        if let Ok(turn) = self.gate.turn.try_lock() {
            return Some(turn);
        }
        let _place = self.wait()?;
        tokio::time::timeout_at(deadline, self.gate.turn.lock()).await.ok()
    }

    /// A place among those who wait; `None` where too many do.
    fn wait(&self) -> Option<Place<'_>> {
        // Counted first, so that the place is given up again however this ends.
        let place = Place(self);
        let here = self.gate.waiting.fetch_add(1, Ordering::Relaxed);
        let in_all = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        (here < MOST_WAITING && in_all < MOST_WAITING_IN_ALL).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.gate.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut gates = self.shared.lock();
        let Some(used) = gates.get_mut(&self.key) else { return };
        used.users -= 1;
        if used.users > 0 {
            return;
        }
        let remembers = self.gate.record.try_lock().is_ok_and(|seen| seen.is_some());
        if !remembers {
            gates.remove(&self.key);
        } else if gates.len() > MOST_REMEMBERED {
            gates.retain(|_, used| used.users > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_shared_while_in_use_and_then_forgotten() {
        let gates = Gates::default();
        let (one, same, other) = (gates.enter("a"), gates.enter("a"), gates.enter("b"));
        assert!(Arc::ptr_eq(&one.gate, &same.gate) && !Arc::ptr_eq(&one.gate, &other.gate));
        drop(one);
        assert_eq!(gates.count(), 2);
        drop((same, other));
        assert_eq!(gates.count(), 0);
    }

    #[test]
    fn some_records_are_remembered() {
        let gates = Gates::default();
        let remember = |key: &str| {
            let entered = gates.enter(key);
            *entered.gate.record.try_lock().unwrap() = Some(Some(key.to_owned()));
            entered
        };
        drop(remember("a"));
        let seen = gates.enter("a").gate.record.try_lock().unwrap().clone();
        assert_eq!(seen, Some(Some("a".to_owned())));
        let in_use = remember("b");
        (0..2 * MOST_REMEMBERED).for_each(|number| drop(remember(&number.to_string())));
        assert!(gates.count() <= MOST_REMEMBERED + 1, "{}", gates.count());
        assert!(Arc::ptr_eq(&gates.enter("b").gate, &in_use.gate));
    }

    #[test]
    fn so_many_may_wait_and_no_more() {
        let gates = Gates::default();
        let entered = gates.enter("a");
        let places: Vec<_> = (0..MOST_WAITING).map_while(|_| entered.wait()).collect();
        assert_eq!(places.len(), MOST_WAITING);
        assert!(entered.wait().is_none());
        assert!(gates.enter("b").wait().is_some(), "others have their own");
        drop(places);
        assert!(entered.wait().is_some());
        assert_eq!(gates.0.waiting.load(Ordering::Relaxed), 0);
    }
}
