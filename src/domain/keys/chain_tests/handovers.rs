//! The handover that a revocation asks for, by name.

use super::*;
use crate::domain::keys::chain::Owed;

/// The steps after each other, each at its second, and the chain and what it owes after them.
fn after(before: &str, steps: &[(i64, Step)]) -> (String, Option<(i64, Option<u64>)>) {
    let mut chain = chain(before, steps.first().map_or(0, |(now, _)| *now));
    for (now, step) in steps {
        take(*step, &mut chain, *now).unwrap();
    }
    let owed = chain.owed();
    (shown(&chain), owed.map(|Owed { since, ahead }| (since.as_unix(), ahead.map(|l| l.as_secs()))))
}

const REVOKED: &str = "a 0 0..*, b 0 *..";

#[test]
fn the_spare_signs_at_once_and_a_new_key_takes_over_later() {
    let steps = [(10, Revoke("a")), (10, Owe(35))];
    let at_once = "a 0 0..10!10, b 0 10..";
    assert_eq!(after(REVOKED, &steps), (at_once.into(), Some((10, Some(35)))));
    let steps = [(10, Revoke("a")), (10, Owe(35)), (12, Succeed), (13, Grow)];
    let planned = "a 0 0..10!10, b 0 10..47, n 12 47..*, n 13 *..";
    assert_eq!(after(REVOKED, &steps), (planned.into(), Some((10, None))));
}

#[test]
fn a_key_counts_as_published_after_the_second_of_the_revocation() {
    // Also where the clock of who makes it is behind.
    for now in [5, 10] {
        let steps = [(10, Revoke("a")), (10, Owe(35)), (now, Succeed)];
        let (shown, _) = after(REVOKED, &steps);
        assert_eq!(shown, "a 0 0..10!10, b 0 10..46, n 11 46..", "{now}");
    }
    let steps = [(10, Revoke("a")), (10, Owe(0)), (11, Succeed)];
    assert_eq!(after(REVOKED, &steps).0, "a 0 0..10!10, b 0 10..11, n 11 11..");
}

#[test]
fn what_is_owed_is_planned_once_and_not_before_a_key_signs() {
    let needs = |before: &str, owed: Option<u64>| {
        let ahead = owed.map(seconds);
        chain(before, 20).owing(Some(Owed { since: at(10), ahead })).needs_successor(at(20))
    };
    assert!(needs("b 0 10..", Some(35)));
    assert!(!needs("b 0 10..", None), "it is planned");
    assert!(!needs("", Some(35)), "the first key comes first");
    assert!(!needs("b 0 10..15", Some(35)), "its algorithm is not used any more");
    let waiting: Vec<_> = (0..8).map(|n| format!("w{n} 0 {0}..{1}", 30 + n, 31 + n)).collect();
    assert!(
        !needs(&format!("b 0 10..30, {}", waiting.join(", ")), Some(35)),
        "JWKS would add_due_keys"
    );
    assert!(!chain("b 0 10..", 20).needs_successor(at(20)));
    assert_eq!(chain("b 0 10..", 20).succeed("n".into(), &RULES, at(20)), None);
    let too_long = chain("b 0 10..", 20).owe(TOO_LONG, at(20));
    assert_eq!(too_long, Err(Refusal::TooLate(DAYS_90)));
}

#[test]
fn a_second_revocation_leaves_a_handover_that_is_due() {
    const DUE: &str = "b 0 10..47, n 12 47..*, c 13 *..";
    let owing = || chain(DUE, 20).owing(Some(Owed { since: at(10), ahead: None }));
    let revoke = |kid: &str, now: i64| {
        let mut chain = owing();
        chain.revoke(kid, &RULES, at(now)).unwrap();
        chain.owe(seconds(500), at(now)).unwrap();
        let owed = chain.owed().unwrap();
        (shown(&chain), (owed.since.as_unix(), owed.ahead.map(|ahead| ahead.as_secs())))
    };
    // The spare signs, and not the key that is to hand over.
    let signs = "b 0 10..20!20, c 13 20..47, n 12 47..";
    assert_eq!(revoke("b", 20), (signs.into(), (20, Some(500))));
    // That key itself: the spare takes its place, a second later as it is a second younger.
    let passed = "n 12 47..20!20, b 0 10..48, c 13 48..";
    assert_eq!(revoke("n", 20), (passed.into(), (20, Some(500))));
    // The spare alone.
    let left = "c 13 *..20!20, b 0 10..47, n 12 47..";
    assert_eq!(revoke("c", 20), (left.into(), (20, Some(500))));
    // A handover that is over is nothing special any more.
    let mut over = chain("b 0 10..47, n 12 47..*, c 13 *..", 60);
    over = over.owing(Some(Owed { since: at(10), ahead: None }));
    over.revoke("n", &RULES, at(60)).unwrap();
    assert_eq!(shown(&over), "n 12 47..60!60, b 0 10..47, c 13 60..");
}

#[test]
fn a_key_that_was_to_hand_over_and_is_taken_out_is_owed_again() {
    let owed = Some(Owed { since: at(10), ahead: None });
    // The spare was published before the revocation, so it would not do.
    let mut chain = chain("a 0 0..47, n 12 47..*, b 0 *..", 20).owing(owed);
    assert_eq!(chain.successor().map(|entry| entry.kid.as_str()), Some("n"));
    chain.retire("n", false, &RULES, at(20)).unwrap();
    assert_eq!(shown(&chain), "n 12 47..20!20, a 0 0..*, b 0 *..");
    assert_eq!(chain.owed(), Some(Owed { since: at(10), ahead: Some(seconds(35)) }));
    assert_eq!(chain.successor(), None);
    // A further revocation asks for more patience; the shorter time holds.
    chain.owe(seconds(500), at(30)).unwrap();
    assert_eq!(chain.owed(), Some(Owed { since: at(30), ahead: Some(seconds(35)) }));
}

#[test]
fn a_key_that_every_cache_can_have_signs_rather_than_a_younger_one() {
    let owed = Some(Owed { since: at(10), ahead: None });
    for (spare_from, signs) in [(70, "n 12 100..*, c 70 *.."), (60, "c 60 100..947, n 12 947..")] {
        let text = format!("b 0 10..947, n 12 947..*, c {spare_from} *..");
        let mut chain = chain(&text, 100).owing(owed);
        chain.revoke("b", &RULES, at(100)).unwrap();
        assert_eq!(shown(&chain), format!("b 0 10..100!100, {signs}"), "{spare_from}");
    }
}

#[test]
fn a_rotation_leaves_a_handover_that_comes_before_it() {
    let rotate = |text: &str, ahead| {
        let mut chain = chain(text, 20).owing(Some(Owed { since: at(10), ahead: None }));
        chain.rotate(ahead, &RULES, at(20)).map(|_| shown(&chain))
    };
    const DUE: &str = "b 0 10..47, n 12 47..*, c 13 *..";
    assert_eq!(rotate(DUE, Usual), Ok("b 0 10..47, n 12 47..120, c 13 120..".into()));
    let sooner = Ok("b 0 10..25, n 12 25..*, c 13 *..".into());
    assert_eq!(rotate(DUE, Forced(seconds(5))), sooner);
    // Before the next spare is made.
    assert_eq!(rotate("b 0 10..47, n 12 47..", Usual), Err(Refusal::UnderWay(at(47))));
}

#[test]
fn a_key_of_a_clock_that_is_ahead_is_published_as_long_as_any_other() {
    // Made within the second of the revocation, so its publication counts from the next.
    let rotate = |ahead| {
        let mut chain = chain("b 0 10..121, n 21 121..*, c 13 *..", 20)
            .owing(Some(Owed { since: at(20), ahead: None }));
        chain.rotate(ahead, &RULES, at(20)).map(|_| shown(&chain))
    };
    assert_eq!(rotate(Usual), Err(Refusal::UnderWay(at(121))));
    let sooner = Ok("b 0 10..61, n 21 61..*, c 13 *..".into());
    assert_eq!(rotate(Shortened(seconds(40))), sooner);
}

#[test]
fn what_is_stored_of_a_handover_is_bounded() {
    let owed = |since, ahead: u64| Owed { since: at(since), ahead: Some(seconds(ahead)) };
    let days_90 = DAYS_90.as_secs();
    assert_eq!(owed(90, 35).bounded(at(100)), owed(90, 35));
    assert_eq!(owed(160, days_90).bounded(at(100)), owed(160, days_90));
    assert_eq!(owed(9_999_999_999, days_90 + 1).bounded(at(100)), owed(160, days_90));
    assert_eq!(owed(i64::MAX, u64::MAX).bounded(at(100)), owed(160, days_90));
    assert_eq!(owed(i64::MIN, 0).bounded(at(100)), owed(0, 0));
}
