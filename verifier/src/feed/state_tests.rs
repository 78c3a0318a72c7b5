//! The state machine against a model of the service: instances that lag, streams that are cut,
//! changes that are lost or come twice, histories that begin anew.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::revocations::{Entry, Kind};
use super::*;

/// A step of the world or of what a verifier gets to see of it.
#[derive(Clone, Debug)]
enum Step {
    /// Something is revoked.
    Revoke,
    /// The database is made anew.
    BeginAnew,
    /// The stream brings the next change.
    Deliver,
    /// The next change is lost.
    Lose,
    /// A change of any history comes once more.
    Repeat(usize),
    /// The stream is cut, and resumed from where the verifier is.
    Cut,
    /// An instance that knows the world as it was so many moments ago sends a heartbeat.
    Heartbeat(u64),
    /// Such an instance answers with a snapshot.
    Snapshot(u64),
    /// Time passes.
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Revoke),
        1 => Just(Step::BeginAnew),
        8 => Just(Step::Deliver),
        1 => Just(Step::Lose),
        2 => any::<usize>().prop_map(Step::Repeat),
        1 => Just(Step::Cut),
        4 => (0u64..20).prop_map(Step::Heartbeat),
        2 => (0u64..20).prop_map(Step::Snapshot),
        2 => Just(Step::Tick),
    ]
}

/// What was revoked, in which history and when.
struct Change {
    epoch: usize,
    seq: u64,
    at: u64,
}

struct World {
    start: Instant,
    now: u64,
    changes: Vec<Change>,
    /// When each history began.
    epochs: Vec<u64>,
    state: State,
    held: Revocations,
    /// The history and the next change of the stream that is open.
    stream: (usize, u64),
}

fn entries(epoch: usize, seq: u64) -> Revocations {
    let mut set = Revocations::default();
    let name = format!("{epoch}/{seq}").into();
    set.insert(Entry { kind: Kind::Token, name, before: i64::MAX, exp: i64::MAX });
    set
}

impl World {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            now: 0,
            changes: Vec::new(),
            epochs: vec![0],
            state: State::default(),
            held: Revocations::default(),
            stream: (0, 1),
        }
    }

    fn moment(&self, at: u64) -> Instant {
        self.start + Duration::from_millis(at * 300)
    }

    /// History, number and entries as they were at `at`.
    fn at(&self, at: u64) -> (usize, u64, Revocations) {
        let epoch = self.epochs.iter().rposition(|began| *began <= at).unwrap();
        let mut set = Revocations::default();
        let mut last = 0;
        for change in self.changes.iter().filter(|change| change.epoch == epoch && change.at <= at)
        {
            set.absorb(entries(epoch, change.seq));
            last = change.seq;
        }
        (epoch, last, set)
    }

    fn take(&mut self, input: Input) {
        let now = self.moment(self.now);
        match self.state.on(input, now) {
            Some(Action::Merge(entries)) => self.held.absorb(entries),
            Some(Action::Replace(entries)) => self.held = entries,
            None => {}
        }
    }

    fn change(&mut self, epoch: usize, seq: u64) {
        let entries = entries(epoch, seq);
        self.take(Input::Change { epoch: epoch.to_string(), seq, entries });
    }

    fn heartbeat(&mut self, at: u64) {
        let (epoch, seq, _) = self.at(at);
        let known = self.moment(at);
        self.take(Input::Heartbeat { epoch: epoch.to_string(), seq, known });
    }

    fn snapshot(&mut self, at: u64) {
        let (epoch, seq, entries) = self.at(at);
        let known = self.moment(at);
        self.take(Input::Snapshot { epoch: epoch.to_string(), seq, entries, known });
    }

    /// As the service does: the changes after the verifier's, or a beginning where it is.
    fn connect(&mut self) {
        let (epoch, seq, _) = self.at(self.now);
        match self.state.seq() {
            Some(own) if own <= seq => self.stream = (epoch, own + 1),
            _ => {
                self.take(Input::Begins { epoch: epoch.to_string(), seq });
                self.stream = (epoch, seq + 1);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        self.now += 1;
        let (epoch, last, _) = self.at(self.now);
        match step {
            Step::Revoke => self.changes.push(Change { epoch, seq: last + 1, at: self.now }),
            Step::BeginAnew => self.epochs.push(self.now),
            Step::Deliver | Step::Lose => {
                let (epoch, seq) = self.stream;
                let exists =
                    self.changes.iter().any(|change| (change.epoch, change.seq) == (epoch, seq));
                if exists {
                    self.stream.1 += 1;
                    if matches!(step, Step::Deliver) {
                        self.change(epoch, seq);
                    }
                }
            }
            Step::Repeat(which) if !self.changes.is_empty() => {
                let change = &self.changes[which % self.changes.len()];
                self.change(change.epoch, change.seq);
            }
            Step::Repeat(_) => {}
            Step::Cut => self.connect(),
            Step::Heartbeat(lag) => self.heartbeat(self.now.saturating_sub(*lag)),
            Step::Snapshot(lag) => self.snapshot(self.now.saturating_sub(*lag)),
            Step::Tick => self.state.tick(self.moment(self.now)),
        }
        self.check();
    }

    /// Everything up to the moment that the verifier claims to know is in its set.
    fn check(&self) {
        let Some(known) = self.state.known() else { return };
        let at = (0..=self.now).rev().find(|at| self.moment(*at) <= known).unwrap();
        let (_, _, set) = self.at(at);
        assert_eq!(set.missing_from(&self.held), Revocations::default(), "at {at}");
    }

    /// The world stands still, the stream goes on and snapshots are taken when they are wanted.
    fn settle(&mut self) {
        self.connect();
        for _ in 0..10 {
            self.now += 10;
            while self.changes.iter().any(|change| (change.epoch, change.seq) == self.stream) {
                let (epoch, seq) = self.stream;
                self.stream.1 += 1;
                self.change(epoch, seq);
            }
            self.heartbeat(self.now);
            self.state.tick(self.moment(self.now));
            if self.state.wants_snapshot() {
                self.snapshot(self.now);
            }
            self.check();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_set_becomes_the_snapshots(steps in vec(step(), 0..150)) {
        let mut world = World::new();
        world.take(Input::Opened);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        let (_, seq, set) = world.at(world.now);
        prop_assert_eq!(&world.held, &set);
        prop_assert_eq!(world.state.seq(), Some(seq));
        prop_assert_eq!(world.state.known(), Some(world.moment(world.now)));
        prop_assert!(!world.state.wants_snapshot());
    }
}

fn beat(epoch: &str, seq: u64, known: Instant) -> Input {
    Input::Heartbeat { epoch: epoch.into(), seq, known }
}

fn changed(epoch: &str, seq: u64) -> Input {
    Input::Change { epoch: epoch.into(), seq, entries: entries(0, seq) }
}

fn taken(epoch: &str, seq: u64, known: Instant) -> Input {
    Input::Snapshot { epoch: epoch.into(), seq, entries: Revocations::default(), known }
}

#[test]
fn it_begins_with_a_snapshot_and_goes_on_by_changes() {
    let start = Instant::now();
    let mut state = State::default();
    assert!(!state.wants_snapshot() && state.seq().is_none() && state.known().is_none());
    state.on(Input::Opened, start);
    assert!(state.wants_snapshot());
    // What comes before the snapshot is not lost.
    assert!(state.on(changed("a", 6), start).is_none());
    let action = state.on(taken("a", 5, start), start);
    assert!(matches!(action, Some(Action::Replace(set)) if set == entries(0, 6)));
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(6), false));
    assert!(matches!(state.on(changed("a", 7), start), Some(Action::Merge(_))));
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(7), false));
    // Once more does no harm; after a gap the entries count, but a snapshot has to come.
    state.on(changed("a", 3), start);
    assert!(!state.wants_snapshot());
    assert!(matches!(state.on(changed("a", 9), start), Some(Action::Merge(_))));
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(7), true));
    state.on(changed("a", 8), start);
    assert_eq!(state.seq(), Some(9));
}

#[test]
fn a_heartbeat_from_ahead_counts_when_its_changes_are_here() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut state = State::default();
    state.on(taken("a", 5, start), start);
    state.on(beat("a", 5, at(2)), at(2));
    assert_eq!(state.known(), Some(at(2)));
    state.on(beat("a", 6, at(4)), at(4));
    assert_eq!((state.known(), state.wants_snapshot()), (Some(at(2)), false));
    assert_eq!(state.deadline(), Some(at(5)));
    state.on(changed("a", 6), at(4));
    assert_eq!((state.known(), state.deadline()), (Some(at(4)), None));
    // The change does not come: after the grace, a snapshot.
    state.on(beat("a", 7, at(6)), at(6));
    state.tick(at(6) + GRACE / 2);
    assert!(!state.wants_snapshot());
    state.tick(at(7));
    assert!(state.wants_snapshot());
    state.on(taken("a", 7, at(8)), at(8));
    assert_eq!((state.known(), state.wants_snapshot()), (Some(at(8)), false));
}

#[test]
fn an_instance_that_stays_behind_is_asked_what_it_knows() {
    let start = Instant::now();
    let mut state = State::default();
    state.on(taken("a", 9, start), start);
    state.on(beat("a", 4, start), start);
    state.tick(start + GRACE);
    assert!(state.wants_snapshot());
    state.on(taken("a", 4, start), start);
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(4), false));
}

#[test]
fn what_cannot_be_read_or_is_of_another_history_wants_a_snapshot() {
    let start = Instant::now();
    let begins = |epoch: &str, seq| Input::Begins { epoch: epoch.into(), seq };
    for (input, wants) in [
        (Input::Unreadable, true),
        (begins("a", 5), false),
        (begins("a", 4), false),
        (begins("a", 6), true),
        (begins("b", 5), true),
        (beat("b", 5, start), true),
        (changed("b", 6), true),
        (Input::Opened, false),
    ] {
        let mut state = State::default();
        state.on(taken("a", 5, start), start);
        state.on(input.clone(), start);
        assert_eq!(state.wants_snapshot(), wants, "{input:?}");
    }
}

#[test]
fn what_waits_for_a_snapshot_is_bounded() {
    let start = Instant::now();
    let mut state = State::default();
    for seq in 1..=3 * MOST_AHEAD as u64 {
        state.on(changed("a", seq), start);
        let numbers = state.pending.as_ref().map_or(0, |pending| pending.numbers.len());
        assert!(numbers <= MOST_AHEAD);
    }
    state.on(taken("a", 1, start), start);
    for seq in 0..2 * MOST_AHEAD as u64 {
        state.on(changed("a", 1_000_000 + 2 * seq), start);
    }
    assert!(state.ahead.len() <= MOST_AHEAD && state.wants_snapshot());
}
