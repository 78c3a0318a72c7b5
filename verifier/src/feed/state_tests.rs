//! The rules of the state machine, one by one.

use std::time::{Duration, Instant};

use super::super::revocations::{Entry, Kind};
use super::*;

/// The entries of a change.
pub(super) fn entries(epoch: usize, seq: u64) -> Revocations {
    let mut set = Revocations::default();
    let name = format!("{epoch}/{seq}").into();
    set.insert(Entry { kind: Kind::Token, name, before: i64::MAX, exp: i64::MAX });
    set
}

fn beat(epoch: &str, seq: u64, known: Instant) -> Input {
    Input::Heartbeat { epoch: epoch.into(), seq, known }
}

fn changed(epoch: &str, seq: u64) -> Input {
    Input::Change { epoch: epoch.into(), first: seq, seq, entries: entries(0, seq) }
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
fn a_change_of_several_numbers_closes_the_gap_between_them() {
    let start = Instant::now();
    let range =
        |first, seq| Input::Change { epoch: "a".into(), first, seq, entries: entries(0, seq) };
    let mut state = State::default();
    // Before the first snapshot, which contains a part of it.
    state.on(range(5, 8), start);
    state.on(taken("a", 6, start), start);
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(8), false));
    state.on(range(9, 12), start);
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(12), false));
    // One that overlaps, one after a gap, and the one that closes it.
    state.on(range(11, 13), start);
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(13), false));
    state.on(range(15, 20), start);
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(13), true));
    state.on(range(14, 14), start);
    assert_eq!(state.seq(), Some(20));
    // So many numbers are not held, and do no harm.
    state.on(range(30, u64::MAX - 1), start);
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(20), true));
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
fn what_was_told_while_a_snapshot_was_under_way_is_wanted_still() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let begins = |epoch: &str, seq| Input::Begins { epoch: epoch.into(), seq };
    // Each is told at 450 ms; then the snapshot comes that was asked for at 300 ms.
    for (input, enough) in [
        (begins("a", 6), Some(6)),
        (begins("b", 5), None),
        (beat("b", 5, at(450)), None),
        (Input::Unreadable, None),
    ] {
        let mut state = State::default();
        state.on(taken("a", 4, start), start);
        state.on(input.clone(), at(450));
        state.on(taken("a", 5, at(300)), at(1300));
        assert_eq!((state.seq(), state.wants_snapshot()), (Some(5), true), "{input:?}");
        // An instance that lags is not enough either, ...
        state.on(taken("a", 5, at(1300)), at(1400));
        assert!(state.wants_snapshot(), "{input:?}");
        if let Some(seq) = enough {
            state.on(taken("a", seq, at(1300)), at(1400));
            assert!(!state.wants_snapshot(), "{input:?}");
            continue;
        }
        // ... but what was confirmed so much later is: there is nothing else to be had.
        state.on(taken("a", 5, at(450) + GRACE), at(2000));
        assert!(!state.wants_snapshot(), "{input:?}");
    }
}

#[test]
fn a_number_does_not_stand_for_what_has_none() {
    let start = Instant::now();
    let begins = |epoch: &str, seq| Input::Begins { epoch: epoch.into(), seq };
    let mut state = State::default();
    state.on(taken("a", 4, start), start);
    for inputs in [
        [Input::Unreadable, begins("a", 6)],
        [begins("a", 6), Input::Unreadable],
        [begins("b", 6), begins("a", 6)],
    ] {
        inputs.into_iter().for_each(|input| _ = state.on(input, start));
        state.on(taken("a", 6, start), start);
        assert!(state.wants_snapshot());
        state.on(taken("a", 4, start + GRACE), start + GRACE);
        assert!(!state.wants_snapshot());
    }
    // Of one history, the last one does.
    state.on(begins("a", 9), start);
    state.on(begins("a", 8), start);
    state.on(taken("a", 8, start), start);
    assert!(state.wants_snapshot());
    state.on(taken("a", 9, start), start);
    assert!(!state.wants_snapshot());
}

#[test]
fn changes_of_the_next_history_outlast_a_snapshot_of_the_last() {
    let start = Instant::now();
    let mut state = State::default();
    state.on(taken("a", 5, start), start);
    state.on(changed("b", 2), start);
    state.on(taken("a", 5, start), start);
    assert!(state.wants_snapshot());
    let action = state.on(taken("b", 1, start), start);
    assert!(matches!(action, Some(Action::Replace(set)) if set == entries(0, 2)));
    assert_eq!((state.seq(), state.wants_snapshot()), (Some(2), false));
}

#[test]
fn what_waits_for_a_snapshot_is_bounded() {
    let start = Instant::now();
    let mut state = State::default();
    for seq in 1..=3 * MAX_AHEAD as u64 {
        state.on(changed("a", seq), start);
        let numbers = state.pending.as_ref().map_or(0, |pending| pending.numbers.len());
        assert!(numbers <= MAX_AHEAD);
    }
    state.on(taken("a", 1, start), start);
    for seq in 0..2 * MAX_AHEAD as u64 {
        state.on(changed("a", 1_000_000 + 2 * seq), start);
    }
    assert!(state.ahead.len() <= MAX_AHEAD && state.wants_snapshot());
}
