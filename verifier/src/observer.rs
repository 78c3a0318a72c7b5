//! What a verifier tells whoever counts: one closure over one enum.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Reason;
use crate::http::FetchError;

/// Something that happened. More may come.
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
    /// They could not be fetched; those that are held stay in use up to their bound.
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
    /// A change came by the stream and is in effect.
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
        /// From the whole answer to all of it being in effect.
        took: Duration,
    },
    /// The snapshot is still the one that was taken last.
    SnapshotUnchanged,
    /// No snapshot could be taken, for another reason than its size; it is tried again after a wait.
    SnapshotFailed {
        /// Why.
        error: &'a FetchError,
    },
    /// A snapshot is larger than what is read
    /// ([`Feed::longest_snapshot`](crate::Feed::longest_snapshot)). What is held stays in effect and
    /// its age grows, as with any snapshot that could not be taken; it is tried again after a wait.
    SnapshotTooLarge {
        /// The most bytes that are read.
        longest: usize,
    },
    /// Nothing was confirmed for longer than `max_staleness`.
    Stale,
    /// It is again.
    Fresh,
}

/// The caller's closure, if it gave one.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Listener>>);

type Listener = dyn Fn(&Event<'_>) + Send + Sync;

impl Observer {
    /// Tells `listener`.
    pub fn new(listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Tells it of `event`.
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
