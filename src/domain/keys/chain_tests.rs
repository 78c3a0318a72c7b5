//! The chain of keys: its steps by name, and its invariants under random histories.

mod handovers;
mod histories;

use std::time::Duration;

use super::chain::{Chain, PublishAhead, Refusal, Rules, ScheduledKey};
use super::rotation::{NOT_PLANNED, Times};
use crate::base::time::Timestamp;

const RULES: Rules = Rules {
    publish_ahead: seconds(100),
    least_ahead: seconds(40),
    rotate_every: Some(seconds(1000)),
    token_lifetime: seconds(50),
};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(second)
}

/// A chain as text: `a 0 0..500, b 0 500..*, c 7 *..` are three keys, two made at 0 and one at 7;
/// the first signs from 0 to 500, the last is the spare. A key leaves 50 after it has signed; where
/// it leaves at another time, that follows after `!`.
fn chain(text: &str, now: i64) -> Chain {
    Chain::new(text.split(", ").filter(|entry| !entry.is_empty()).map(read), at(now))
}

fn read(text: &str) -> ScheduledKey {
    let time = |text: &str| match text {
        "*" => NOT_PLANNED,
        second => at(second.parse().expect("a second")),
    };
    let (text, leaves) = match text.split_once('!') {
        Some((text, leaves)) => (text, Some(time(leaves))),
        None => (text, None),
    };
    let [kid, created, signs] =
        text.split(' ').collect::<Vec<_>>().try_into().expect("kid, creation, span");
    let (from, until) = signs.split_once("..").expect("a span");
    let deactivates_at = Some(until).filter(|until| !until.is_empty()).map(time);
    let times = Times {
        created_at: time(created),
        activates_at: time(from),
        deactivates_at,
        retires_at: leaves.or(deactivates_at.map(usually_leaves)),
    };
    ScheduledKey { kid: kid.into(), times }
}

fn usually_leaves(until: Timestamp) -> Timestamp {
    if until == NOT_PLANNED { NOT_PLANNED } else { until.plus(RULES.token_lifetime) }
}

fn shown(chain: &Chain) -> String {
    let time = |at: Timestamp| match at {
        NOT_PLANNED => "*".to_owned(),
        at => at.as_unix().to_string(),
    };
    let show = |entry: &ScheduledKey| {
        let Times { created_at, activates_at, deactivates_at, retires_at } = entry.times;
        let leaves = match retires_at {
            usual if usual == deactivates_at.map(usually_leaves) => String::new(),
            other => format!("!{}", other.map_or("never".into(), time)),
        };
        let until = deactivates_at.map(time).unwrap_or_default();
        format!("{} {} {}..{until}{leaves}", entry.kid, time(created_at), time(activates_at))
    };
    chain.entries().map(show).collect::<Vec<_>>().join(", ")
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The new key is `n`; where none signs, it does from 300 on.
    Grow,
    Rotate(PublishAhead),
    /// The new key is `n`.
    Import(PublishAhead),
    Retire(&'static str),
    RetireForced(&'static str),
    Revoke(&'static str),
    WindDown,
    /// Owes a handover after so many seconds.
    Owe(u64),
    /// The new key is `n`.
    Succeed,
}

use PublishAhead::{Forced, Shortened, Usual};
use Step::*;

fn take(step: Step, chain: &mut Chain, now: i64) -> Result<(), Refusal> {
    let (now, new) = (at(now), || "n".to_owned());
    match step {
        Grow => drop(chain.add_spare(new(), at(300), &RULES, now)),
        Rotate(ahead) => drop(chain.rotate(ahead, &RULES, now)?),
        Import(ahead) => drop(chain.import(new(), ahead, &RULES, now)?),
        Retire(kid) => chain.retire(kid, false, &RULES, now)?,
        RetireForced(kid) => chain.retire(kid, true, &RULES, now)?,
        Revoke(kid) => chain.revoke(kid, &RULES, now)?,
        WindDown => chain.wind_down(&RULES, now),
        Owe(ahead) => chain.owe(seconds(ahead), now)?,
        Succeed => drop(chain.succeed(new(), &RULES, now)),
    }
    Ok(())
}

fn check(rows: &[(&str, i64, Step, Result<&str, Refusal>)]) {
    for (before, now, step, expected) in rows {
        let mut chain = chain(before, *now);
        let result = take(*step, &mut chain, *now).map(|()| shown(&chain));
        let expected = match expected {
            Ok(after) => Ok((*after).to_owned()),
            Err(refusal) => Err(format!("{refusal:?}")),
        };
        let result = result.map_err(|refusal| format!("{refusal:?}"));
        assert_eq!(result, expected, "{before} at {now}: {step:?}");
    }
}

#[test]
fn a_chain_grows_by_a_first_key_a_spare_and_the_one_after_a_due_spare() {
    check(&[
        ("", 7, Grow, Ok("n 7 300..")),
        ("a 0 0..", 7, Grow, Ok("a 0 0..*, n 7 *..")),
        ("a 0 300..", 7, Grow, Ok("a 0 300..*, n 7 *..")),
        // Due at 1000, and published long enough by then.
        ("a 0 0..*, b 0 *..", 900, Grow, Ok("a 0 0..1000, b 0 1000..*, n 900 *..")),
        ("a 0 0..*, b 880 *..", 950, Grow, Ok("a 0 0..1000, b 880 1000..*, n 950 *..")),
        // Due, but the spare is too young; and long overdue.
        ("a 0 0..*, b 940 *..", 950, Grow, Ok("a 0 0..1040, b 940 1040..*, n 950 *..")),
        ("a 0 0..*, b 0 *..", 5000, Grow, Ok("a 0 0..5000, b 0 5000..*, n 5000 *..")),
        // A turn that is planned stays as it is.
        ("a 0 0..1200, b 0 1200..", 950, Grow, Ok("a 0 0..1200, b 0 1200..*, n 950 *..")),
        // What has ceased to sign does not begin again.
        ("a 0 0..10", 20, Grow, Ok("a 0 0..10, n 20 300..")),
    ]);
}

#[test]
fn a_spare_is_due_before_the_active_key_has_signed_for_its_time() {
    for (before, now, needed) in [
        ("", 0, true),
        ("a 0 0..", 0, true),
        ("a 0 0..*, b 0 *..", 899, false),
        ("a 0 0..*, b 0 *..", 900, true),
        ("a 0 0..1000, b 0 1000..*, c 900 *..", 999, false),
        // The turn of the next but one is due only once the next one signs.
        ("a 0 0..1000, b 0 1000..*, c 900 *..", 1000, false),
        ("a 0 0..1000, b 0 1000..*, c 900 *..", 1899, false),
        ("a 0 0..1000, b 0 1000..*, c 900 *..", 1900, true),
        ("a 0 300..*, b 0 *..", 250, false),
    ] {
        assert_eq!(chain(before, now).needs_key(&RULES, at(now)), needed, "{before} at {now}");
        let never = Rules { rotate_every: None, ..RULES };
        let without_spare = !before.ends_with("*..");
        assert_eq!(chain(before, now).needs_key(&never, at(now)), without_spare, "{before}");
    }
}

#[test]
fn the_spare_leads_a_chain_that_has_lost_its_other_keys() {
    check(&[
        ("b 0 *..", 50, Grow, Ok("b 0 50..*, n 50 *..")),
        ("a 0 0..100, b 0 *..", 120, Grow, Ok("a 0 0..100, b 0 120..*, n 120 *..")),
        // It has not lost what is to sign one day.
        ("a 0 300..*, b 0 *..", 250, Grow, Ok("a 0 300..*, b 0 *..*, n 250 *..")),
    ]);
    for (before, lost) in [
        ("b 0 *..", true),
        ("a 0 0..100, b 0 *..", true),
        ("a 0 0..*, b 0 *..", false),
        ("b 0 200..*, c 0 *..", false),
        ("", false),
    ] {
        assert_eq!(chain(before, 120).is_headless(at(120)), lost, "{before}");
    }
}

#[test]
fn a_rotation_plans_the_next_turn_and_only_ever_brings_it_forward() {
    const WAITS: &str = "a 0 0..*, b 0 *..";
    const UNDER_WAY: &str = "a 0 0..200, b 0 200..*, c 100 *..";
    // The last key's end is open until the chain grows, in the same step.
    check(&[
        (WAITS, 10, Rotate(Usual), Ok("a 0 0..110, b 0 110..")),
        (WAITS, 10, Rotate(Shortened(seconds(40))), Ok("a 0 0..50, b 0 50..")),
        (WAITS, 10, Rotate(Shortened(seconds(39))), Err(Refusal::TooSoon(seconds(40)))),
        (WAITS, 10, Rotate(Forced(seconds(3))), Ok("a 0 0..13, b 0 13..")),
        (WAITS, 10, Rotate(Forced(seconds(0))), Ok("a 0 0..10, b 0 10..")),
        (WAITS, 10, Rotate(Shortened(DAYS_90)), Ok("a 0 0..7776010, b 0 7776010..")),
        (WAITS, 10, Rotate(Shortened(TOO_LONG)), Err(Refusal::TooLate(DAYS_90))),
        (WAITS, 10, Rotate(Forced(TOO_LONG)), Err(Refusal::TooLate(DAYS_90))),
        (UNDER_WAY, 100, Rotate(Usual), Err(Refusal::UnderWay(at(200)))),
        (UNDER_WAY, 100, Rotate(Forced(seconds(150))), Err(Refusal::UnderWay(at(200)))),
        (UNDER_WAY, 100, Rotate(Shortened(seconds(50))), Ok("a 0 0..150, b 0 150..*, c 100 *..")),
        // A first key that has not had its turn.
        ("a 0 300..*, b 0 *..", 10, Rotate(Shortened(seconds(50))), Ok("a 0 60..*, b 0 *..")),
        // What has ceased to sign does not begin again.
        ("a 0 0..10, b 20 120..", 25, Rotate(Forced(seconds(5))), Ok("a 0 0..10, b 20 30..")),
    ]);
}

const DAYS_90: Duration = seconds(90 * 86_400);
const TOO_LONG: Duration = seconds(90 * 86_400 + 1);

#[test]
fn an_imported_key_signs_before_those_that_wait() {
    const WAITS: &str = "a 0 0..*, b 0 *..";
    const UNDER_WAY: &str = "a 0 0..200, b 0 200..*, c 100 *..";
    check(&[
        ("", 10, Import(Usual), Ok("n 10 10..")),
        ("", 10, Import(Shortened(seconds(39))), Err(Refusal::TooSoon(seconds(40)))),
        (WAITS, 10, Import(Usual), Ok("a 0 0..110, n 10 110..*, b 0 *..")),
        (WAITS, 10, Import(Forced(seconds(0))), Ok("a 0 0..10, n 10 10..*, b 0 *..")),
        (WAITS, 10, Import(Shortened(seconds(1))), Err(Refusal::TooSoon(seconds(40)))),
        (WAITS, 10, Import(Forced(TOO_LONG)), Err(Refusal::TooLate(DAYS_90))),
        // Beside a handover: before it, and after it.
        (
            UNDER_WAY,
            110,
            Import(Shortened(seconds(40))),
            Ok("a 0 0..150, n 110 150..200, b 0 200..*, c 100 *.."),
        ),
        (UNDER_WAY, 110, Import(Usual), Ok("a 0 0..200, b 0 200..210, n 110 210..*, c 100 *..")),
        ("a 0 0..10", 20, Import(Usual), Ok("a 0 0..10, n 20 120..")),
    ]);
}

#[test]
fn a_key_that_waits_retires_and_is_jumped_over() {
    const UNDER_WAY: &str = "a 0 0..200, b 0 200..*, c 100 *..";
    const RETIRING: &str = "z 0 0..90, a 0 90..*, b 0 *..";
    check(&[
        (UNDER_WAY, 110, Retire("b"), Ok("b 0 200..110!110, a 0 0..*, c 100 *..")),
        (UNDER_WAY, 110, Retire("c"), Ok("c 100 *..110!110, a 0 0..200, b 0 200..")),
        (UNDER_WAY, 110, Retire("a"), Err(Refusal::Live)),
        (UNDER_WAY, 110, RetireForced("a"), Err(Refusal::Live)),
        (UNDER_WAY, 110, Retire("x"), Err(Refusal::Unknown("x".into()))),
        ("a 0 0..*, b 0 *..", 10, Retire("b"), Ok("b 0 *..10!10, a 0 0..")),
        (RETIRING, 100, Retire("z"), Err(Refusal::InUse(at(140)))),
        (RETIRING, 100, RetireForced("z"), Ok("z 0 0..90!100, a 0 90..*, b 0 *..")),
        (RETIRING, 140, RetireForced("z"), Err(Refusal::Unknown("z".into()))),
        // In a chain that has not begun, the next one takes over the turn, once it is known.
        ("a 0 100..*, b 0 *..", 10, Retire("a"), Ok("a 0 100..10!10, b 0 100..")),
        ("a 0 100..*, b 5 *..", 10, Retire("a"), Ok("a 0 100..10!10, b 5 105..")),
        (
            "z 0 0..5, a 6 106..*, b 6 *..",
            10,
            Retire("a"),
            Ok("a 6 106..10!10, z 0 0..5, b 6 106.."),
        ),
        // A key that only verifies.
        ("v 0 0..0!90, a 0 0..*, b 0 *..", 10, Retire("v"), Err(Refusal::InUse(at(90)))),
        (
            "v 0 0..0!90, a 0 0..*, b 0 *..",
            10,
            RetireForced("v"),
            Ok("v 0 0..0!10, a 0 0..*, b 0 *.."),
        ),
    ]);
}

#[test]
fn a_revoked_key_is_gone_and_the_next_one_signs_at_once() {
    const UNDER_WAY: &str = "a 0 0..200, b 0 200..*, c 100 *..";
    check(&[
        ("a 0 0..*, b 0 *..", 10, Revoke("a"), Ok("a 0 0..10!10, b 0 10..")),
        (UNDER_WAY, 110, Revoke("a"), Ok("a 0 0..110!110, b 0 110..*, c 100 *..")),
        (UNDER_WAY, 110, Revoke("b"), Ok("b 0 200..110!110, a 0 0..*, c 100 *..")),
        (UNDER_WAY, 110, Revoke("c"), Ok("c 100 *..110!110, a 0 0..200, b 0 200..")),
        (
            "z 0 0..90, a 0 90..*, b 0 *..",
            100,
            Revoke("z"),
            Ok("z 0 0..90!100, a 0 90..*, b 0 *.."),
        ),
        // Left with none, it grows in the same step.
        ("a 0 0..", 10, Revoke("a"), Ok("a 0 0..10!10")),
        (UNDER_WAY, 110, Revoke("x"), Err(Refusal::Unknown("x".into()))),
    ]);
}

#[test]
fn a_chain_that_winds_down_signs_no_more_and_stays_published_for_a_while() {
    check(&[
        ("a 0 0..*, b 0 *..", 10, WindDown, Ok("b 0 *..10!10, a 0 0..10")),
        (
            "a 0 0..200, b 0 200..*, c 100 *..",
            110,
            WindDown,
            Ok("b 0 200..110!110, c 100 *..110!110, a 0 0..110"),
        ),
        ("a 0 0..", 10, WindDown, Ok("a 0 0..10")),
        ("", 10, WindDown, Ok("")),
    ]);
}
