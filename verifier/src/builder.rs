//! The configuration of a verifier.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::algorithm::Algorithm;
use crate::claims::Rules;
use crate::feed::{self, Context, Credentials, Feed, Live};
use crate::http::{AllowHttp, Http};
use crate::keys::{self, Keys, Refresh};
use crate::metadata::Issuer;
use crate::observer::{Event, Observer};
use crate::verifier::{Inner, Verifier};

/// More leeway than this is none: an issuer drops revocations when the last token that they concern
/// expired a minute ago.
const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// Longer is for ever: moments are counted from now, and there is an end to numbers.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Builds a [`Verifier`].
#[derive(Debug)]
#[must_use = "nothing is verified before `build`"]
pub struct Builder {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    longest_token: usize,
    allow_http: AllowHttp,
    timeout: Duration,
    refetch_interval: Duration,
    refetches_per_minute: usize,
    absent_for: Duration,
    stale_if_error: Duration,
    feed: Option<Feed>,
    observer: Observer,
}

/// A verifier cannot be built like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// No audience was given, or one without a name: a token for anybody would do.
    Audience,
    /// The issuer is no `https://` address, or an `http://` one that was not allowed, or has a
    /// query or fragment.
    Issuer,
    /// More leeway than a minute.
    Leeway,
    /// No algorithm is allowed.
    Algorithms,
    /// The feed's `max_staleness` is not above its poll interval.
    Staleness,
    /// TLS cannot be set up.
    Tls,
    /// There is no Tokio runtime here for the background tasks.
    Runtime,
}

impl Builder {
    pub(crate) fn new(issuer: String) -> Self {
        Self {
            issuer,
            audiences: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            leeway: Duration::from_secs(5),
            longest_token: 16 << 10,
            allow_http: AllowHttp::Never,
            timeout: Duration::from_secs(5),
            refetch_interval: Duration::from_secs(5),
            refetches_per_minute: 12,
            absent_for: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(3600),
            feed: None,
            observer: Observer::default(),
        }
    }

    /// Accepts tokens for `audience`. At least one has to be given; of several, one is enough.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts tokens that are signed by one of these alone. All of [`Algorithm::ALL`] unless set;
    /// each key verifies by its own algorithm in any case.
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    /// How far clocks may be apart: `exp` and `nbf` count that much later and earlier. 5 s unless
    /// set, a minute at most.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Refuses longer tokens unread. 16 KiB unless set.
    pub fn longest_token(mut self, bytes: usize) -> Self {
        self.longest_token = bytes;
        self
    }

    /// Allows `http://`, for issuers on this machine or on a network that is trusted.
    pub fn allow_http(mut self, allow: AllowHttp) -> Self {
        self.allow_http = allow;
        self
    }

    /// How long a connection and a small document may take. 5 s unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often tokens with unknown keys may lead to a fetch: once in an `interval`, and at most
    /// `per_minute` times a minute, however many tokens arrive. 5 s and 12 unless set. The interval
    /// is also the minimum time between fetches that the server's `max-age` can request.
    ///
    /// Who sends forged tokens can use it up. Until it allows the next fetch, a key that the issuer
    /// began to sign with before it published it is unknown here: for an `interval`, or for the rest
    /// of the minute where fewer fetches are allowed than fit into one.
    pub fn refetch_budget(mut self, interval: Duration, per_minute: usize) -> Self {
        self.refetch_interval = interval.min(FOREVER);
        self.refetches_per_minute = per_minute;
        self
    }

    /// For how long the name of a key that the issuer does not have is remembered. 30 s unless set.
    pub fn remember_absent(mut self, lifetime: Duration) -> Self {
        self.absent_for = lifetime;
        self
    }

    /// For how long keys are used beyond the server's `max-age` while no others can be had. An hour
    /// unless set.
    pub fn stale_if_error(mut self, bound: Duration) -> Self {
        self.stale_if_error = bound.min(FOREVER);
        self
    }

    /// Follows the issuer's feed of revocations.
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// Calls `listener` for each event, for metrics and logs. It is called where the event happens
    /// and must neither block nor panic.
    pub fn observer(mut self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(listener);
        self
    }

    /// Begins: in the background, within the Tokio runtime that this is called in, the keys and
    /// revocations are fetched and kept. [`Verifier::ready`] waits for the first of them.
    pub fn build(self) -> Result<Verifier, BuildError> {
        self.check()?;
        let runtime = Handle::try_current().map_err(|_| BuildError::Runtime)?;
        let http = Http::new(self.allow_http, self.timeout).map_err(|_| BuildError::Tls)?;
        let issuer = Issuer::new(&self.issuer, http).map_err(|_| BuildError::Issuer)?;
        let issuer = Arc::new(issuer);
        let (keys, rounds) =
            Keys::new(self.refetch_interval, self.refetches_per_minute, self.absent_for);
        let keys = Arc::new(keys);
        let refresh = Refresh {
            keys: Arc::clone(&keys),
            rounds,
            issuer: Arc::clone(&issuer),
            allowed: self.algorithms,
            interval: self.refetch_interval,
            stale_if_error: self.stale_if_error,
            observer: self.observer.clone(),
        };
        let mut tasks = vec![runtime.spawn(keys::run(refresh)).abort_handle()];
        let live = self.feed.map(|mut feed| {
            feed.max_staleness = feed.max_staleness.min(FOREVER);
            feed.poll_interval = feed.poll_interval.min(FOREVER);
            let live = Arc::new(Live::new(&feed));
            let context = Context {
                credentials: feed.credentials.take().map(Credentials::new),
                feed,
                issuer,
                keys: Arc::clone(&keys),
                live: Arc::clone(&live),
                observer: self.observer.clone(),
            };
            tasks.push(runtime.spawn(feed::run(context)).abort_handle());
            live
        });
        let leeway = i64::try_from(self.leeway.as_secs()).map_err(|_| BuildError::Leeway)?;
        let rules = Rules { issuer: self.issuer, audiences: self.audiences, leeway };
        let longest_token = self.longest_token;
        let observer = self.observer;
        Ok(Verifier::new(Inner { rules, longest_token, keys, live, observer, tasks }))
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(BuildError::Audience);
        }
        if self.leeway > MAX_LEEWAY {
            return Err(BuildError::Leeway);
        }
        if self.algorithms.is_empty() {
            return Err(BuildError::Algorithms);
        }
        let feed = self.feed.as_ref();
        if feed.is_some_and(|feed| feed.max_staleness <= feed.poll_interval) {
            return Err(BuildError::Staleness);
        }
        Ok(())
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Audience => "an audience is needed: a token for anybody would do",
            Self::Issuer => "the issuer is no https:// address without query and fragment",
            Self::Leeway => "the leeway is longer than a minute",
            Self::Algorithms => "no algorithm is allowed",
            Self::Staleness => "max_staleness has to be longer than the poll interval",
            Self::Tls => "TLS cannot be set up",
            Self::Runtime => "there is no Tokio runtime here",
        })
    }
}

impl std::error::Error for BuildError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Beyond;

    fn builder() -> Builder {
        Verifier::builder("https://id.example.com").audience("api")
    }

    fn error(builder: Builder) -> Option<BuildError> {
        builder.build().err()
    }

    #[tokio::test]
    async fn choices_that_make_no_sense_are_refused() {
        let second = Duration::from_secs(1);
        assert_eq!(error(builder()), None);
        let nobody = Verifier::builder("https://id.example.com");
        assert_eq!(error(nobody), Some(BuildError::Audience));
        assert_eq!(error(builder().audience("")), Some(BuildError::Audience));
        let issuer = |issuer: &str| error(Verifier::builder(issuer).audience("api"));
        for bad in ["http://127.0.0.1:8080", "id.example.com", "", "https://id?x"] {
            assert_eq!(issuer(bad), Some(BuildError::Issuer), "{bad}");
        }
        let plain = Verifier::builder("http://127.0.0.1:1").audience("api");
        assert_eq!(error(plain.allow_http(AllowHttp::Loopback)), None);
        assert_eq!(error(builder().leeway(61 * second)), Some(BuildError::Leeway));
        assert_eq!(error(builder().algorithms(&[])), Some(BuildError::Algorithms));
        let feed = Feed::new(3 * second, Beyond::Refuse);
        assert_eq!(error(builder().feed(feed.clone())), Some(BuildError::Staleness));
        assert_eq!(error(builder().feed(feed.poll_interval(second))), None);
    }

    #[test]
    fn background_tasks_need_a_runtime() {
        assert_eq!(error(builder()), Some(BuildError::Runtime));
    }
}
