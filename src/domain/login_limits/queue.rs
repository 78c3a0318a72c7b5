//! Queues of the attempts of this process. At one account from one network they are made one after
//! the other, in the order in which they arrived: of a thousand parallel guesses one asks the store,
//! and the others wait for it in memory. No attempt waits for those from another network. And a record
//! is changed by one attempt at a time; across processes the store's compare-and-swap does the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify};
use tokio::time::Instant;

/// Attempts at one account from one network that may wait; each holds a password.
const MAX_WAITING: usize = 1024;
/// Attempts that may wait in all. One that need not wait does not count.
const MAX_WAITING_IN_ALL: usize = 4096;

/// Records that are remembered while they are not in use: the next attempt need not read them.
const MAX_REMEMBERED: usize = 4096;

/// The queues in use, and some that were in use. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Queues(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queues: Mutex<HashMap<String, Used>>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Used {
    queue: Arc<Queue>,
    users: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        // Nothing is left half done in it by a panic elsewhere.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the attempts share that change one record, or that are made at one account from one network.
#[derive(Default)]
pub(super) struct Queue {
    /// The record as this process last saw it, if it is known; held while the record is changed.
    pub(super) record: AsyncMutex<Option<Option<String>>>,
    /// Held by the attempt that may reserve, or wait for those in flight.
    pub(super) front: AsyncMutex<()>,
    pub(super) settled: Notify,
    /// The number of times that the store did not answer. An attempt that waited then need not ask again.
    pub(super) outages: AtomicU32,
    waiting: AtomicUsize,
}

/// A queue in use. It is dropped with its last user, unless it remembers a record.
pub(super) struct Entered {
    pub(super) key: String,
    pub(super) queue: Arc<Queue>,
    shared: Arc<Shared>,
}

struct Place<'a>(&'a Entered);

impl Queues {
    pub(super) fn enter(&self, key: &str) -> Entered {
        let mut queues = self.0.lock();
        let used = queues.entry(key.to_owned()).or_default();
        used.users += 1;
        Entered { key: key.to_owned(), queue: used.queue.clone(), shared: self.0.clone() }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.lock().len()
    }
}

impl Entered {
    /// The front of the queue, by `deadline`; `None` where that is not reached, or too many wait.
    pub(super) async fn front(&self, deadline: Instant) -> Option<AsyncMutexGuard<'_, ()>> {
        if let Ok(front) = self.queue.front.try_lock() {
            return Some(front);
        }
        let _place = self.wait()?;
        tokio::time::timeout_at(deadline, self.queue.front.lock()).await.ok()
    }

    /// A place among the attempts that wait; `None` where too many do.
    fn wait(&self) -> Option<Place<'_>> {
        // Counted first, so that the place is given up again however this ends.
        let place = Place(self);
        let here = self.queue.waiting.fetch_add(1, Ordering::Relaxed);
        let in_all = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        (here < MAX_WAITING && in_all < MAX_WAITING_IN_ALL).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queue.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut queues = self.shared.lock();
        let Some(used) = queues.get_mut(&self.key) else { return };
        used.users -= 1;
        if used.users > 0 {
            return;
        }
        let remembers = self.queue.record.try_lock().is_ok_and(|seen| seen.is_some());
        if !remembers {
            queues.remove(&self.key);
        } else if queues.len() > MAX_REMEMBERED {
            queues.retain(|_, used| used.users > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_shared_while_in_use_and_then_forgotten() {
        let queues = Queues::default();
        let (one, same, other) = (queues.enter("a"), queues.enter("a"), queues.enter("b"));
        assert!(Arc::ptr_eq(&one.queue, &same.queue) && !Arc::ptr_eq(&one.queue, &other.queue));
        drop(one);
        assert_eq!(queues.count(), 2);
        drop((same, other));
        assert_eq!(queues.count(), 0);
    }

    #[test]
    fn some_records_are_remembered() {
        let queues = Queues::default();
        let remember = |key: &str| {
            let entered = queues.enter(key);
            *entered.queue.record.try_lock().unwrap() = Some(Some(key.to_owned()));
            entered
        };
        drop(remember("a"));
        let seen = queues.enter("a").queue.record.try_lock().unwrap().clone();
        assert_eq!(seen, Some(Some("a".to_owned())));
        let in_use = remember("b");
        (0..2 * MAX_REMEMBERED).for_each(|number| drop(remember(&number.to_string())));
        assert!(queues.count() <= MAX_REMEMBERED + 1, "{}", queues.count());
        assert!(Arc::ptr_eq(&queues.enter("b").queue, &in_use.queue));
    }

    #[test]
    fn so_many_may_wait_and_no_more() {
        let queues = Queues::default();
        let entered = queues.enter("a");
        let places: Vec<_> = (0..MAX_WAITING).map_while(|_| entered.wait()).collect();
        assert_eq!(places.len(), MAX_WAITING);
        assert!(entered.wait().is_none());
        assert!(queues.enter("b").wait().is_some(), "others have their own");
        drop(places);
        assert!(entered.wait().is_some());
        assert_eq!(queues.0.waiting.load(Ordering::Relaxed), 0);
    }
}
