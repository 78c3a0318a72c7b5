//! The events of a verifier, for metrics and logs: one closure over one enum.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Reason;
use crate::http::FetchError;

/// An event of a verifier. Later versions may add some.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A token was refused.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// A token could not be verified now: there are no keys, or the feed is too stale.
    Unavailable,
    /// The issuer's keys were fetched.
    KeysFetched {
        /// How many can be used.
        keys: usize,
        /// How long it took.
        took: Duration,
    },
    /// The keys could not be fetched; those that are held stay in use up to their bound.
    KeysFailed {
        /// Why.
        error: &'a FetchError,
    },
    /// The stream of revocations is open.
    StreamOpened,
    /// The stream ended or could not be opened; it is tried again after a wait.
    StreamLost {
        /// Why.
        error: &'a FetchError,
    },
    /// A change arrived by the stream and is in effect.
    Changed {
        /// How many entries it carries.
        entries: usize,
    },
    /// A snapshot is in effect.
    SnapshotTaken {
        /// How many entries it carries.
        entries: usize,
        /// The bytes of the document.
        bytes: usize,
        /// The time from the whole answer to all of it being in effect.
        took: Duration,
    },
    /// The snapshot is unchanged since the last fetch.
    SnapshotUnchanged,
    /// No snapshot could be fetched, for another reason than its size; it is tried again after a
    /// wait.
    SnapshotFailed {
        /// Why.
        error: &'a FetchError,
    },
    /// A snapshot is larger than the limit
    /// ([`Feed::longest_snapshot`](crate::Feed::longest_snapshot)). The revocations held stay in
    /// effect and their age grows, as with any snapshot that could not be fetched; it is tried
    /// again after a wait.
    SnapshotTooLarge {
        /// The maximum size in bytes.
        longest: usize,
    },
    /// The feed is stale: nothing was confirmed for longer than `max_staleness`.
    Stale,
    /// The feed is no longer stale.
    Fresh,
}

/// The caller's closure, if any.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Listener>>);

type Listener = dyn Fn(&Event<'_>) + Send + Sync;

impl Observer {
    /// An observer that calls `listener`.
    pub fn new(listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Passes `event` to the closure.
    pub fn notify(&self, event: &Event<'_>) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Observer" } else { "none" })
    }
}
