//! The state machine against a model of the service: instances that lag, streams that are cut,
//! changes that are lost or come twice, histories that begin anew.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::entries;
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
    /// The next change cannot be read.
    Garble,
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
        1 => Just(Step::Garble),
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
    /// When the stream told last of what the verifier may lack.
    told: Option<u64>,
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
            told: None,
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
        self.take(Input::Change { epoch: epoch.to_string(), first: seq, seq, entries });
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
                self.told = Some(self.now);
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
            Step::Deliver | Step::Lose | Step::Garble => {
                let (epoch, seq) = self.stream;
                let exists =
                    self.changes.iter().any(|change| (change.epoch, change.seq) == (epoch, seq));
                if exists {
                    self.stream.1 += 1;
                    match step {
                        Step::Deliver => self.change(epoch, seq),
                        Step::Garble => {
                            self.take(Input::Unreadable);
                            self.told = Some(self.now);
                        }
                        _ => {}
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

    /// Everything up to the moment that the verifier claims to know is in its set, and so is what it
    /// was told of, or it wants it.
    fn check(&mut self) {
        if let Some(told) = self.told.take_if(|_| !self.state.wants_snapshot()) {
            let (_, _, set) = self.at(told);
            let is_held = set.missing_from(&self.held) == Revocations::default();
            assert!(is_held || self.state.known() >= Some(self.moment(told)), "told at {told}");
        }
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
