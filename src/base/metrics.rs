//! The metrics of Signet, for Prometheus (text format 0.0.4). Handles are made once: counting on
//! the request path is an atomic addition.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

/// All metrics of one service.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    tokens: IntCounterVec,
    /// Refresh tokens newer than their session's record: the store had lost its last writes.
    pub sessions_healed: IntCounter,
    /// Refresh tokens by outcome.
    pub refreshes: Refreshes,
    hashing_waiting: IntGauge,
    hashes: Counted,
    logins_limited: Counted,
    refreshes_limited: Counted,
    revocations_limited: Counted,
    sign_ups_limited: Counted,
    mails_limited: Counted,
    own_changes_limited: Counted,
    mails: IntCounterVec,
    /// Mails that wait in the outbox.
    pub mails_waiting: IntGauge,
    revocations: IntGauge,
    revocations_age: Gauge,
    listeners: IntGauge,
    keys_unverified: IntGauge,
}

/// Counts that other parts keep, read at each scrape.
#[derive(Clone, Copy)]
pub struct Readings {
    /// Password hashes that wait for a thread.
    pub hashes_waiting: usize,
    /// Password hashes computed.
    pub hashes: u64,
    /// Password checks that were refused before hashing.
    pub logins_limited: u64,
    /// Refreshes that were refused before the store.
    pub refreshes_limited: u64,
    /// Revocations that were refused.
    pub revocations_limited: u64,
    /// Sign-ups that were refused before their hash.
    pub sign_ups_limited: u64,
    /// Requests for mail that were refused.
    pub mails_limited: u64,
    /// Changes of users' own accounts that were refused.
    pub own_changes_limited: u64,
    /// Entries of the revocation feed.
    pub revocations: usize,
    /// How long ago the entries were known to be complete.
    pub revocations_age: Duration,
    /// Open streams of the revocation feed.
    pub listeners: usize,
    /// Rows of signing keys that are not authentic.
    pub keys_unverified: usize,
}

/// Refresh tokens presented, by outcome. Cheap to clone.
#[derive(Clone)]
pub struct Refreshes {
    /// The newest one, which was redeemed.
    pub advanced: IntCounter,
    /// A redeemed one within the retry window, which got the same successor again.
    pub replayed: IntCounter,
    /// A redeemed one that came back late, before its successor was redeemed.
    pub recovered: IntCounter,
    /// One newer than the record: the session store had lost writes.
    pub healed: IntCounter,
    /// A displaced one, which ended its session.
    pub reused: IntCounter,
    all: IntCounterVec,
}

impl Refreshes {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let all = IntCounterVec::new(
            Opts::new("signet_refreshes_total", "Refresh tokens presented, by outcome."),
            &["outcome", "reason"],
        )?;
        registry.register(Box::new(all.clone()))?;
        let of = |outcome| all.with_label_values(&[outcome, ""]);
        Ok(Self {
            advanced: of("advanced"),
            replayed: of("replayed"),
            recovered: of("recovered"),
            healed: of("healed"),
            reused: of("reused"),
            all,
        })
    }

    /// Counts a refusal; `reason` is one of a fixed few.
    pub fn refused(&self, reason: &'static str) {
        self.all.with_label_values(&["refused", reason]).inc();
    }
}

/// A counter that follows a count kept by another part.
struct Counted {
    counter: IntCounter,
    read: AtomicU64,
}

impl Counted {
    fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let counter = IntCounter::new(name, help)?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self { counter, read: AtomicU64::new(0) })
    }

    /// Of two concurrent readers, the later one may have the older count.
    fn follow(&self, count: u64) {
        let before = self.read.fetch_max(count, Ordering::Relaxed);
        self.counter.inc_by(count.saturating_sub(before));
    }
}

/// The handles of one route.
#[derive(Clone)]
pub struct RouteMetrics {
    by_class: [IntCounter; 5],
    duration: Histogram,
}

impl RouteMetrics {
    /// Counts one answer of `status` that took `seconds`.
    #[allow(clippy::indexing_slicing, reason = "`clamp` keeps the class within the five")]
    pub fn observe(&self, status: u16, seconds: f64) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.by_class[class].inc();
        self.duration.observe(seconds);
    }
}

/// The histogram's buckets in seconds.
const BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

impl Metrics {
    /// New metrics, all zero.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("signet_http_requests_total", "HTTP requests answered."),
            &["route", "status"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "signet_http_request_duration_seconds",
                "Time from a request's head to its answer.",
            )
            .buckets(BUCKETS.to_vec()),
            &["route"],
        )?;
        let tokens = IntCounterVec::new(
            Opts::new("signet_access_tokens_issued_total", "Access tokens issued."),
            &["grant_type"],
        )?;
        let sessions_healed = IntCounter::new(
            "signet_sessions_healed_total",
            "Refresh tokens newer than their session: the session store had lost writes.",
        )?;
        let hashing_waiting = IntGauge::new(
            "signet_password_hashes_waiting",
            "Password hashes waiting for a thread.",
        )?;
        let mails = IntCounterVec::new(
            Opts::new("signet_mails_total", "Attempts to deliver a mail, by result."),
            &["result"],
        )?;
        let mails_waiting =
            IntGauge::new("signet_mails_waiting", "Mails that wait in the outbox.")?;
        let revocations = IntGauge::new("signet_revocations", "Entries of the revocation feed.")?;
        let revocations_age = Gauge::new(
            "signet_revocations_age_seconds",
            "Seconds since the entries of the revocation feed were known to be complete.",
        )?;
        let listeners =
            IntGauge::new("signet_revocations_listeners", "Open streams of the revocation feed.")?;
        let keys_unverified = IntGauge::new(
            "signet_signing_keys_unverified",
            "Rows of signing keys that are not authentic, and not used.",
        )?;
        registry.register(Box::new(keys_unverified.clone()))?;
        registry.register(Box::new(revocations.clone()))?;
        registry.register(Box::new(revocations_age.clone()))?;
        registry.register(Box::new(listeners.clone()))?;
        registry.register(Box::new(mails.clone()))?;
        registry.register(Box::new(mails_waiting.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(tokens.clone()))?;
        registry.register(Box::new(sessions_healed.clone()))?;
        registry.register(Box::new(hashing_waiting.clone()))?;
        let refreshes = Refreshes::register(&registry)?;
        let counted = |name, help| Counted::register(&registry, name, help);
        let hashes = counted("signet_password_hashes_total", "Password hashes computed.")?;
        let logins_limited = counted(
            "signet_logins_limited_total",
            "Password checks refused after too many wrong passwords.",
        )?;
        let refreshes_limited = counted(
            "signet_refreshes_limited_total",
            "Refreshes refused to sessions that are refreshed in a loop.",
        )?;
        let revocations_limited = counted(
            "signet_revocations_limited_total",
            "Revocations refused to sessions and clients that revoke tokens in a loop.",
        )?;
        let sign_ups_limited = counted(
            "signet_signups_limited_total",
            "Sign-ups refused to networks with too many of them.",
        )?;
        let mails_limited = counted(
            "signet_mails_limited_total",
            "Requests for mail refused to networks with too many of them.",
        )?;
        let own_changes_limited = counted(
            "signet_own_changes_limited_total",
            "Changes of their own accounts refused to users with too many of them.",
        )?;
        Ok(Self {
            registry,
            requests,
            duration,
            tokens,
            sessions_healed,
            refreshes,
            hashing_waiting,
            hashes,
            logins_limited,
            refreshes_limited,
            revocations_limited,
            sign_ups_limited,
            mails_limited,
            own_changes_limited,
            mails,
            mails_waiting,
            revocations,
            revocations_age,
            listeners,
            keys_unverified,
        })
    }

    /// The handles of `route`.
    pub fn route(&self, route: &str) -> RouteMetrics {
        let class = |class| self.requests.with_label_values(&[route, class]);
        RouteMetrics {
            by_class: [class("1xx"), class("2xx"), class("3xx"), class("4xx"), class("5xx")],
            duration: self.duration.with_label_values(&[route]),
        }
    }

    /// Counts an access token issued by `grant`.
    pub fn count_token(&self, grant: &str) {
        self.tokens.with_label_values(&[grant]).inc();
    }

    /// Counts an attempt to deliver a mail: `sent`, `put_off`, `given_up`.
    pub fn count_mail(&self, result: &str) {
        self.mails.with_label_values(&[result]).inc();
    }

    /// All metrics in the text format, with the present `readings`.
    pub fn render(&self, readings: Readings) -> prometheus::Result<Vec<u8>> {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.hashing_waiting.set(gauge(readings.hashes_waiting));
        self.hashes.follow(readings.hashes);
        self.logins_limited.follow(readings.logins_limited);
        self.refreshes_limited.follow(readings.refreshes_limited);
        self.revocations_limited.follow(readings.revocations_limited);
        self.sign_ups_limited.follow(readings.sign_ups_limited);
        self.mails_limited.follow(readings.mails_limited);
        self.own_changes_limited.follow(readings.own_changes_limited);
        self.revocations.set(gauge(readings.revocations));
        self.revocations_age.set(readings.revocations_age.as_secs_f64());
        self.listeners.set(gauge(readings.listeners));
        self.keys_unverified.set(gauge(readings.keys_unverified));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
