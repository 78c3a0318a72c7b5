//! The task's state of each lane: a history with its own numbers, snapshots and age.

use std::time::{Duration, Instant};

use super::snapshot::Former;
use super::state::State;
use crate::backoff::Backoff;

/// The minimum time between the beginnings of two snapshots.
pub const PACE: Duration = Duration::from_millis(250);
/// The maximum of that, while snapshots are behind the stream.
const MAX_PACE: Duration = Duration::from_secs(1);
/// The maximum wait after snapshots that failed.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// One lane.
pub struct Lane {
    /// The state machine of the lane.
    pub state: State,
    /// The last snapshot that was fetched.
    pub former: Option<Former>,
    /// When the last snapshot began.
    pub begun_at: Instant,
    /// The earliest time of the next snapshot.
    pub not_before: Instant,
    /// The wait between snapshots that failed.
    pub backoff: Backoff,
    /// The wait between snapshots that are behind the stream.
    pub lag: Backoff,
    /// The moment up to which the lanes known before this one were complete.
    inherited: Option<Instant>,
}

impl Lane {
    /// A new lane, whose snapshot is fetched from `not_before` on. `inherited` is the moment up to
    /// which the other lanes were complete: this lane began later, so nothing of it was missed
    /// before.
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

    /// The moment up to which the lane is complete.
    pub fn known(&self) -> Option<Instant> {
        self.state.known().or(self.inherited)
    }

    /// When the next snapshot is due: when the state machine requests one, or after the poll
    /// interval without confirmation, which a stream's heartbeats prevent.
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
