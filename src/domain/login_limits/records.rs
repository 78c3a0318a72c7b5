//! Records by key. Each is read, decided on and changed in one atomic step: within this process one
//! change of a record follows the other, and across processes the store's compare-and-swap decides.

use std::time::Duration;

use super::budget::Verdict;
use super::queue::{Entered, Queues};
use super::record::Record;
use crate::base::time::Timestamp;
use crate::storage::records::Records as Store;
use crate::storage::{StorageError, Stored};

/// How long a change of one record may take, others in front included.
const CHANGE_TIMEOUT: Duration = Duration::from_millis(1500);
/// A change that loses this many races gives up: many instances change the record concurrently.
const MAX_RACES: usize = 64;

pub(super) struct Records {
    store: Store,
    queues: Queues,
}

impl Records {
    pub(super) fn new(store: Store) -> Self {
        Self { store, queues: Queues::default() }
    }

    /// The way to the record of `key`, shared by everyone in this process who is on it.
    pub(super) fn enter(&self, key: &str) -> Entered {
        self.queues.enter(key)
    }

    /// What `decide` says of a record as it is now, without changing it.
    pub(super) async fn look<T>(
        &self,
        entered: &Entered,
        now: Timestamp,
        decide: impl Fn(Record) -> Result<(Record, T), Verdict>,
    ) -> Stored<Result<(), Verdict>> {
        let remembered = entered.queue.record.try_lock().ok().and_then(|seen| seen.clone());
        if let Some(text) = remembered
            && decide(Record::from_text(text.as_deref())?).is_ok()
        {
            // The change that follows finds out whether it is still true.
            return Ok(Ok(()));
        }
        let text = self.store.find(&entered.key, now).await?;
        if let Err(verdict) = decide(Record::from_text(text.as_deref())?) {
            return Ok(Err(verdict));
        }
        // And need not read this again.
        if let Ok(mut seen) = entered.queue.record.try_lock() {
            *seen = Some(text);
        }
        Ok(Ok(()))
    }

    /// Changes a record in one atomic step; `decide` is asked again if another instance was faster.
    pub(super) async fn change<T>(
        &self,
        entered: &Entered,
        expires_at: impl Fn(&Record) -> Timestamp,
        now: Timestamp,
        decide: impl Fn(Record) -> Result<(Record, T), Verdict>,
    ) -> Stored<Result<T, Verdict>> {
        let Entered { key, queue, .. } = entered;
        let change = async {
            let mut seen = queue.record.lock().await;
            for _ in 0..MAX_RACES {
                // Taken out: unless all goes well, it is not known what the record is now.
                let (held, is_new) = match seen.take() {
                    Some(held) => (held, false),
                    None => (self.store.find(key, now).await?, true),
                };
                match decide(Record::from_text(held.as_deref())?) {
                    Ok((next, value)) => {
                        let expires_at = expires_at(&next);
                        let next = next.to_text();
                        let store = &self.store;
                        let is_stored = match held.as_deref() {
                            None => store.insert_if_absent(key, &next, expires_at, now).await?,
                            Some(held) => {
                                store.compare_and_swap(key, held, &next, expires_at, now).await?
                            }
                        };
                        if is_stored {
                            *seen = Some(Some(next));
                            return Ok(Ok(value));
                        }
                    }
                    Err(verdict) if is_new => {
                        *seen = Some(held);
                        return Ok(Err(verdict));
                    }
                    // Another instance may have settled something since.
                    Err(_) => {}
                }
            }
            Err(StorageError::Unavailable("every change lost a race".into()))
        };
        match tokio::time::timeout(CHANGE_TIMEOUT, change).await {
            Ok(result) => result,
            Err(elapsed) => Err(StorageError::Unavailable(elapsed.into())),
        }
    }

    /// Removes at most `limit` records that have expired; returns how many.
    pub(super) async fn purge(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        self.store.delete_expired(now, limit).await
    }
}
