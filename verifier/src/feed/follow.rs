//! The task that follows the feed: brings what the stream and the snapshots say to the state
//! machine, does what it says, and takes a snapshot whenever one is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{JoinError, JoinSet};

use super::document::{self, Document};
use super::event_stream::Message;
use super::snapshot::{self, Former, Taken};
use super::state::{Input, State};
use super::stream::{self, Signal};
use super::{Credentials, Feed, Live};
use crate::backoff::Backoff;
use crate::clock::{Now, unix_seconds};
use crate::http::FetchError;
use crate::keys::Keys;
use crate::metadata::Issuer;
use crate::observer::{Event, Observer};

/// Events that wait to be looked at; then the stream waits too.
const WAITING: usize = 64;
/// The shortest time between the beginnings of two snapshots.
const PACE: Duration = Duration::from_millis(250);
/// The longest, while what comes is behind what the stream told of.
const LONGEST_PACE: Duration = Duration::from_secs(1);
/// The longest wait after snapshots that failed.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Expired entries are dropped once a minute.
const SWEEP: Duration = Duration::from_secs(60);

/// What the task and its parts work with.
pub struct Context {
    /// The caller's choices.
    pub feed: Feed,
    /// Whose feed.
    pub issuer: Arc<Issuer>,
    /// By which its documents are verified.
    pub keys: Arc<Keys>,
    /// Where verification looks.
    pub live: Arc<Live>,
    /// For a feed that wants a token.
    pub credentials: Option<Credentials>,
    /// Hears of it all.
    pub observer: Observer,
}

impl Context {
    /// Adds the verifier's own token to `headers`, where it has credentials.
    pub(super) async fn authorize(&self, headers: &mut HeaderMap) -> Result<(), FetchError> {
        match &self.credentials {
            Some(credentials) => credentials.authorize(&self.issuer, headers).await,
            None => Ok(()),
        }
    }

    /// Passes an answer on, and forgets a token that was not accepted or an address where nothing is
    /// any longer.
    pub(super) async fn authorized<T>(
        &self,
        answer: Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        if let (Err(error), Some(credentials)) = (&answer, &self.credentials)
            && error.is_unauthorized()
        {
            credentials.forget().await;
        }
        if answer.as_ref().is_err_and(FetchError::is_elsewhere) {
            self.issuer.forget().await;
        }
        answer
    }
}

/// Follows the feed for as long as it runs.
pub async fn run(context: Context) {
    let context = Arc::new(context);
    let (sender, receiver) = mpsc::channel(WAITING);
    let follower = Follower::new(Arc::clone(&context));
    tokio::join!(stream::run(context, sender), follower.run(receiver));
}

struct Follower {
    context: Arc<Context>,
    state: State,
    former: Option<Former>,
    /// The snapshot that is being taken, if one is.
    taking: JoinSet<Result<Taken, FetchError>>,
    begun_at: Instant,
    not_before: Instant,
    stream_tried: bool,
    backoff: Backoff,
    /// Between snapshots that are behind what the stream told of.
    lag: Backoff,
    swept_at: Instant,
    stale: bool,
}

/// What `snapshot` events and heartbeats say.
#[derive(Deserialize)]
struct Place {
    epoch: String,
    seq: u64,
    age: Option<f64>,
}

impl Follower {
    fn new(context: Arc<Context>) -> Self {
        let now = Instant::now();
        Self {
            context,
            state: State::default(),
            former: None,
            taking: JoinSet::new(),
            begun_at: now,
            // The stream comes first, so that nothing falls between; but not for long.
            not_before: now + PACE,
            stream_tried: false,
            backoff: Backoff::new(PACE, LONGEST_WAIT),
            lag: Backoff::new(PACE, LONGEST_PACE),
            swept_at: now,
            // Nothing is known yet.
            stale: true,
        }
    }

    async fn run(mut self, mut signals: Receiver<Signal>) {
        loop {
            let now = Instant::now();
            self.begin_what_is_due(now);
            let wake = self.wake_at(now).into();
            tokio::select! {
                Some(signal) = signals.recv() => self.hear(signal).await,
                Some(taken) = self.taking.join_next() => self.took(taken),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn begin_what_is_due(&mut self, now: Instant) {
        self.state.tick(now);
        if self.snapshot_due().is_some_and(|due| now >= due) {
            self.begun_at = now;
            self.not_before = now + PACE;
            let taking = snapshot::take(Arc::clone(&self.context), self.former.clone());
            self.taking.spawn(taking);
        }
        if now >= self.swept_at + SWEEP {
            self.swept_at = now;
            self.context.live.sweep(unix_seconds());
        }
        let stale = self.context.live.is_stale(Now::read());
        if stale != std::mem::replace(&mut self.stale, stale) {
            self.context.observer.notify(if stale { &Event::Stale } else { &Event::Fresh });
        }
    }

    /// When the next snapshot is to be taken: when the state wants one, or when nothing was
    /// confirmed for the poll interval, which a stream prevents by its heartbeats.
    fn snapshot_due(&self) -> Option<Instant> {
        if !self.taking.is_empty() {
            return None;
        }
        let confirmed = self.state.known().map(|known| known.max(self.begun_at));
        let poll = confirmed.map(|confirmed| confirmed + self.context.feed.poll_interval);
        let due = poll.filter(|_| !self.state.wants_snapshot()).unwrap_or(self.not_before);
        Some(due.max(self.not_before))
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let stale_at = self.state.known().map(|known| known + self.context.feed.max_staleness);
        // Just after, since at that very moment it is not stale yet.
        let stale_at = stale_at.filter(|_| !self.stale).map(|at| at + Duration::from_millis(1));
        let moments = [self.snapshot_due(), self.state.deadline(), stale_at];
        let next = moments.into_iter().flatten().min();
        next.map_or(self.swept_at + SWEEP, |next| next.min(self.swept_at + SWEEP)).max(now)
    }

    async fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Opened => {
                self.context.live.set_streaming(true);
                self.context.observer.notify(&Event::StreamOpened);
                // Whoever answers here was perhaps away: what is due need not wait any longer.
                self.not_before = Instant::now();
                self.backoff.reset();
                self.take(Input::Opened);
            }
            Signal::Lost(error) => {
                self.context.live.set_streaming(false);
                self.stream_failed();
                self.context.observer.notify(&Event::StreamLost { error: &error });
            }
            Signal::Message(message, arrived_at) => {
                if let Some(input) = self.read(message, arrived_at).await {
                    self.take(input);
                }
            }
        }
    }

    /// The first snapshot need not wait for the stream any longer.
    fn stream_failed(&mut self) {
        if !self.stream_tried {
            self.stream_tried = true;
            self.not_before = Instant::now();
        }
    }

    async fn read(&self, message: Message, arrived_at: Instant) -> Option<Input> {
        let place = |message: &Message| serde_json::from_str::<Place>(&message.data).ok();
        match message.event.as_str() {
            "revocation" => {
                Some(match snapshot::open(&self.context, message.data, document::CHANGE).await {
                    Ok(Document { epoch, seq, entries }) => Input::Change { epoch, seq, entries },
                    Err(_) => Input::Unreadable,
                })
            }
            "heartbeat" => {
                let Place { epoch, seq, age } = place(&message)?;
                let age = Duration::try_from_secs_f64(age?).ok()?;
                let known = arrived_at.checked_sub(age)?;
                Some(Input::Heartbeat { epoch, seq, known })
            }
            "snapshot" => {
                let Place { epoch, seq, .. } = place(&message)?;
                Some(Input::Begins { epoch, seq })
            }
            _ => None,
        }
    }

    fn took(&mut self, taken: Result<Result<Taken, FetchError>, JoinError>) {
        let taken = match taken.unwrap_or(Err(FetchError::Stopped)) {
            Ok(taken) => taken,
            Err(error) => {
                self.not_before = Instant::now() + self.backoff.next().max(error.retry_after());
                self.context.live.note_failure(&error);
                self.context.observer.notify(&Event::SnapshotFailed { error: &error });
                return;
            }
        };
        self.backoff.reset();
        self.former = taken.former;
        let Document { epoch, seq, entries } = taken.document;
        let count = entries.len();
        self.take(Input::Snapshot { epoch, seq, entries, known: taken.known });
        if self.state.wants_snapshot() {
            // Whoever lags will do so for a while. But one that took long is tried anew at once.
            self.not_before = self.not_before.max(self.begun_at + self.lag.next());
        } else {
            self.lag.reset();
        }
        let took = taken.arrived_at.elapsed();
        self.context.observer.notify(&match taken.bytes {
            Some(bytes) => Event::SnapshotTaken { entries: count, bytes, took },
            None => Event::SnapshotUnchanged,
        });
    }

    /// Lets the state machine decide, and does it. The set comes first: what is known is said when
    /// it is in effect.
    fn take(&mut self, input: Input) {
        let entries = match &input {
            Input::Change { entries, .. } => Some(entries.len()),
            _ => None,
        };
        if let Some(action) = self.state.on(input, Instant::now()) {
            self.context.live.apply(action);
        }
        self.context.live.set_known(self.state.known(), self.state.seq(), Now::read());
        if let Some(entries) = entries {
            self.context.observer.notify(&Event::Changed { entries });
        }
    }
}
