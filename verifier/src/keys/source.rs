//! The keys that are held now, and the one refetch that all verifications share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::{Notify, watch};

use super::KeySet;
use super::absent::Absent;
use super::budget::Budget;
use crate::http::FetchError;

/// The maximum number of remembered unknown names.
const MAX_ABSENT: usize = 1024;

/// A set of keys, and until when it may be used without a newer one.
pub struct Held {
    set: Arc<KeySet>,
    usable_until: Instant,
}

impl Held {
    /// The keys, while they may be used.
    pub fn usable(&self, now: Instant) -> Option<&KeySet> {
        (now < self.usable_until).then_some(&self.set)
    }
}

/// The outcome of the latest fetch.
#[derive(Default)]
pub struct Round {
    number: u64,
    failure: Option<FetchError>,
}

/// Who needs a missing key. Anybody can forge tokens, but only the issuer's server its documents:
/// forged tokens must not use up the budget of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A token's verification.
    Token,
    /// The feed.
    Feed,
}

/// Why a missing key is not fetched.
#[derive(Debug)]
pub enum NotFetched {
    /// It was looked for a moment ago, and the issuer has no such key.
    Absent,
    /// The budget is used up. If the latest fetch failed, this is why.
    Refused(Option<FetchError>),
    /// The fetch failed.
    Failed(FetchError),
}

/// The issuer's keys, as one background task (`refresh`) keeps them.
pub struct Keys {
    held: ArcSwapOption<Held>,
    asks: Mutex<Asks>,
    wish: Notify,
    rounds: watch::Receiver<Round>,
}

struct Asks {
    in_flight: bool,
    /// When the fetch in progress began.
    begun_at: Option<Instant>,
    /// When the last finished one began: the answer is not older.
    answered: Option<Instant>,
    /// By asker.
    budgets: [Budget; 2],
    absent: Absent,
}

impl Keys {
    /// Without keys at first. The sender is for the task: when it ends, nothing waits any longer.
    pub fn new(
        interval: Duration,
        per_minute: usize,
        absent_for: Duration,
    ) -> (Self, watch::Sender<Round>) {
        let (sender, rounds) = watch::channel(Round::default());
        let asks = Asks {
            // The task begins with a fetch.
            in_flight: true,
            begun_at: None,
            answered: None,
            budgets: [(); 2].map(|()| Budget::new(interval, per_minute)),
            absent: Absent::new(absent_for, MAX_ABSENT),
        };
        let keys = Self {
            held: ArcSwapOption::empty(),
            asks: Mutex::new(asks),
            wish: Notify::new(),
            rounds,
        };
        (keys, sender)
    }

    /// The keys that are held now; takes no lock.
    pub fn load(&self) -> Guard<Option<Arc<Held>>> {
        self.held.load()
    }

    /// Whether there are keys that may be used.
    pub fn are_usable(&self, now: Instant) -> bool {
        self.load().as_ref().is_some_and(|held| held.usable(now).is_some())
    }

    /// Waits for the fetch that may bring the key `kid`, or any keys if there are none. All callers
    /// share one fetch, and the asker's budget decides whether it is made.
    #[allow(clippy::indexing_slicing, reason = "one budget for each asker")]
    pub async fn refetch(
        &self,
        asker: Asker,
        kid: Option<&str>,
        now: Instant,
    ) -> Result<(), NotFetched> {
        let mut rounds = self.rounds.clone();
        let seen = {
            let mut asks = self.asks();
            let is_absent = kid.is_some_and(|kid| asks.absent.contains(kid, now));
            if asker == Asker::Token && is_absent {
                return Err(NotFetched::Absent);
            }
            let failure = rounds.borrow().failure.clone();
            if asks.in_flight && kid.is_some() && failure.is_some() {
                // While the issuer is down, forged tokens must not pile up until each time-out.
                return Err(NotFetched::Refused(failure));
            }
            if !asks.in_flight {
                if !asks.budgets[asker as usize].take(now) {
                    return Err(NotFetched::Refused(failure));
                }
                asks.in_flight = true;
                self.wish.notify_one();
            }
            rounds.borrow_and_update().number
        };
        let failure = match rounds.wait_for(|round| round.number > seen).await {
            Ok(round) => round.failure.clone(),
            Err(_) => Some(FetchError::Stopped),
        };
        failure.map_or(Ok(()), |failure| Err(NotFetched::Failed(failure)))
    }

    /// Records that a fetch did not bring `kid`, which was missing at `since`. A fetch that was in
    /// progress by then proves nothing: its answer may be older than the key.
    pub fn note_absent(&self, kid: &str, since: Instant) {
        let mut asks = self.asks();
        if asks.answered.is_some_and(|begun_at| begun_at >= since) {
            asks.absent.insert(kid, since);
        }
    }

    /// Why there are no keys, if known.
    pub fn failure(&self) -> FetchError {
        self.rounds.borrow().failure.clone().unwrap_or(FetchError::Stopped)
    }

    /// For the task: a key is missing.
    pub(super) async fn wished(&self) {
        self.wish.notified().await;
    }

    /// For the task: a fetch begins, and every caller that needs a missing key waits for it.
    pub(super) fn begin(&self) {
        let mut asks = self.asks();
        asks.in_flight = true;
        asks.begun_at = Some(Instant::now());
    }

    /// For the task: replaces the keys.
    pub(super) fn hold(&self, set: Arc<KeySet>, usable_until: Instant) {
        self.held.store(Some(Arc::new(Held { set, usable_until })));
    }

    /// For the task: the fetch is over. Under the lock, so that nothing begins to wait for a fetch
    /// that has just ended.
    pub(super) fn finish(&self, rounds: &watch::Sender<Round>, failure: Option<FetchError>) {
        let mut asks = self.asks();
        asks.in_flight = false;
        asks.answered = asks.begun_at.take();
        rounds.send_modify(|round| *round = Round { number: round.number + 1, failure });
    }

    fn asks(&self) -> MutexGuard<'_, Asks> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (Keys, watch::Sender<Round>) {
        Keys::new(Duration::from_secs(5), 10, Duration::from_secs(30))
    }

    #[tokio::test]
    async fn all_who_miss_a_key_share_one_fetch() {
        let (keys, rounds) = keys();
        let keys = Arc::new(keys);
        let now = Instant::now();
        keys.finish(&rounds, None);
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let keys = Arc::clone(&keys);
                tokio::spawn(
                    async move { keys.refetch(Asker::Token, Some(&n.to_string()), now).await },
                )
            })
            .collect();
        keys.wished().await;
        keys.begin();
        // Everybody has asked before the answer is there.
        tokio::task::yield_now().await;
        keys.finish(&rounds, None);
        for waiting in waiting {
            assert!(waiting.await.unwrap().is_ok());
        }
        // The next fetch has to wait, and a key that is known to be absent causes none.
        let refused = keys.refetch(Asker::Token, Some("x"), now).await;
        assert!(matches!(refused, Err(NotFetched::Refused(None))));
        // A fetch that was under way says nothing of who comes later.
        let later = now + Duration::from_secs(10);
        keys.note_absent("x", later);
        assert!(!keys.asks().absent.contains("x", later));
        keys.note_absent("x", now);
        let absent = keys.refetch(Asker::Token, Some("x"), later).await;
        assert!(matches!(absent, Err(NotFetched::Absent)));
    }

    #[tokio::test]
    async fn what_tokens_use_up_is_not_the_feeds() {
        let (keys, rounds) = keys();
        let now = Instant::now();
        keys.finish(&rounds, None);
        for asker in [Asker::Token, Asker::Feed] {
            let (fetched, ()) = tokio::join!(keys.refetch(asker, Some("x"), now), async {
                keys.wished().await;
                keys.begin();
                keys.finish(&rounds, None);
            });
            assert!(fetched.is_ok(), "{asker:?}");
            keys.note_absent("x", now);
            assert!(keys.refetch(asker, Some("y"), now).await.is_err(), "{asker:?}");
        }
    }

    #[tokio::test]
    async fn a_failed_fetch_tells_and_a_task_that_ended_leaves_nobody_waiting() {
        let (keys, rounds) = keys();
        let now = Instant::now();
        let (sought, ()) = tokio::join!(keys.refetch(Asker::Token, None, now), async {
            keys.finish(&rounds, Some(FetchError::Timeout));
        });
        assert!(matches!(sought, Err(NotFetched::Failed(FetchError::Timeout))));
        assert_eq!(keys.failure(), FetchError::Timeout);
        // The next one may fail as slowly: who brings a token that may be forged does not wait.
        keys.begin();
        let sought = keys.refetch(Asker::Token, Some("x"), now).await;
        assert!(matches!(sought, Err(NotFetched::Refused(Some(FetchError::Timeout)))));
        let (sought, ()) =
            tokio::join!(keys.refetch(Asker::Token, None, now), async { drop(rounds) });
        assert!(matches!(sought, Err(NotFetched::Failed(FetchError::Stopped))));
    }

    #[test]
    fn keys_are_held_until_their_bound() {
        let (keys, _rounds) = keys();
        let now = Instant::now();
        assert!(!keys.are_usable(now));
        keys.hold(Arc::default(), now + Duration::from_secs(10));
        assert!(keys.are_usable(now + Duration::from_secs(9)));
        assert!(!keys.are_usable(now + Duration::from_secs(10)));
    }
}
