//! Random histories of attempts at one account, against what a bystander would note down.

use proptest::prelude::*;

use super::{Account, DAY, FREE, FREE_FROM_UNKNOWN, LONGEST, at, policy};
use crate::domain::login_limits::budget::{LEASE, Verdict};
use crate::domain::login_limits::record::{Outcome, Reserved};

/// What a bystander notes of an attempt.
#[derive(Clone, Copy)]
struct Seen {
    network: usize,
    at: i64,
    outcome: Option<Outcome>,
    /// Whether it was settled only when its lease may have run out: a failure to all others then.
    late: bool,
    /// Whether a success from the same network came after it had failed.
    cleared: bool,
    reserved: Reserved,
}

#[derive(Clone, Debug)]
enum Step {
    Attempt { network: usize },
    Settle { which: usize, outcome: Outcome },
    MoveClock { seconds: i64 },
}

/// The network that the owner alone uses; the others are strangers'.
const HOME: usize = 0;

fn a_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        8 => Just(Outcome::Failed),
        1 => Just(Outcome::NotMade),
        1 => Just(Outcome::Succeeded),
    ];
    let seconds = prop_oneof![4 => 0..3i64, 2 => 3..90i64, 1 => 90..20_000i64];
    prop_oneof![
        8 => (1..30usize).prop_map(|network| Step::Attempt { network }),
        4 => (1..3usize).prop_map(|network| Step::Attempt { network }),
        8 => (0..20usize, outcome).prop_map(|(which, outcome)| Step::Settle { which, outcome }),
        3 => seconds.prop_map(|seconds| Step::MoveClock { seconds }),
    ]
}

fn check_decision(seen: &[Seen], network: usize, now: i64, decision: &Result<Reserved, Verdict>) {
    let counts = |s: &&Seen| s.late || matches!(s.outcome, None | Some(Outcome::Failed));
    let own = || seen.iter().filter(|s| s.network == network).filter(counts);
    let flying = |s: &Seen| s.outcome.is_none() && now - s.at < LEASE;
    match decision {
        Ok(_) => {
            // Within an hour at most one is forgotten.
            let certain = |s: &&Seen| matches!(s.outcome, None | Some(Outcome::Failed));
            let recent = own().filter(certain).filter(|s| now - s.at < 3600 && !s.cleared);
            let recent: Vec<_> = recent.collect();
            if let Some(beyond) = recent.len().checked_sub(FREE as usize + 1) {
                assert!(!recent.iter().any(|s| flying(s)), "beyond the free ones, one at a time");
                let newest = recent.iter().map(|s| s.at).max().unwrap();
                let wait = LONGEST.min(1 << beyond.min(20)) as i64;
                assert!(now - newest >= wait, "{} failed, waited {}", recent.len(), now - newest);
            }
        }
        Err(Verdict::Busy) => {
            let may_fly = |s: &Seen| s.outcome.is_none() && now - s.at <= 2 * LEASE;
            assert!(seen.iter().any(may_fly), "busy with nothing");
        }
        Err(Verdict::Refused(seconds)) => {
            assert!((1..=LONGEST).contains(seconds), "{seconds}");
            let all = seen.iter().filter(counts).count();
            assert!(own().count() >= FREE as usize || all >= FREE_FROM_UNKNOWN as usize);
        }
        Err(Verdict::Granted) => panic!("that is no refusal"),
    }
}

fn run_history(steps: &[Step]) {
    let name = |network: usize| format!("network-{network}");
    let (mut account, mut seen, mut now) = (Account::default(), Vec::<Seen>::new(), 0);
    account.attempt(&name(HOME), Outcome::Succeeded, now).unwrap();
    for step in steps {
        match *step {
            Step::Attempt { network } => {
                let decision = account.reserve(&name(network), now);
                check_decision(&seen, network, now, &decision);
                if let Ok(reserved) = decision {
                    seen.push(Seen {
                        network,
                        at: now,
                        outcome: None,
                        late: false,
                        cleared: false,
                        reserved,
                    });
                }
            }
            Step::Settle { which, outcome } => {
                let mut flying: Vec<_> = seen.iter_mut().filter(|s| s.outcome.is_none()).collect();
                let count = flying.len();
                let Some(attempt) = flying.get_mut(which % count.max(1)) else { continue };
                account.settle(&name(attempt.network), attempt.reserved, outcome, now);
                attempt.outcome = Some(outcome);
                attempt.late = now - attempt.at >= LEASE;
                let network = attempt.network;
                if outcome == Outcome::Succeeded {
                    let failed = |s: &&mut Seen| {
                        let expired = s.outcome.is_none() && now - s.at >= LEASE;
                        s.network == network && (s.outcome == Some(Outcome::Failed) || expired)
                    };
                    seen.iter_mut().filter(failed).for_each(|s| s.cleared = true);
                }
            }
            Step::MoveClock { seconds } => now += seconds,
        }
        let owner = account.0.clone().reserve_account(&name(HOME), at(now), &policy());
        assert!(owner.is_ok(), "the owner is kept out after {step:?} at {now}");
    }
    // Whatever was left in flight, and however long it lasted: after some rest all is as before.
    now += 3 * DAY + 2 * DAY * 9 / i64::from(FREE);
    for network in 1..30 {
        account.fail(&name(network), now).unwrap_or_else(|verdict| {
            assert!(network > FREE_FROM_UNKNOWN as usize, "{network} at {now}: {verdict:?}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_history_keeps_to_the_budget_and_never_keeps_the_owner_out(
        steps in proptest::collection::vec(a_step(), 1..120)
    ) {
        run_history(&steps);
    }
}
