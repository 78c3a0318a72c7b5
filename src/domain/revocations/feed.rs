//! The state of the history in one instance, and its listeners.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::entry::{Change, Entry};
use super::event::{self, Event};
use super::live::Live;
use super::store::Head;
use crate::base::time::Timestamp;

/// The maximum number of past events that a returning listener can still receive one by one.
const MAX_HELD: usize = 1_000;
/// The number of changes that wait for a key, beyond which listeners are sent to the snapshot.
const MAX_WAITING: usize = 10_000;
/// The maximum number of events that a listener may lag behind before it is disconnected.
const MAX_BEHIND: usize = 256;

pub(super) struct Feed {
    known: RwLock<Known>,
}

struct Known {
    head: Head,
    live: Live,
    waiting: VecDeque<Change>,
    sent: i64,
    /// The events of the last changes, without a gap up to `sent`.
    held: VecDeque<Event>,
    confirmed_at: Option<Instant>,
    /// `None` once the service is about to stop.
    listeners: Option<broadcast::Sender<Bytes>>,
}

/// The number of listeners that are written to within the same millisecond.
const AT_ONCE: usize = 32;
/// The delay within which the last listener receives an event, however many there are.
const MAX_DELAY: Duration = Duration::from_millis(500);

pub(super) struct Subscription {
    pub missed: Vec<Bytes>,
    pub coming: broadcast::Receiver<Bytes>,
    /// The delay of this listener after the first ones: a thousand writes in a row would delay
    /// other requests on the same thread.
    pub delay: Duration,
}

fn delay_after(others: usize) -> Duration {
    Duration::from_millis((others / AT_ONCE) as u64).min(MAX_DELAY)
}

impl Feed {
    pub(super) fn new() -> Self {
        let (listeners, _) = broadcast::channel(MAX_BEHIND);
        let known = Known {
            head: Head { epoch: String::new(), seq: 0 },
            live: Live::default(),
            waiting: VecDeque::new(),
            sent: 0,
            held: VecDeque::new(),
            confirmed_at: None,
            listeners: Some(listeners),
        };
        Self { known: RwLock::new(known) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn head(&self) -> Head {
        self.read().head.clone()
    }

    /// Replaces the history by another one, and sends listeners to the snapshot.
    pub(super) fn begin_anew(&self, head: Head, changes: impl IntoIterator<Item = Change>) {
        let mut live = Live::default();
        changes.into_iter().flat_map(|change| change.entries).for_each(|entry| live.add(entry));
        let mut known = self.write();
        known.live = live;
        known.head = head;
        known.skip_waiting();
    }

    /// Applies the changes that follow, up to number `seq`.
    pub(super) fn take_in(&self, changes: VecDeque<Change>, seq: i64) {
        let mut known = self.write();
        for change in &changes {
            change.entries.iter().for_each(|entry| known.live.add(entry.clone()));
        }
        let last = changes.back().map_or(seq, |change| change.seq.max(seq));
        known.head.seq = known.head.seq.max(last);
        known.waiting.extend(changes);
        if known.waiting.len() > MAX_WAITING {
            known.skip_waiting();
        }
    }

    /// Sends listeners to the snapshot instead of publishing the changes that wait.
    pub(super) fn skip_waiting(&self) {
        let mut known = self.write();
        if !known.waiting.is_empty() {
            known.skip_waiting();
        }
    }

    /// The next change to publish, with the entries to publish.
    pub(super) fn waiting(&self) -> Option<(String, Change)> {
        let known = self.read();
        let Change { seq, at, entries } = known.waiting.front()?;
        let entries = event::to_publish(entries, |sub| known.live.cut_off_entry(sub));
        Some((known.head.epoch.clone(), Change { seq: *seq, at: *at, entries }))
    }

    pub(super) fn publish(&self, event: Event) {
        let mut known = self.write();
        if known.waiting.front().is_none_or(|change| change.seq != event.seq) {
            return;
        }
        known.waiting.pop_front();
        if event.seq != known.sent + 1 {
            // The changes between were removed from the record before this instance read them.
            known.held.clear();
        }
        known.sent = event.seq;
        known.send(event.text.clone());
        known.held.push_back(event);
        if known.held.len() > MAX_HELD {
            known.held.pop_front();
        }
    }

    /// Records that at `moment` the present state was complete.
    pub(super) fn confirm(&self, moment: Instant) {
        let mut known = self.write();
        if known.sent < known.head.seq {
            // The changes between were removed from the record before this instance read them.
            known.send_to_snapshot();
        }
        known.confirmed_at = Some(moment);
    }

    pub(super) fn beat(&self) {
        let known = self.read();
        if let Some(confirmed_at) = known.confirmed_at {
            let age = confirmed_at.elapsed();
            known.send(event::heartbeat(&known.head.epoch, known.sent, age));
        }
    }

    /// Adds a listener that has received everything up to `after`, or nothing yet. Returns `None`
    /// once the service is about to stop.
    pub(super) fn listen(&self, after: Option<i64>) -> Option<Subscription> {
        // No event can come between the missed and the new ones: that would need the lock.
        let known = self.read();
        let listeners = known.listeners.as_ref()?;
        let delay = delay_after(listeners.receiver_count());
        let coming = listeners.subscribe();
        let first_held = known.held.front().map_or(known.sent + 1, |event| event.seq);
        let missed = match after {
            Some(after) if after <= known.sent && first_held <= after + 1 => {
                let missed = known.held.iter().filter(|event| event.seq > after);
                missed.map(|event| event.text.clone()).collect()
            }
            _ => vec![event::snapshot(&known.head.epoch, known.sent)],
        };
        Some(Subscription { missed, coming, delay })
    }

    pub(super) fn close(&self) {
        self.write().listeners = None;
    }

    /// Drops expired entries, and events that no key verifies or no listener needs.
    pub(super) fn forget(
        &self,
        is_published: impl Fn(&str) -> bool,
        oldest: Timestamp,
        now: Timestamp,
    ) {
        let mut known = self.write();
        known.live.forget(now);
        let is_of_use = |event: &Event| event.at >= oldest && is_published(&event.kid);
        while known.held.iter().any(|event| !is_of_use(event)) {
            known.held.pop_front();
        }
    }

    /// All entries that are valid at `now`, and the position.
    pub(super) fn entries(&self, now: Timestamp) -> (Head, Vec<Entry>) {
        let known = self.read();
        (known.head.clone(), known.live.entries(now))
    }

    /// How long ago the database was last read completely; `None` before the first time.
    pub(super) fn age(&self) -> Option<Duration> {
        self.read().confirmed_at.map(|at| at.elapsed())
    }

    pub(super) fn is_at(&self, epoch: &str, seq: i64) -> bool {
        let known = self.read();
        known.head.seq == seq && known.head.epoch == epoch
    }

    pub(super) fn ask<T>(&self, question: impl FnOnce(&Live) -> T) -> T {
        question(&self.read().live)
    }
}

impl Known {
    fn send(&self, text: Bytes) {
        if let Some(listeners) = &self.listeners {
            // Sending fails without listeners, which loses nothing.
            let _ = listeners.send(text);
        }
    }

    fn skip_waiting(&mut self) {
        self.waiting.clear();
        self.send_to_snapshot();
    }

    fn send_to_snapshot(&mut self) {
        self.held.clear();
        self.sent = self.head.seq;
        self.send(event::snapshot(&self.head.epoch, self.sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::revocations::entry::Revoked;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn change(seq: i64) -> Change {
        let revoked = Revoked::Key { kid: seq.to_string() };
        Change { seq, at: at(seq), entries: vec![Entry { revoked, expires_at: at(1000) }] }
    }

    fn event(seq: i64) -> Event {
        Event { seq, at: at(seq), kid: "k".into(), text: format!("event {seq}").into() }
    }

    fn head(seq: i64) -> Head {
        Head { epoch: "e".into(), seq }
    }

    /// A feed that began at number 10 and has published all up to `last`.
    fn published_up_to(last: i64) -> Feed {
        let feed = Feed::new();
        feed.begin_anew(head(10), [change(9), change(10)]);
        tell(&feed, 11..=last);
        feed
    }

    fn tell(feed: &Feed, numbers: impl Iterator<Item = i64>) {
        for seq in numbers {
            feed.take_in([change(seq)].into(), seq);
            assert_eq!(feed.waiting().map(|(_, change)| change.seq), Some(seq));
            feed.publish(event(seq));
        }
        feed.confirm(Instant::now());
    }

    fn missed(feed: &Feed, after: Option<i64>) -> Vec<String> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let missed = feed.listen(after).unwrap().missed.into_iter().map(text);
        missed.map(|text| text.lines().next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_first_hear_at_once_and_many_in_turns() {
        let milliseconds = |others| delay_after(others).as_millis();
        assert_eq!([0, 31, 32, 1000, 10_000].map(milliseconds), [0, 0, 1, 31, 312]);
        assert_eq!(milliseconds(100_000), 500);
    }

    #[test]
    fn a_listener_resumes_where_the_events_are_held() {
        let feed = published_up_to(13);
        assert_eq!(missed(&feed, Some(13)), [] as [&str; 0]);
        assert_eq!(missed(&feed, Some(12)), ["event 13"]);
        assert_eq!(missed(&feed, Some(10)), ["event 11", "event 12", "event 13"]);
        for elsewhere in [None, Some(9), Some(0), Some(14), Some(i64::MAX), Some(-1)] {
            assert_eq!(missed(&feed, elsewhere), ["id: 0:13"], "{elsewhere:?}");
        }
    }

    #[test]
    fn events_that_nobody_could_verify_are_not_held() {
        let feed = published_up_to(13);
        feed.forget(|_| true, at(12), at(0));
        assert_eq!(missed(&feed, Some(11)), ["event 12", "event 13"]);
        assert_eq!(missed(&feed, Some(10)), ["id: 0:13"]);
        feed.forget(|kid| kid != "k", at(0), at(0));
        assert_eq!(missed(&feed, Some(12)), ["id: 0:13"]);
        assert_eq!(missed(&feed, Some(13)), [] as [&str; 0]);
    }

    #[test]
    fn a_gap_and_another_history_send_listeners_to_the_snapshot() {
        let feed = published_up_to(11);
        let mut subscription = feed.listen(Some(11)).unwrap();
        let mut received = || subscription.coming.try_recv().map(|text| text.starts_with(b"id: "));
        // Number 12 was removed before it was seen.
        feed.take_in(VecDeque::new(), 12);
        feed.confirm(Instant::now());
        assert_eq!(received(), Ok(true));
        feed.begin_anew(Head { epoch: "f".into(), seq: 3 }, [change(3)]);
        assert_eq!(received(), Ok(true));
        assert!(received().is_err());
        assert_eq!(feed.head(), Head { epoch: "f".into(), seq: 3 });
        assert_eq!(feed.entries(at(0)).1, change(3).entries);
    }

    #[test]
    fn what_waits_too_long_is_left_to_the_snapshot() {
        let feed = published_up_to(11);
        let mut subscription = feed.listen(Some(11)).unwrap();
        let mut received =
            || subscription.coming.try_recv().map(|text| text.starts_with(b"id: 0:13"));
        feed.take_in([change(12), change(13)].into(), 13);
        feed.skip_waiting();
        assert_eq!(received(), Ok(true));
        assert!(feed.waiting().is_none());
        feed.skip_waiting();
        feed.confirm(Instant::now());
        assert!(received().is_err(), "there is nothing to skip");
    }

    #[tokio::test]
    async fn who_lags_behind_is_cut_off_and_nobody_else() {
        let feed = published_up_to(10);
        let mut slow = feed.listen(None).unwrap();
        let mut quick = feed.listen(None).unwrap();
        for _ in 0..=MAX_BEHIND {
            feed.beat();
            assert!(quick.coming.recv().await.is_ok());
        }
        assert!(slow.coming.recv().await.is_err());
    }

    #[tokio::test]
    async fn when_it_is_closed_no_stream_goes_on_and_none_begins() {
        let feed = published_up_to(10);
        let mut subscription = feed.listen(None).unwrap();
        feed.close();
        assert!(subscription.coming.recv().await.is_err());
        assert!(feed.listen(None).is_none());
    }
}
