//! What siblings must hear: access tokens that are dead before their time. They verify tokens locally,
//! and refuse what a signed snapshot or a stream of Security Event Tokens (RFC 8417) tells them.
//!
//! The database is the record. A change is written before whoever asked for it is answered, and
//! numbered without gaps in the order of commits. Each instance follows the record, holds in memory
//! what still matters, signs it, and passes it on. Invariant: who knows all changes up to a number
//! refuses every token that an acknowledged request had ended before the next one was made.

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

pub use entry::{Entry, Revoked};
pub use recording::{EndedSession, ForeignToken, RevokedToken, TokenRevocation, TooMany};
pub use snapshot::Snapshot;

use crate::base::secret::Random;
use crate::base::time::Timestamp;
use crate::domain::tokens::{Claims, LEEWAY, Policy, SignError, Signer};
use crate::storage::{Db, StorageError};
use feed::{Feed, Hearing};
use snapshot::Contents;
use store::Store;

/// How long changes are signed one by one while others may come. Beyond it listeners are sent to the
/// snapshot, which is one signature.
const SIGNING_PATIENCE: Duration = Duration::from_secs(1);
/// How long nobody waits again for a key that did not sign a snapshot: one who waits for a key that
/// does not answer is enough.
const SIGNED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The only lane that there is so far. Each lane is a history of its own, with its own numbers.
pub const LANE: &str = "0";

/// The `iss` and `aud` of what the feed signs: the address of the snapshot.
fn name_of_feed(issuer: &str) -> String {
    format!("{issuer}/revocations")
}

/// Why an instance could not follow the record, or pass it on.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What is new is known and refused here, but no key signs it for others.
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
    /// Held by whoever takes over what is new.
    following: Arc<Mutex<()>>,
    snapshot: Arc<ArcSwapOption<Snapshot>>,
    /// Held by whoever makes the next snapshot; when that last failed.
    making: Arc<Mutex<Option<Instant>>>,
}

impl Revocations {
    /// The revocations recorded in `db`. Nothing is known of them before the first
    /// [`Revocations::follow`].
    pub async fn open(db: Db, random: Random) -> Result<Self, StorageError> {
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

    /// Says that something was recorded.
    pub fn announce(&self) {
        self.recorded.notify_one();
    }

    /// Waits until something was recorded by this process.
    pub async fn recorded(&self) {
        self.recorded.notified().await;
    }

    /// Notes the longest that access tokens can be taken for alive as of now, leeway included, which
    /// is how long revocations have to be remembered. To be called at the start, about once a minute,
    /// and before a longer one is set.
    pub async fn observe_token_life(
        &self,
        life: Duration,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.store.observe_token_life(life, now).await
    }

    /// Whether the token with these claims is revoked, as far as this instance knows.
    pub fn covers(&self, claims: &Claims) -> bool {
        self.feed.ask(|live| live.covers(claims))
    }

    /// Whether the session is ended, as far as this instance knows.
    pub fn has_session(&self, sid: Uuid) -> bool {
        self.feed.ask(|live| live.has_session(sid))
    }

    /// How many entries matter, as far as this instance knows.
    pub fn count(&self) -> usize {
        self.feed.ask(live::Live::len)
    }

    /// How long ago this instance was known to know all.
    pub fn age(&self) -> Duration {
        self.feed.age().unwrap_or(Duration::MAX)
    }

    /// Takes over what is new in the record, and tells whoever listens. Where a key is revoked, `keys`
    /// reads them anew first: no statement is to revoke the key that signs it.
    pub async fn follow(
        &self,
        signer: &Signer,
        keys: impl AsyncFnOnce(),
        now: Timestamp,
    ) -> Result<(), FollowError> {
        let _following = self.following.lock().await;
        let moment = Instant::now();
        if self.take_over(keys).await? {
            // Nobody could verify the events that the key has signed.
            self.forget(signer, now);
        }
        while let Some((epoch, change)) = self.feed.waiting() {
            if change.entries.is_empty() {
                // A newer version wrote it. It can only be passed over, as the snapshot does.
                self.feed.skip_waiting();
                break;
            }
            self.feed.tell(event::of_change(change, &epoch, signer, now).await?);
            if moment.elapsed() > SIGNING_PATIENCE {
                self.feed.skip_waiting();
            }
        }
        self.feed.confirm(moment);
        Ok(())
    }

    /// Takes over what is new in the record; whether a key was revoked.
    async fn take_over(&self, keys: impl AsyncFnOnce()) -> Result<bool, StorageError> {
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

    async fn read_after(&self, seq: i64) -> Result<VecDeque<entry::Change>, StorageError> {
        let (mut changes, mut all) = self.store.read_after(seq).await?;
        while !all {
            let after = changes.back().map_or(seq, |last| last.seq);
            let more;
            (more, all) = self.store.read_after(after).await?;
            changes.extend(more);
        }
        Ok(changes)
    }

    /// All that matters at `now`, as far as this instance knows, with what is not published.
    pub fn entries(&self, now: Timestamp) -> Vec<Entry> {
        self.feed.entries(now).1
    }

    /// All that matters, signed, and how long ago the database said that there is no more.
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
        // However many changes there are, no more than a third of a core makes snapshots.
        let pause = |last: &Snapshot| last.made_at.elapsed() < last.took() * 3;
        if let Some(last) = last.clone().filter(|last| !last.is_old() && pause(last)) {
            return Ok(self.aged(last));
        }
        // On a task of its own: a caller who goes away leaves it to the others.
        let made = tokio::spawn(self.clone().make(signer.clone(), making, now)).await;
        match made.unwrap_or(Err(SignError::Away)) {
            Ok(snapshot) => Ok(self.aged(snapshot)),
            // What was true a while ago is better than nothing, as long as it says so.
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
        // Many are copied, which is not to keep a thread from its requests.
        let copied = tokio::task::spawn_blocking(move || feed.entries(now)).await;
        let (head, entries) = copied.map_err(|_| SignError::Away)?;
        let entries: Vec<_> =
            entries.into_iter().filter(|entry| entry.revoked.is_published()).collect();
        let jti = self.random.uuid().simple().to_string();
        let contents = Contents { epoch: head.epoch, seq: head.seq, entries, began, known_at };
        Snapshot::sign(contents, jti, signer, now).await
    }

    /// The stream for a listener who has heard all up to `after`, or nothing yet. It ends when the
    /// listener falls behind, and when the service stops; `None` where that is about to.
    pub fn listen(&self, after: Option<i64>) -> Option<impl Stream<Item = Bytes> + use<>> {
        let Hearing { missed, coming, turn } = self.feed.listen(after)?;
        let beginning = stream::iter([event::BEGINNING].into_iter().chain(missed));
        let coming = stream::unfold(coming, move |mut coming| async move {
            let first = coming.recv().await.ok()?;
            if turn.is_zero() {
                return Some((first, coming));
            }
            tokio::time::sleep(turn).await;
            // What came meanwhile goes along, or a late turn would fall behind for good.
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

    /// Tells listeners how things stand. To be called every few seconds.
    pub fn beat(&self) {
        self.feed.beat();
    }

    /// Ends all streams, and lets none begin.
    pub fn close(&self) {
        self.feed.close();
    }

    /// Forgets in this process what does not matter any more.
    pub fn forget(&self, signer: &Signer, now: Timestamp) {
        let oldest = now.minus(Policy::MAX_ACCESS_TOKEN_LIFETIME).minus(LEEWAY);
        self.feed.forget(|kid| signer.is_published(kid, now), oldest, now);
    }

    /// Removes at most `limit` entries from the record that do not matter any more; how many. When
    /// it is `limit`, there may be more.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Result<u64, StorageError> {
        self.store.purge(now, limit).await
    }
}
