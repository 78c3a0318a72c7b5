//! The task that follows the feed: passes what the stream and the snapshots bring to the state
//! machine, carries out its decisions, and fetches a snapshot whenever one is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{JoinError, JoinSet};

use super::document::{self, Document};
use super::event_stream::Message;
use super::lane::{Lane, PACE};
use super::snapshot::{self, Taken};
use super::state::Input;
use super::stream::{self, Signal};
use super::{Credentials, Feed, Live};
use crate::clock::{Now, unix_seconds};
use crate::http::FetchError;
use crate::keys::Keys;
use crate::metadata::Issuer;
use crate::observer::{Event, Observer};

/// The maximum number of events that wait; beyond it the stream waits too.
const WAITING: usize = 64;
/// The maximum number of lanes. With more, the verifier's knowledge would be incomplete, so it
/// counts as stale.
const MAX_LANES: usize = 64;
/// Expired entries are dropped once a minute.
const SWEEP: Duration = Duration::from_secs(60);

/// The parts that the task works with.
pub struct Context {
    /// The caller's choices.
    pub feed: Feed,
    /// The issuer of the feed.
    pub issuer: Arc<Issuer>,
    /// The keys that verify its documents.
    pub keys: Arc<Keys>,
    /// The set that verification reads.
    pub live: Arc<Live>,
    /// For a feed that requires a token.
    pub credentials: Option<Credentials>,
    /// Receives all events.
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

    /// Passes an answer on. Drops a token that was not accepted, or an address that has moved.
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
    lanes: BTreeMap<String, Lane>,
    /// Whether the service has more lanes than are followed.
    too_many: bool,
    /// Whether the service names lanes, unlike previous versions.
    names_lanes: bool,
    /// The snapshot in progress, if any, and its lane.
    taking: JoinSet<(String, Result<Taken, FetchError>)>,
    stream_tried: bool,
    swept_at: Instant,
    stale: bool,
}

/// The content of `snapshot` events and heartbeats.
#[derive(Deserialize)]
struct Place {
    lane: Option<String>,
    epoch: String,
    seq: u64,
    age: Option<f64>,
}

impl Follower {
    fn new(context: Arc<Context>) -> Self {
        let now = Instant::now();
        // The stream opens first, so that no change is missed in between; but not for long.
        let first = Lane::new(now, now + PACE, None);
        Self {
            context,
            lanes: BTreeMap::from([(document::LANE.to_owned(), first)]),
            too_many: false,
            names_lanes: false,
            taking: JoinSet::new(),
            stream_tried: false,
            swept_at: now,
            // No snapshot is in effect yet.
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
        self.lanes.values_mut().for_each(|lane| lane.state.tick(now));
        let due = self.snapshot_due().filter(|(due, _)| now >= *due).map(|(_, name)| name);
        if let Some(name) = due
            && let Some(lane) = self.lanes.get_mut(&name)
        {
            lane.begun_at = now;
            lane.not_before = now + PACE;
            let taking =
                snapshot::take(Arc::clone(&self.context), name.clone(), lane.former.clone());
            self.taking.spawn(async move { (name, taking.await) });
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

    /// When the next snapshot is due, and of which lane. One is fetched at a time.
    fn snapshot_due(&self) -> Option<(Instant, String)> {
        if !self.taking.is_empty() {
            return None;
        }
        let poll_interval = self.context.feed.poll_interval;
        let due = self.lanes.iter().map(|(name, lane)| (lane.snapshot_due(poll_interval), name));
        due.min().map(|(due, name)| (due, name.clone()))
    }

    /// The moment up to which the state of every lane is complete.
    fn known(&self) -> Option<Instant> {
        let mut all = self.lanes.values().map(Lane::known);
        let first = all.next().filter(|_| !self.too_many)??;
        all.try_fold(first, |least, known| Some(least.min(known?)))
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let stale_at = self.known().map(|known| known + self.context.feed.max_staleness);
        // Just after, since at that very moment the state is not stale yet.
        let stale_at = stale_at.filter(|_| !self.stale).map(|at| at + Duration::from_millis(1));
        let due = self.snapshot_due().map(|(due, _)| due);
        let deadlines = self.lanes.values().filter_map(|lane| lane.state.deadline());
        let next = deadlines.chain(due).chain(stale_at).min();
        next.map_or(self.swept_at + SWEEP, |next| next.min(self.swept_at + SWEEP)).max(now)
    }

    async fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Opened => {
                self.context.live.set_streaming(true);
                self.context.observer.notify(&Event::StreamOpened);
                // The service may just be back: a snapshot that is due waits no longer.
                let now = Instant::now();
                for lane in self.lanes.values_mut() {
                    lane.not_before = now;
                    lane.backoff.reset();
                    lane.state.on(Input::Opened, now);
                }
            }
            Signal::Lost(error) => {
                self.context.live.set_streaming(false);
                self.stream_failed();
                self.context.observer.notify(&Event::StreamLost { error: &error });
            }
            Signal::Message(message, arrived_at) => {
                if let Some((lane, input)) = self.read(message, arrived_at).await {
                    self.take(&lane, input);
                }
            }
        }
    }

    /// The first snapshot need not wait for the stream any longer.
    fn stream_failed(&mut self) {
        if !self.stream_tried {
            self.stream_tried = true;
            let now = Instant::now();
            self.lanes.values_mut().for_each(|lane| lane.not_before = now);
        }
    }

    /// The content of a message, and its lane.
    async fn read(&mut self, message: Message, arrived_at: Instant) -> Option<(String, Input)> {
        if message.event == "revocation" {
            let opened = snapshot::open(&self.context, message.data, document::CHANGE).await;
            return Some(match opened {
                Ok(Document { lane, epoch, first_seq: first, seq, entries }) => {
                    (lane, Input::Change { epoch, first, seq, entries })
                }
                // With several lanes, the next heartbeat shows the gap in another one.
                Err(_) => (document::LANE.to_owned(), Input::Unreadable),
            });
        }
        let is_beat = message.event == "heartbeat";
        if !is_beat && message.event != "snapshot" {
            return None;
        }
        let Place { lane, epoch, seq, age } = serde_json::from_str(&message.data).ok()?;
        self.names_lanes = lane.is_some();
        let lane = document::lane_named(lane)?;
        if !is_beat {
            return Some((lane, Input::Begins { epoch, seq }));
        }
        let age = Duration::try_from_secs_f64(age?).ok()?;
        let known = arrived_at.checked_sub(age)?;
        Some((lane, Input::Heartbeat { epoch, seq, known }))
    }

    fn took(&mut self, taken: Result<(String, Result<Taken, FetchError>), JoinError>) {
        // The task is never cancelled; after a panic, the next one starts when it is due.
        let Ok((name, taken)) = taken else { return };
        let Some(lane) = self.lanes.get_mut(&name) else { return };
        let taken = match taken {
            Ok(taken) => taken,
            Err(FetchError::Status { code: 404 | 410, .. }) if name != document::LANE => {
                // The lane has ended, and with it its age. Its entries stay in effect.
                self.lanes.remove(&name);
                self.publish();
                return;
            }
            Err(error) => {
                lane.not_before = Instant::now() + lane.backoff.next().max(error.retry_after());
                self.context.live.note_failure(&error);
                let longest = self.context.feed.longest_snapshot;
                self.context.observer.notify(&match &error {
                    FetchError::TooLarge => Event::SnapshotTooLarge { longest },
                    error => Event::SnapshotFailed { error },
                });
                return;
            }
        };
        lane.backoff.reset();
        lane.former = taken.former;
        let Document { epoch, seq, entries, .. } = taken.document;
        let count = entries.len();
        self.take(&name, Input::Snapshot { epoch, seq, entries, known: taken.known });
        if let Some(lane) = self.lanes.get_mut(&name) {
            if lane.state.wants_snapshot() {
                // An instance that lags does so for some time. But after a slow snapshot the next
                // attempt is immediate.
                lane.not_before = lane.not_before.max(lane.begun_at + lane.lag.next());
            } else {
                lane.lag.reset();
            }
        }
        let took = taken.arrived_at.elapsed();
        self.context.observer.notify(&match taken.bytes {
            Some(bytes) => Event::SnapshotTaken { entries: count, bytes, took },
            None => Event::SnapshotUnchanged,
        });
    }

    /// Passes an input to the state machine of the lane, and carries out its decision. The set
    /// changes first: the state is reported when it is in effect.
    fn take(&mut self, name: &str, input: Input) {
        let entries = match &input {
            Input::Change { entries, .. } => Some(entries.len()),
            _ => None,
        };
        let now = Instant::now();
        if !self.lanes.contains_key(name) {
            self.too_many |= self.lanes.len() >= MAX_LANES;
            let lane = Lane::new(now, now, self.known());
            if !self.too_many {
                self.lanes.insert(name.to_owned(), lane);
            }
        }
        if let Some(lane) = self.lanes.get_mut(name)
            && let Some(action) = lane.state.on(input, now)
        {
            self.context.live.apply(name, action);
        }
        self.publish();
        if let Some(entries) = entries {
            self.context.observer.notify(&Event::Changed { entries });
        }
    }

    /// Publishes the moment up to which everything is complete, and where the stream is to
    /// continue. An id belongs to one lane; for the others the service sends its position.
    fn publish(&self) {
        self.context.live.set_known(self.known(), Now::read());
        let seq = self.lanes.get(document::LANE).and_then(|lane| lane.state.seq());
        self.context.live.set_position(seq.map(|seq| match self.names_lanes {
            true => format!("{}:{seq}", document::LANE),
            // A previous version of the service accepts the number alone.
            false => seq.to_string(),
        }));
    }
}
