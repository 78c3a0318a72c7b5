//! The revocation feed: access tokens that end before their `exp`. Resource servers verify tokens
//! locally, and refuse those that a signed snapshot or a stream of Security Event Tokens (RFC 8417)
//! revokes.
//!
//! The database is the record. A change is written before the request that caused it is answered,
//! and numbered without gaps in the order of commits. Each instance follows the record, holds the
//! valid entries in memory, signs and publishes them. Invariant: a follower with all changes up to
//! a number refuses every token that an acknowledged request ended before the next change was made.

mod entry;
mod event;
mod feed;
mod live;
mod recording;
mod snapshot;
mod store;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use uuid::Uuid;

pub(crate) use entry::Entry;
pub use entry::{Revoked, RevokedToken};
pub use recording::TokenRevocation;
pub(crate) use recording::{EndedSession, ForeignToken, TooMany};
pub(crate) use snapshot::Snapshot;

use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::domain::tokens::{Claims, LEEWAY, Policy, SignError, Signer};
use crate::storage::{Db, StorageError, Stored};
use feed::{Feed, Subscription};
use store::Store;

/// How long changes are signed one by one while others may arrive. Beyond it listeners are sent to
/// the snapshot, which takes one signature.
const SIGNING_PATIENCE: Duration = Duration::from_secs(1);
/// How long no further request waits for a key that failed to sign a snapshot.
const SIGNED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The only lane so far. Each lane is a history with numbers of its own.
pub const LANE: &str = "0";

/// The `iss` and `aud` of what the feed signs: the address of the snapshot.
fn name_of_feed(issuer: &str) -> String {
    format!("{issuer}/revocations")
}

/// Why an instance could not follow or publish the record.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The new entries are in effect here, but no key signs them for others.
    #[error("a revocation could not be signed")]
    Sign(#[from] SignError),
}

/// All revocations. Cheap to clone.
#[derive(Clone)]
pub struct Revocations {
    store: Store,
    feed: Arc<Feed>,
    random: Random,
    recorded: Arc<Notify>,
    following: Arc<Mutex<()>>,
    snapshot: Arc<ArcSwapOption<Snapshot>>,
    /// Held while the next snapshot is made; with the time of the last failure.
    making: Arc<Mutex<Option<Instant>>>,
}

impl Revocations {
    /// The revocations recorded in `db`. It has no entry before the first [`Revocations::follow`].
    pub async fn open(db: Db, random: Random) -> Stored<Self> {
        let store = Store { db };
        store.ensure_history(&random.uuid().simple().to_string()).await?;
        Ok(Self {
            store,
            feed: Arc::new(Feed::new()),
            random,
            recorded: Arc::default(),
            following: Arc::default(),
            snapshot: Arc::default(),
            making: Arc::default(),
        })
    }

    /// Wakes the follower after a change by this process.
    pub fn announce(&self) {
        self.recorded.notify_one();
    }

    pub(crate) async fn recorded(&self) {
        self.recorded.notified().await;
    }

    /// Records the longest time for which access tokens can be valid as of now, leeway included:
    /// revocations stay on record that long. To be called at the start, about once a minute, and
    /// before a longer lifetime is configured.
    pub async fn observe_token_life(&self, life: Duration, now: Timestamp) -> Stored<()> {
        self.store.observe_token_life(life, now).await
    }

    pub(crate) fn covers(&self, claims: &Claims) -> bool {
        self.feed.ask(|live| live.covers(claims))
    }

    /// Drops the expired entries of this process.
    pub fn has_session(&self, sid: Uuid) -> bool {
        self.feed.ask(|live| live.has_session(sid))
    }

    /// Ends all streams, and accepts no more.
    pub fn count(&self) -> usize {
        self.feed.ask(live::Live::len)
    }

    pub(crate) fn age(&self) -> Duration {
        self.feed.age().unwrap_or(Duration::MAX)
    }

    /// Applies new changes of the record, and publishes them to listeners. If a key was revoked,
    /// `keys` reloads the keys first, so that no snapshot revokes the key that signs it.
    pub async fn follow(
        &self,
        signer: &Signer,
        keys: impl AsyncFnOnce(),
        now: Timestamp,
    ) -> Result<(), FollowError> {
        let _following = self.following.lock().await;
        let moment = Instant::now();
        if self.take_over(keys).await? {
            // No follower could verify the events that the key has signed.
            self.forget(signer, now);
        }
        while let Some((epoch, change)) = self.feed.waiting() {
            if change.entries.is_empty() {
                // A newer version wrote the change. It is skipped, as in the snapshot.
                self.feed.skip_waiting();
                break;
            }
            self.feed.publish(event::of_change(change, &epoch, signer, now).await?);
            if moment.elapsed() > SIGNING_PATIENCE {
                self.feed.skip_waiting();
            }
        }
        self.feed.confirm(moment);
        Ok(())
    }

    /// Applies new changes of the record. Returns whether a key was revoked.
    async fn take_over(&self, keys: impl AsyncFnOnce()) -> Stored<bool> {
        let (head, known) = (self.store.head().await?, self.feed.head());
        let anew = head.epoch != known.epoch || head.seq < known.seq;
        if !anew && head.seq == known.seq {
            return Ok(false);
        }
        let changes = self.read_after(if anew { 0 } else { known.seq }).await?;
        let is_key = |entry: &Entry| matches!(entry.revoked, Revoked::Key { .. });
        let has_key = changes.iter().flat_map(|change| &change.entries).any(is_key);
        if has_key {
            keys().await;
        }
        if anew {
            self.feed.begin_anew(head, changes);
        } else {
            self.feed.take_in(changes, head.seq);
        }
        Ok(has_key)
    }

    async fn read_after(&self, seq: i64) -> Stored<VecDeque<entry::Change>> {
        let (mut changes, mut all) = self.store.read_after(seq).await?;
        while !all {
            let after = changes.back().map_or(seq, |last| last.seq);
            let more;
            (more, all) = self.store.read_after(after).await?;
            changes.extend(more);
        }
        Ok(changes)
    }

    /// All entries that are valid at `now` in this instance, unpublished ones included.
    pub fn entries(&self, now: Timestamp) -> Vec<Entry> {
        self.feed.entries(now).1
    }

    /// The signed snapshot, and how long ago the database was last read completely.
    pub async fn snapshot(
        &self,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<(Arc<Snapshot>, Duration), SignError> {
        if let Some(snapshot) = self.current(signer, now) {
            return Ok(snapshot);
        }
        let making = self.making.clone().lock_owned().await;
        if let Some(snapshot) = self.current(signer, now) {
            return Ok(snapshot);
        }
        let last = self.snapshot.load_full();
        let last = last.filter(|last| signer.is_published(&last.kid, now));
        // However many changes there are, snapshots take no more than a third of a core.
        let pause = |last: &Snapshot| last.made_at.elapsed() < last.took() * 3;
        if let Some(last) = last.clone().filter(|last| !last.is_old() && pause(last)) {
            return Ok(self.aged(last));
        }
        // On a task of its own, so that a caller who disconnects leaves the result to the others.
        let made = tokio::spawn(self.clone().make(signer.clone(), making, now)).await;
        match made.unwrap_or(Err(SignError::Away)) {
            Ok(snapshot) => Ok(self.aged(snapshot)),
            // An older snapshot with its true age is better than none.
            Err(error) => last.map(|last| self.aged(last)).ok_or(error),
        }
    }

    fn current(&self, signer: &Signer, now: Timestamp) -> Option<(Arc<Snapshot>, Duration)> {
        let snapshot = self.snapshot.load_full()?;
        let is_current = self.feed.is_at(&snapshot.epoch, snapshot.seq)
            && !snapshot.is_old()
            && signer.is_published(&snapshot.kid, now);
        is_current.then(|| self.aged(snapshot))
    }

    fn aged(&self, snapshot: Arc<Snapshot>) -> (Arc<Snapshot>, Duration) {
        let confirmed = self.age();
        let age = match self.feed.is_at(&snapshot.epoch, snapshot.seq) {
            true => confirmed,
            false => confirmed.max(snapshot.known_at.elapsed()),
        };
        (snapshot, age)
    }

    async fn make(
        self,
        signer: Signer,
        mut failed_at: OwnedMutexGuard<Option<Instant>>,
        now: Timestamp,
    ) -> Result<Arc<Snapshot>, SignError> {
        if failed_at.is_some_and(|at| at.elapsed() < SIGNED_AGAIN_AFTER) {
            return Err(SignError::Away);
        }
        let made = self.sign_all(&signer, now).await.map(Arc::new);
        *failed_at = made.is_err().then(Instant::now);
        if let Ok(snapshot) = &made {
            self.snapshot.store(Some(snapshot.clone()));
        }
        made
    }

    async fn sign_all(&self, signer: &Signer, now: Timestamp) -> Result<Snapshot, SignError> {
        let (feed, began) = (self.feed.clone(), Instant::now());
        let known_at = began.checked_sub(self.age()).unwrap_or(began);
        // Copying many entries must not block a thread that serves requests.
        let copied = tokio::task::spawn_blocking(move || feed.entries(now)).await;
        let (head, entries) = copied.map_err(|_| SignError::Away)?;
        let entries: Vec<_> =
            entries.into_iter().filter(|entry| entry.revoked.is_published()).collect();
        let jti = self.random.uuid().simple().to_string();
        Snapshot::sign(head, entries, (began, known_at), jti, signer, now).await
    }

    /// The stream for a listener that has received everything up to `after`, or nothing yet. It
    /// ends when the listener falls behind, and when the service stops; `None` when the service is
    /// about to stop.
    pub fn listen(&self, after: Option<i64>) -> Option<impl Stream<Item = Bytes> + use<>> {
        let Subscription { missed, coming, delay } = self.feed.listen(after)?;
        let beginning = stream::iter([event::BEGINNING].into_iter().chain(missed));
        let coming = stream::unfold(coming, move |mut coming| async move {
            let first = coming.recv().await.ok()?;
            if delay.is_zero() {
                return Some((first, coming));
            }
            tokio::time::sleep(delay).await;
            // Changes that arrived during the delay are sent too, or a delayed listener would fall
            // behind permanently.
            let mut text = BytesMut::from(first);
            loop {
                match coming.try_recv() {
                    Ok(more) => text.extend_from_slice(&more),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                    Err(TryRecvError::Lagged(_)) => return None,
                }
            }
            Some((text.freeze(), coming))
        });
        Some(beginning.chain(coming))
    }

    /// Sends a heartbeat to the listeners. To be called every few seconds.
    pub fn beat(&self) {
        self.feed.beat();
    }

    pub(crate) fn close(&self) {
        self.feed.close();
    }

    pub(crate) fn forget(&self, signer: &Signer, now: Timestamp) {
        let oldest = now.minus(Policy::MAX_ACCESS_TOKEN_LIFETIME).minus(LEEWAY);
        self.feed.forget(|kid| signer.is_published(kid, now), oldest, now);
    }

    /// Removes at most `limit` expired entries from the record. Returns how many; when it is
    /// `limit`, there may be more.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        self.store.purge(now, limit).await
    }
}
