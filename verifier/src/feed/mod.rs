//! The issuer's revocation feed: tokens that are revoked before they expire, received by a stream,
//! or by polling where no stream is possible.

mod credentials;
mod document;
mod event_stream;
mod follow;
mod hashing;
mod lane;
mod live;
mod revocations;
mod snapshot;
mod state;
mod stream;

use std::time::Duration;

pub use credentials::{Client, Credentials};
pub use follow::{Context, run};
pub use live::Live;
pub use revocations::Names;

/// What happens to tokens after `max_staleness` without confirmation from the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Refuse all tokens with [`Error::Unavailable`](crate::Error::Unavailable) (503), until the
    /// feed is back.
    Refuse,
    /// Check tokens against the revocations received until then.
    Accept,
}

/// How a verifier follows the feed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It never did.
    Never,
    /// By the stream.
    Streaming,
    /// By polling the snapshot.
    Polling,
}

/// Whether and how to follow the issuer's feed of revocations.
///
/// ```
/// use std::time::Duration;
/// use signet_verifier::{Beyond, Feed};
///
/// let feed = Feed::new(Duration::from_secs(10), Beyond::Refuse)
///     .poll_interval(Duration::from_secs(2))
///     .longest_snapshot(16 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct Feed {
    pub(crate) max_staleness: Duration,
    pub(crate) beyond: Beyond,
    pub(crate) poll_interval: Duration,
    pub(crate) longest_snapshot: usize,
    pub(crate) snapshot_timeout: Duration,
    pub(crate) silence: Duration,
    pub(crate) credentials: Option<Client>,
}

impl Feed {
    /// Follows the feed. The state may be `max_staleness` old; `beyond` that, tokens are refused or
    /// accepted. Neither has a default: the caller weighs availability against security.
    pub fn new(max_staleness: Duration, beyond: Beyond) -> Self {
        Self {
            max_staleness,
            beyond,
            poll_interval: Duration::from_secs(3),
            longest_snapshot: 64 << 20,
            snapshot_timeout: Duration::from_secs(30),
            silence: Duration::from_secs(10),
            credentials: None,
        }
    }

    /// The time without confirmation after which the snapshot is fetched; an open stream confirms
    /// by its heartbeats. 3 s unless set.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// The maximum size of a snapshot in bytes. 64 MiB unless set; an entry has about 110.
    #[must_use]
    pub fn longest_snapshot(mut self, bytes: usize) -> Self {
        self.longest_snapshot = bytes;
        self
    }

    /// How long a snapshot may take to arrive. 30 s unless set.
    #[must_use]
    pub fn snapshot_timeout(mut self, timeout: Duration) -> Self {
        self.snapshot_timeout = timeout;
        self
    }

    /// The time without any event, heartbeats included, after which the stream is reopened. 10 s
    /// unless set; the heartbeat's interval is the service's and usually 2 s.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// For a feed that requires a token: gets one at the issuer's token endpoint by the grant
    /// `client_credentials`, with this scope.
    #[must_use]
    pub fn credentials(
        mut self,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
        scope: impl Into<String>,
    ) -> Self {
        let (client_id, client_secret) = (client_id.into(), client_secret.into());
        self.credentials = Some(Client { client_id, client_secret, scope: scope.into() });
        self
    }
}
