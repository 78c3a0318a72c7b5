//! The present set of revocations, as verification reads it: one short read lock, and no
//! allocation.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::revocations::{Names, Revocations};
use super::state::Action;
use super::{Beyond, Feed, Status};
use crate::clock::Now;
use crate::error::{Error, Reason, Unavailable};
use crate::http::FetchError;

/// Shared between verifications and the one task that follows the feed.
pub struct Live {
    /// The entries of each lane, by its name. There are few.
    lanes: RwLock<Vec<(Box<str>, Revocations)>>,
    max_staleness: Duration,
    beyond: Beyond,
    start: Instant,
    /// Microseconds from `start` to the moment up to which the state is complete, plus one; 0
    /// before the first snapshot.
    known: AtomicU64,
    /// The same moment in seconds since the Unix epoch: the other clock may stand still while the
    /// machine is suspended.
    known_unix: AtomicI64,
    streaming: AtomicBool,
    /// The id of the last event up to which all entries are held.
    position: Mutex<Option<String>>,
    first: watch::Sender<First>,
}

/// The outcome of the first snapshot.
#[derive(Clone, Debug)]
pub enum First {
    /// Nothing yet.
    Pending,
    /// It is in effect.
    Taken,
    /// It failed so far.
    Failed(FetchError),
}

impl Live {
    /// No snapshot is in effect.
    pub fn new(feed: &Feed) -> Self {
        // Makes ages before this moment distinguishable.
        let now = Instant::now();
        let start = now.checked_sub(Duration::from_secs(86_400)).unwrap_or(now);
        Self {
            lanes: RwLock::default(),
            max_staleness: feed.max_staleness,
            beyond: feed.beyond,
            start,
            known: AtomicU64::new(0),
            known_unix: AtomicI64::new(0),
            streaming: AtomicBool::new(false),
            position: Mutex::default(),
            first: watch::channel(First::Pending).0,
        }
    }

    /// Whether the token of `names` may still be accepted.
    pub fn check(&self, names: &Names<'_>, now: Now) -> Result<(), Error> {
        if self.read().iter().any(|(_, revocations)| revocations.end(names)) {
            return Err(Reason::Revoked.into());
        }
        match self.beyond {
            Beyond::Refuse if self.is_stale(now) => {
                Err(Error::Unavailable(Unavailable::Stale(self.staleness(now))))
            }
            _ => Ok(()),
        }
    }

    /// Whether a key's signatures no longer count.
    pub fn ends_key(&self, kid: &str) -> bool {
        self.read().iter().any(|(_, revocations)| revocations.end_key(kid))
    }

    /// The age of the state, by the clock that gives the higher one; `None` before the first
    /// snapshot.
    pub fn staleness(&self, now: Now) -> Option<Duration> {
        let known = self.known.load(Ordering::Acquire).checked_sub(1)?;
        let age = now.instant.saturating_duration_since(self.start + Duration::from_micros(known));
        // The clock has whole seconds, so the age may appear one second too high.
        let seconds = now.unix.saturating_sub(self.known_unix.load(Ordering::Acquire)) - 1;
        Some(age.max(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    }

    /// Whether that is older than the caller allows.
    pub fn is_stale(&self, now: Now) -> bool {
        self.staleness(now).is_none_or(|staleness| staleness > self.max_staleness)
    }

    /// How the feed is followed now.
    pub fn status(&self) -> Status {
        match (self.known.load(Ordering::Acquire), self.streaming.load(Ordering::Acquire)) {
            (0, _) => Status::Never,
            (_, true) => Status::Streaming,
            (_, false) => Status::Polling,
        }
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.read().iter().map(|(_, revocations)| revocations.len()).sum()
    }

    /// Waits until the first snapshot is in effect, or the next try failed.
    pub async fn first(&self) -> Result<(), FetchError> {
        let mut first = self.first.subscribe();
        if !matches!(*first.borrow_and_update(), First::Taken) {
            first.changed().await.map_err(|_| FetchError::Stopped)?;
        }
        match &*first.borrow() {
            First::Failed(error) => Err(error.clone()),
            First::Pending | First::Taken => Ok(()),
        }
    }

    /// For the task: carries out the decision of the state machine of `lane`. Slow work is done
    /// outside of the lock; the task is the only writer.
    pub(super) fn apply(&self, lane: &str, action: Action) {
        match action {
            Action::Merge(entries) => {
                let missing = match self.read().iter().find(|(name, _)| **name == *lane) {
                    Some((_, held)) => entries.missing_from(held),
                    None => entries,
                };
                if missing.len() > 0 {
                    of_lane(&mut self.write(), lane).absorb(missing);
                }
            }
            Action::Replace(entries) => {
                let former = std::mem::replace(of_lane(&mut self.write(), lane), entries);
                drop(former);
            }
        }
    }

    /// For the task: drops expired entries.
    pub(super) fn sweep(&self, now: i64) {
        let expired: Vec<_> =
            self.read().iter().map(|(_, revocations)| revocations.expired(now)).collect();
        if expired.iter().all(Vec::is_empty) {
            return;
        }
        // The task is the only writer, so the lanes are the same in the same order.
        for ((_, revocations), expired) in self.write().iter_mut().zip(&expired) {
            revocations.remove(expired);
        }
    }

    /// For the task: the state is complete up to `known`.
    pub(super) fn set_known(&self, known: Option<Instant>, now: Now) {
        let micros = known.map_or(0, |known| {
            let since = known.saturating_duration_since(self.start).as_micros();
            u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
        });
        // An older confirmation does not make the state younger: the machine may have been
        // suspended.
        if self.known.load(Ordering::Acquire) != micros {
            let age = known.map(|known| now.instant.saturating_duration_since(known));
            let age = i64::try_from(age.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
            self.known_unix.store(now.unix.saturating_sub(age), Ordering::Release);
            self.known.store(micros, Ordering::Release);
        }
        if known.is_some() {
            self.first.send_if_modified(|first| {
                let begins = !matches!(first, First::Taken);
                *first = First::Taken;
                begins
            });
        }
    }

    /// For the task: no snapshot could be taken.
    pub(super) fn note_failure(&self, error: &FetchError) {
        self.first.send_if_modified(|first| {
            let pending = !matches!(first, First::Taken);
            if pending {
                *first = First::Failed(error.clone());
            }
            pending
        });
    }

    /// For the task: whether the stream is open.
    pub(super) fn set_streaming(&self, streaming: bool) {
        self.streaming.store(streaming, Ordering::Release);
    }

    /// For the task: where the stream is to continue, as the id of an event.
    pub(super) fn set_position(&self, id: Option<String>) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    /// For the stream: where it is to continue, as the id of an event.
    pub(super) fn position(&self) -> Option<String> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<(Box<str>, Revocations)>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<(Box<str>, Revocations)>> {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entries of the lane of this name; empty for a new lane.
#[allow(clippy::indexing_slicing, reason = "the position was found or pushed just before")]
fn of_lane<'a>(lanes: &'a mut Vec<(Box<str>, Revocations)>, name: &str) -> &'a mut Revocations {
    let position = lanes.iter().position(|(known, _)| **known == *name).unwrap_or_else(|| {
        lanes.push((name.into(), Revocations::default()));
        lanes.len() - 1
    });
    &mut lanes[position].1
}

#[cfg(test)]
mod tests {
    use super::super::revocations::{Entry, Kind};
    use super::*;

    const NAMES: Names<'_> =
        Names { session: None, token: "t", subject: "u", client: "c", key: "k", issued_at: 100 };

    fn ends(name: &str) -> Revocations {
        let mut set = Revocations::default();
        let kind = Kind::Token;
        set.insert(Entry { kind, name: name.into(), before: i64::MAX, exp: 50 });
        set
    }

    #[test]
    fn beyond_its_bound_the_caller_decides() {
        let bound = Duration::from_secs(10);
        let at = Now::read();
        let now = at.instant;
        for (beyond, refused) in [(Beyond::Refuse, true), (Beyond::Accept, false)] {
            let live = Live::new(&Feed::new(bound, beyond));
            assert_eq!(live.check(&NAMES, at).is_err(), refused, "nothing is known yet");
            assert_eq!((live.status(), live.staleness(at)), (Status::Never, None));
            live.set_known(Some(now), at);
            let early = Now { instant: now + bound - Duration::from_millis(1), ..at };
            assert!(live.check(&NAMES, early).is_ok());
            let late = Now { instant: now + bound + Duration::from_millis(1), ..at };
            assert_eq!(live.check(&NAMES, late).is_err(), refused);
            assert!(live.is_stale(late) && live.staleness(late) > Some(bound));
            // What is known to be revoked is refused in any case.
            live.apply("0", Action::Merge(ends("t")));
            assert_eq!(live.check(&NAMES, late), Err(Reason::Revoked.into()));
        }
    }

    #[test]
    fn a_suspended_machine_grows_stale() {
        let live = Live::new(&Feed::new(Duration::from_secs(10), Beyond::Refuse));
        let start = Now::read();
        let age = Duration::from_millis(1900);
        live.set_known(start.instant.checked_sub(age), start);
        // The clock that is never set stood still.
        let after = |seconds: i64| Now { unix: start.unix + seconds, ..start };
        let seconds = live.staleness(after(1)).unwrap().as_secs_f64();
        assert!((seconds - 1.9).abs() < 0.001, "whole seconds add nothing: {seconds}");
        assert_eq!(live.staleness(after(60)), Some(Duration::from_secs(60)));
        assert!(live.check(&NAMES, after(8)).is_ok() && live.check(&NAMES, after(11)).is_err());
        // What was known before does not become known anew, and what is set back does no harm.
        live.set_known(start.instant.checked_sub(age), after(60));
        assert!(live.is_stale(after(60)) && !live.is_stale(after(-60)));
        live.set_known(Some(start.instant), after(60));
        assert!(!live.is_stale(after(60)));
    }

    #[test]
    fn what_was_heard_is_in_effect_until_it_expires() {
        let live = Live::new(&Feed::new(Duration::from_secs(10), Beyond::Accept));
        let now = Now::read();
        live.apply("0", Action::Merge(ends("a")));
        live.apply("0", Action::Merge(ends("t")));
        assert!(live.check(&NAMES, now).is_err() && live.len() == 2);
        live.sweep(49);
        assert_eq!(live.len(), 2);
        live.apply("0", Action::Replace(ends("b")));
        assert!(live.check(&NAMES, now).is_ok() && live.len() == 1);
        live.sweep(50);
        assert_eq!(live.len(), 0);
    }

    #[test]
    fn another_history_of_one_lane_leaves_the_others_alone() {
        let live = Live::new(&Feed::new(Duration::from_secs(10), Beyond::Accept));
        let now = Now::read();
        live.apply("0", Action::Replace(ends("a")));
        live.apply("1", Action::Merge(ends("t")));
        live.apply("1", Action::Merge(ends("b")));
        assert_eq!(live.len(), 3);
        live.apply("0", Action::Replace(ends("c")));
        assert!(live.check(&NAMES, now).is_err() && live.len() == 3);
        live.apply("1", Action::Replace(ends("d")));
        assert!(live.check(&NAMES, now).is_ok() && live.len() == 2);
        live.sweep(50);
        assert_eq!(live.len(), 0);
    }

    #[tokio::test]
    async fn the_first_snapshot_can_be_waited_for() {
        let live = Live::new(&Feed::new(Duration::from_secs(10), Beyond::Refuse));
        for _ in 0..2 {
            let failing = async { live.note_failure(&FetchError::Timeout) };
            let (first, ()) = tokio::join!(live.first(), failing);
            assert_eq!(first, Err(FetchError::Timeout));
        }
        live.set_known(Some(Instant::now()), Now::read());
        live.set_position(Some("0:7".into()));
        live.note_failure(&FetchError::Timeout);
        assert_eq!(live.first().await, Ok(()));
        assert_eq!((live.position(), live.status()), (Some("0:7".into()), Status::Polling));
        live.set_streaming(true);
        assert_eq!(live.status(), Status::Streaming);
    }
}
