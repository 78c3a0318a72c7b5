//! What the task keeps of each lane: a history of its own, with its own numbers, snapshots and age.

use std::time::{Duration, Instant};

use super::snapshot::Former;
use super::state::State;
use crate::backoff::Backoff;

/// The shortest time between the beginnings of two snapshots.
pub const PACE: Duration = Duration::from_millis(250);
/// The longest, while what comes is behind what the stream told of.
const MAX_PACE: Duration = Duration::from_secs(1);
/// The longest wait after snapshots that failed.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// One lane.
pub struct Lane {
    /// Where the verifier is in it.
    pub state: State,
    /// The snapshot that was taken last.
    pub former: Option<Former>,
    /// When the last snapshot was begun.
    pub begun_at: Instant,
    /// No snapshot is begun before.
    pub not_before: Instant,
    /// Between snapshots that failed.
    pub backoff: Backoff,
    /// Between snapshots that are behind what the stream told of.
    pub lag: Backoff,
    /// Up to when everything was heard of the lanes that were known before this one.
    inherited: Option<Instant>,
}

impl Lane {
    /// A lane of which nothing is known, and whose snapshot is taken from `not_before` on.
    /// `inherited` is the moment up to which everything was heard of others: of a lane that begins,
    /// no more was missed.
    pub fn new(now: Instant, not_before: Instant, inherited: Option<Instant>) -> Self {
        Self {
            state: State::default(),
            former: None,
            begun_at: now,
            not_before,
            backoff: Backoff::new(PACE, MAX_WAIT),
            lag: Backoff::new(PACE, MAX_PACE),
            inherited,
        }
    }

    /// The moment up to which everything was heard.
    pub fn known(&self) -> Option<Instant> {
        self.state.known().or(self.inherited)
    }

    /// When the next snapshot is to be taken: when the state wants one, or when nothing was
    /// confirmed for the poll interval, which a stream prevents by its heartbeats.
    pub fn snapshot_due(&self, poll_interval: Duration) -> Instant {
        let confirmed = self.state.known().map(|known| known.max(self.begun_at));
        let poll = confirmed.map(|confirmed| confirmed + poll_interval);
        let due = poll.filter(|_| !self.state.wants_snapshot()).unwrap_or(self.not_before);
        due.max(self.not_before)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Input;
    use super::*;

    #[test]
    fn a_lane_that_is_met_is_as_old_as_those_before_it_until_its_snapshot_is_here() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lane = Lane::new(at(5), at(5), Some(at(4)));
        assert_eq!((lane.known(), lane.state.known()), (Some(at(4)), None));
        assert_eq!(lane.snapshot_due(Duration::from_secs(3)), at(5));
        let entries = Default::default();
        let taken = Input::Snapshot { epoch: "a".into(), seq: 7, entries, known: at(6) };
        lane.state.on(taken, at(6));
        assert_eq!(lane.known(), Some(at(6)));
        assert_eq!(lane.snapshot_due(Duration::from_secs(3)), at(9));
    }
}
