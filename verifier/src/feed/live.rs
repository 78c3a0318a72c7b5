//! What is revoked now, as verification sees it: one short read lock, and no allocation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::revocations::{Names, Revocations};
use super::state::Action;
use super::{Beyond, Feed, Status};
use crate::error::{Error, Reason, Unavailable};
use crate::http::FetchError;

/// No change is held.
const NONE: u64 = u64::MAX;

/// Shared between those who verify and the one task that follows the feed.
pub struct Live {
    revocations: RwLock<Revocations>,
    max_staleness: Duration,
    beyond: Beyond,
    start: Instant,
    /// Microseconds from `start` to the moment up to which everything was heard, and one; 0 while
    /// nothing was.
    known: AtomicU64,
    streaming: AtomicBool,
    /// The last change that the stream need not bring again.
    position: AtomicU64,
    first: watch::Sender<First>,
}

/// What came of the first snapshot.
#[derive(Clone, Debug)]
pub enum First {
    /// Nothing yet.
    Pending,
    /// It is in effect.
    Taken,
    /// It could not be taken so far.
    Failed(FetchError),
}

impl Live {
    /// Nothing is known.
    pub fn new(feed: &Feed) -> Self {
        // Ages before this moment are told apart too.
        let now = Instant::now();
        let start = now.checked_sub(Duration::from_secs(86_400)).unwrap_or(now);
        Self {
            revocations: RwLock::default(),
            max_staleness: feed.max_staleness,
            beyond: feed.beyond,
            start,
            known: AtomicU64::new(0),
            streaming: AtomicBool::new(false),
            position: AtomicU64::new(NONE),
            first: watch::channel(First::Pending).0,
        }
    }

    /// Whether the token of `names` may still be accepted.
    pub fn check(&self, names: &Names<'_>, now: Instant) -> Result<(), Error> {
        if self.read().end(names) {
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
        self.read().end_key(kid)
    }

    /// How old what is known is; none while nothing is.
    pub fn staleness(&self, now: Instant) -> Option<Duration> {
        let known = self.known.load(Ordering::Acquire).checked_sub(1)?;
        Some(now.saturating_duration_since(self.start + Duration::from_micros(known)))
    }

    /// Whether that is older than the caller allowed.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.staleness(now).is_none_or(|staleness| staleness > self.max_staleness)
    }

    /// How the feed is followed.
    pub fn status(&self) -> Status {
        match (self.known.load(Ordering::Acquire), self.streaming.load(Ordering::Acquire)) {
            (0, _) => Status::Never,
            (_, true) => Status::Streaming,
            (_, false) => Status::Polling,
        }
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.read().len()
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

    /// For the task: does what the state machine says. What takes long is done before the lock is
    /// taken or after it is given back; nobody else writes.
    pub(super) fn apply(&self, action: Action) {
        match action {
            Action::Merge(entries) => {
                let missing = entries.missing_from(&self.read());
                if missing.len() > 0 {
                    self.write().absorb(missing);
                }
            }
            Action::Replace(entries) => {
                let former = std::mem::replace(&mut *self.write(), entries);
                drop(former);
            }
        }
    }

    /// For the task: forgets what concerns no token any longer.
    pub(super) fn sweep(&self, now: i64) {
        let expired = self.read().expired(now);
        if !expired.is_empty() {
            self.write().remove(&expired);
        }
    }

    /// For the task: everything up to `known` was heard, and `seq` was the last change of it.
    pub(super) fn set_known(&self, known: Option<Instant>, seq: Option<u64>) {
        let micros = known.map_or(0, |known| {
            let since = known.saturating_duration_since(self.start).as_micros();
            u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
        });
        self.known.store(micros, Ordering::Release);
        self.position.store(seq.unwrap_or(NONE), Ordering::Release);
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

    /// For the stream: the last change that is held.
    pub(super) fn position(&self) -> Option<u64> {
        Some(self.position.load(Ordering::Acquire)).filter(|seq| *seq != NONE)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Revocations> {
        self.revocations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Revocations> {
        self.revocations.write().unwrap_or_else(PoisonError::into_inner)
    }
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
        let now = Instant::now();
        for (beyond, refused) in [(Beyond::Refuse, true), (Beyond::Accept, false)] {
            let live = Live::new(&Feed::new(bound, beyond));
            assert_eq!(live.check(&NAMES, now).is_err(), refused, "nothing is known yet");
            assert_eq!((live.status(), live.staleness(now)), (Status::Never, None));
            live.set_known(Some(now), Some(0));
            let early = now + bound - Duration::from_millis(1);
            assert!(live.check(&NAMES, early).is_ok());
            let late = now + bound + Duration::from_millis(1);
            assert_eq!(live.check(&NAMES, late).is_err(), refused);
            assert!(live.is_stale(late) && live.staleness(late) > Some(bound));
            // What is known to be revoked is refused in any case.
            live.apply(Action::Merge(ends("t")));
            assert_eq!(live.check(&NAMES, late), Err(Reason::Revoked.into()));
        }
    }

    #[test]
    fn what_was_heard_is_in_effect_until_it_expires() {
        let live = Live::new(&Feed::new(Duration::from_secs(10), Beyond::Accept));
        let now = Instant::now();
        live.apply(Action::Merge(ends("a")));
        live.apply(Action::Merge(ends("t")));
        assert!(live.check(&NAMES, now).is_err() && live.len() == 2);
        live.sweep(49);
        assert_eq!(live.len(), 2);
        live.apply(Action::Replace(ends("b")));
        assert!(live.check(&NAMES, now).is_ok() && live.len() == 1);
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
        live.set_known(Some(Instant::now()), Some(7));
        live.note_failure(&FetchError::Timeout);
        assert_eq!(live.first().await, Ok(()));
        assert_eq!((live.position(), live.status()), (Some(7), Status::Polling));
        live.set_streaming(true);
        assert_eq!(live.status(), Status::Streaming);
    }
}
