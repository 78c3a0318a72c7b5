//! The metrics of Signet, for Prometheus (text format 0.0.4). Handles of routes are made
//! once: counting a request is an atomic addition.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    tokens: IntCounterVec,
    refreshes: IntCounterVec,
    mails: IntCounterVec,
    /// Refresh tokens newer than their session's record: the store had lost its last writes.
    pub sessions_healed: IntCounter,
    pub mails_waiting: IntGauge,
    followers: Vec<Follower>,
}

enum Follower {
    Gauge(Gauge),
    /// With the last count that was read.
    Counter(IntCounter, AtomicU64),
}

impl Follower {
    fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        registered(registry, Gauge::new(name, help)).map(Self::Gauge)
    }

    fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let counter = registered(registry, IntCounter::new(name, help))?;
        Ok(Self::Counter(counter, AtomicU64::new(0)))
    }

    /// Of two concurrent readers, the later one may have the older count.
    fn follow(&self, reading: f64) {
        match self {
            Self::Gauge(gauge) => gauge.set(reading),
            Self::Counter(counter, read) => {
                let before = read.fetch_max(reading as u64, Ordering::Relaxed);
                counter.inc_by((reading as u64).saturating_sub(before));
            }
        }
    }
}

/// Each reading is a member of [`Readings`] and a metric that follows it.
macro_rules! readings {
    ($($member:ident: $kind:ident $name:literal, $help:literal;)+) => {
        /// Counts that other parts keep, read at each scrape.
        #[derive(Clone, Copy)]
        pub(crate) struct Readings {
            $(#[doc = $help] pub $member: f64,)+
        }

        impl Readings {
            fn followers(registry: &Registry) -> prometheus::Result<Vec<Follower>> {
                Ok(vec![$(Follower::$kind(registry, $name, $help)?),+])
            }

            fn in_order(self) -> impl IntoIterator<Item = f64> {
                [$(self.$member),+]
            }
        }
    };
}

readings! {
    hashes_waiting: gauge "signet_password_hashes_waiting", "Password hashes waiting for a thread.";
    hashes: counter "signet_password_hashes_total", "Password hashes computed.";
    logins_limited: counter "signet_logins_limited_total",
        "Password checks refused after too many wrong passwords.";
    refreshes_limited: counter "signet_refreshes_limited_total",
        "Refreshes refused to sessions that are refreshed in a loop.";
    revocations_limited: counter "signet_revocations_limited_total",
        "Revocations refused to sessions and clients that revoke tokens in a loop.";
    sign_ups_limited: counter "signet_signups_limited_total",
        "Sign-ups refused to networks with too many of them.";
    mails_limited: counter "signet_mails_limited_total",
        "Requests for mail refused to networks with too many of them.";
    own_changes_limited: counter "signet_own_changes_limited_total",
        "Changes of their own accounts refused to users with too many of them.";
    revocations: gauge "signet_revocations", "Entries of the revocation feed.";
    revocations_age: gauge "signet_revocations_age_seconds",
        "Seconds since the entries of the revocation feed were known to be complete.";
    listeners: gauge "signet_revocations_listeners", "Open streams of the revocation feed.";
    keys_unverified: gauge "signet_signing_keys_unverified",
        "Rows of signing keys that are not authentic, and not used.";
}

/// The outcomes of refreshes that are not refused: the newest token was redeemed; a redeemed one within
/// the retry window got the same successor again; one came back late, before its successor was redeemed;
/// one was newer than the record; a displaced one ended its session.
const REFRESHED: [&str; 5] = ["advanced", "replayed", "recovered", "healed", "reused"];

#[derive(Clone)]
pub(crate) struct RouteMetrics {
    by_class: [IntCounter; 5],
    duration: Histogram,
}

impl RouteMetrics {
    /// Counts one answer of `status` that took `seconds`.
    #[allow(clippy::indexing_slicing, reason = "`clamp` keeps the class within the five")]
    pub(crate) fn observe(&self, status: u16, seconds: f64) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.by_class[class].inc();
        self.duration.observe(seconds);
    }
}

const BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let duration = HistogramOpts::new(
            "signet_http_request_duration_seconds",
            "Time from a request's head to its answer.",
        );
        let duration = HistogramVec::new(duration.buckets(BUCKETS.to_vec()), &["route"]);
        let sessions_healed = IntCounter::new(
            "signet_sessions_healed_total",
            "Refresh tokens newer than their session: the session store had lost writes.",
        );
        let mails_waiting = IntGauge::new("signet_mails_waiting", "Mails that wait in the outbox.");
        let refreshes = counters(
            "signet_refreshes_total",
            "Refresh tokens presented, by outcome.",
            &["outcome", "reason"],
        )?;
        for outcome in REFRESHED {
            refreshes.with_label_values(&[outcome, ""]);
        }
        Ok(Self {
            requests: counters(
                "signet_http_requests_total",
                "HTTP requests answered.",
                &["route", "status"],
            )?,
            duration: registered(&registry, duration)?,
            tokens: counters(
                "signet_access_tokens_issued_total",
                "Access tokens issued.",
                &["grant_type"],
            )?,
            refreshes,
            mails: counters(
                "signet_mails_total",
                "Attempts to deliver a mail, by result.",
                &["result"],
            )?,
            sessions_healed: registered(&registry, sessions_healed)?,
            mails_waiting: registered(&registry, mails_waiting)?,
            followers: Readings::followers(&registry)?,
            registry,
        })
    }

    pub(crate) fn route(&self, route: &str) -> RouteMetrics {
        let class = |class| self.requests.with_label_values(&[route, class]);
        RouteMetrics {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            duration: self.duration.with_label_values(&[route]),
        }
    }

    pub(crate) fn count_token(&self, grant: &str) {
        self.tokens.with_label_values(&[grant]).inc();
    }

    /// Counts a refresh token presented: `advanced`, `replayed`, `recovered`, `healed`, `reused`, or
    /// `refused` with one of a fixed few reasons.
    pub(crate) fn count_refresh(&self, outcome: &str, reason: &'static str) {
        self.refreshes.with_label_values(&[outcome, reason]).inc();
    }

    /// Counts an attempt to deliver a mail: `sent`, `put_off`, `given_up`.
    pub(crate) fn count_mail(&self, result: &str) {
        self.mails.with_label_values(&[result]).inc();
    }

    /// All metrics in the text format, with the present `readings`.
    pub(crate) fn render(&self, readings: Readings) -> prometheus::Result<Vec<u8>> {
        for (follower, reading) in self.followers.iter().zip(readings.in_order()) {
            follower.follow(reading);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
