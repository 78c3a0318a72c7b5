//! The decisions, by tables; `histories` has random ones.

mod histories;

use std::time::Duration;

use super::budget::{LEASE, Verdict};
use super::policy::{Delays, Free, Policy};
use super::record::{Outcome, Record, Reserved};
use crate::base::time::Timestamp;

const FREE: u32 = 5;
const FREE_FROM_UNKNOWN: u32 = 12;
const LONGEST: u64 = 300;
const MAX_SHARED: u64 = 60;
const DAY: i64 = 86_400;

fn policy() -> Policy {
    let free =
        Free { account_from_network: FREE, account_from_unknown: FREE_FROM_UNKNOWN, network: 40 };
    let seconds = Duration::from_secs;
    let delays = Delays { shortest: seconds(1), longest: seconds(LONGEST) };
    Policy::new(true, free, delays, seconds(MAX_SHARED), seconds(90 * 86_400)).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_764_547_200 + seconds)
}

/// One account, and what is done to it.
#[derive(Default)]
struct Account(Record);

impl Account {
    fn reserve(&mut self, network: &str, now: i64) -> Result<Reserved, Verdict> {
        let (record, reserved) = self.0.clone().reserve_account(network, at(now), &policy())?;
        // As it comes back from a store.
        self.0 = Record::from_text(Some(&record.to_text())).unwrap();
        Ok(reserved)
    }

    fn settle(&mut self, network: &str, reserved: Reserved, outcome: Outcome, now: i64) {
        let record = std::mem::take(&mut self.0);
        self.0 = record.settle_account(network, reserved, outcome, at(now), &policy());
    }

    fn attempt(&mut self, network: &str, outcome: Outcome, now: i64) -> Result<(), Verdict> {
        let reserved = self.reserve(network, now)?;
        self.settle(network, reserved, outcome, now);
        Ok(())
    }

    fn fail(&mut self, network: &str, now: i64) -> Result<(), Verdict> {
        self.attempt(network, Outcome::Failed, now)
    }

    fn fail_times(&mut self, network: &str, times: u32, now: i64) {
        for _ in 0..times {
            self.fail(network, now).unwrap();
        }
    }
}

#[test]
fn beyond_the_free_failures_the_wait_doubles_up_to_the_longest() {
    let mut account = Account::default();
    account.attempt("here", Outcome::Succeeded, 0).unwrap();
    account.fail_times("here", FREE, 0);
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
        assert_eq!(account.fail("here", now), Err(Verdict::Refused(wait)));
        let wait = i64::try_from(wait).unwrap();
        assert_eq!(account.fail("here", now + wait - 1), Err(Verdict::Refused(1)));
        now += wait;
        account.fail("here", now).unwrap();
    }
    // Refusals cost nothing, and other networks wait for their own failures.
    account.fail("there", now).unwrap();
}

#[test]
fn failures_are_forgotten_evenly_and_no_attack_is_remembered_for_long() {
    let mut account = Account::default();
    account.fail_times("here", FREE, 0);
    let each = DAY / i64::from(FREE);
    assert!(account.reserve("here", 0).is_err());
    account.fail_times("here", 1, each);
    assert!(account.fail("here", each).is_err(), "one was forgotten, not two");
    account.fail_times("here", FREE, each + DAY);

    let mut account = Account::default();
    for now in (0..3 * DAY).step_by(300) {
        let _ = account.fail("here", now);
    }
    let rested = 3 * DAY + DAY + DAY * 9 / i64::from(FREE) + 1;
    account.fail_times("here", FREE, rested);
}

#[test]
fn a_success_clears_its_network_and_nothing_else() {
    let mut account = Account::default();
    account.fail_times("here", FREE - 1, 0);
    account.fail_times("there", FREE, 0);
    account.attempt("here", Outcome::Succeeded, 0).unwrap();
    account.fail_times("here", FREE, 0);
    assert!(account.fail("there", 0).is_err());
}

#[test]
fn strangers_together_have_a_budget_that_known_networks_do_not_share() {
    let mut account = Account::default();
    account.attempt("home", Outcome::Succeeded, 0).unwrap();
    for number in 0..FREE_FROM_UNKNOWN {
        account.fail(&format!("bot-{number}"), 10).unwrap();
    }
    assert_eq!(account.fail("bot-fresh", 10), Err(Verdict::Refused(1)));
    assert_eq!(account.attempt("cafe", Outcome::Succeeded, 10), Err(Verdict::Refused(1)));
    account.attempt("home", Outcome::Succeeded, 10).unwrap();
    account.fail_times("home", FREE, 10);
    // From a network that is not known, when its turn comes; then that one is known as well.
    account.attempt("cafe", Outcome::Succeeded, 11).unwrap();
    account.fail("bot-fresh", 12).unwrap();
    assert!(account.fail("bot-fresh", 12).is_err());
    account.attempt("cafe", Outcome::Succeeded, 12).unwrap();
    // Known for ninety days.
    let home = |now| account.0.clone().reserve_account("home", at(now), &policy());
    assert!(home(89 * DAY).is_ok());
    let forgotten = account.0.account_expires_at(at(12), &policy());
    assert_eq!(forgotten, at(12 + 90 * DAY));
}

#[test]
fn what_is_in_flight_is_waited_for() {
    let mut account = Account::default();
    let flying: Vec<_> = (0..FREE).map(|_| account.reserve("here", 0).unwrap()).collect();
    assert_eq!(account.reserve("here", 0), Err(Verdict::Busy));
    let (first, rest) = flying.split_first().unwrap();
    account.settle("here", *first, Outcome::Failed, 0);
    assert_eq!(account.reserve("here", 0), Err(Verdict::Busy));
    let (last, rest) = rest.split_last().unwrap();
    for reserved in rest {
        account.settle("here", *reserved, Outcome::Failed, 0);
    }
    account.settle("here", *last, Outcome::NotMade, 0);
    let once_more = account.reserve("here", 0).unwrap();
    assert_eq!(account.reserve("here", 0), Err(Verdict::Busy));
    account.settle("here", once_more, Outcome::Succeeded, 0);
    account.fail_times("here", FREE, 0);
    assert_eq!(account.reserve("here", 0), Err(Verdict::Refused(1)));

    // In a wait, one at a time: a concurrent attempt waits for the first one.
    let one = account.reserve("here", 1).unwrap();
    assert_eq!(account.reserve("here", 1), Err(Verdict::Busy));
    account.settle("here", one, Outcome::Succeeded, 1);
    account.reserve("here", 1).unwrap();
}

#[test]
fn an_attempt_that_is_never_settled_ends_as_a_failure() {
    let mut account = Account::default();
    for _ in 0..FREE {
        account.reserve("here", 0).unwrap();
    }
    assert_eq!(account.reserve("here", LEASE - 1), Err(Verdict::Busy));
    account.reserve("here", 2 * LEASE).unwrap();
    let mut account = Account::default();
    let late = account.reserve("here", 0).unwrap();
    account.fail_times("here", FREE - 1, 3 * LEASE);
    assert!(account.reserve("here", 3 * LEASE).is_err());
    account.settle("here", late, Outcome::Succeeded, 3 * LEASE);
    account.fail_times("here", FREE, 3 * LEASE);
}

#[test]
fn clocks_that_differ_or_jump_keep_nobody_out() {
    let mut account = Account::default();
    account.fail_times("here", FREE, 100_000);
    assert_eq!(account.fail("here", 99_995), Err(Verdict::Refused(1)), "5 s behind");
    account.fail("here", 0).unwrap();
    assert_eq!(account.fail("here", 1), Err(Verdict::Refused(1)), "set back by a day");
    let flying: Vec<_> = (0..FREE).map(|_| account.reserve("there", 50_000).unwrap()).collect();
    assert_eq!(account.reserve("there", 49_999), Err(Verdict::Busy));
    account.fail("there", 20_000).unwrap();
    for reserved in flying {
        account.settle("there", reserved, Outcome::NotMade, 20_000);
    }
    assert_eq!(account.fail("there", 20_001), Err(Verdict::Refused(1)), "they had run out");
    account.fail("there", 20_002).unwrap();
}

#[test]
fn a_clock_that_is_a_little_behind_leaves_nothing_in_flight() {
    // The epoch of these tests begins a lease period.
    let mut account = Account::default();
    account.attempt("there", Outcome::NotMade, LEASE).unwrap();
    for outcome in [Outcome::NotMade, Outcome::Succeeded, Outcome::Failed] {
        let ahead = account.reserve("here", LEASE).unwrap();
        let behind = account.reserve("here", LEASE - 1).unwrap();
        let late = account.reserve("new", LEASE - 2).unwrap();
        account.settle("here", behind, outcome, LEASE - 1);
        account.settle("new", late, outcome, LEASE);
        account.settle("here", ahead, outcome, LEASE - 1);
        let budgets = account.0.networks.iter().map(|entry| entry.budget);
        assert!(budgets.chain([account.0.shared]).all(|budget| budget.in_flight() == 0));
    }
    assert_eq!(account.0.shared.charged, 0, "two of the networks were known by then");
    let failed = account.0.networks.iter().map(|entry| entry.budget.charged).sum::<u32>();
    assert_eq!(failed, 3);
}

#[test]
fn a_network_has_a_budget_for_all_accounts_that_success_does_not_clear() {
    let (mut record, policy) = (Record::default(), policy());
    let mut attempt = |outcome, now| {
        let (next, reserved) = record.clone().reserve_network(at(now), &policy)?;
        record = next.settle_network(reserved, outcome, at(now), &policy);
        Ok::<_, Verdict>(())
    };
    for _ in 0..40 {
        attempt(Outcome::Failed, 0).unwrap();
        let _ = attempt(Outcome::Succeeded, 0);
    }
    assert_eq!(attempt(Outcome::Succeeded, 0), Err(Verdict::Refused(1)));
    for _ in 0..40 {
        attempt(Outcome::Failed, 3600).unwrap();
    }
    assert!(attempt(Outcome::Failed, 3600).is_err());
}

#[test]
fn records_stay_small_and_keep_what_counts() {
    let mut account = Account::default();
    for number in 0..30 {
        account.attempt(&format!("known-{number}"), Outcome::Succeeded, number).unwrap();
    }
    account.fail_times("known-29", FREE, 31);
    for number in 0..3000 {
        let _ = account.fail(&format!("bot-{number}"), 100 + 60 * number);
    }
    assert!(account.0.networks.len() <= 40, "{}", account.0.networks.len());
    assert!(account.0.to_text().len() < 3500, "{}", account.0.to_text().len());
    let now = 100 + 60 * 2999;
    for number in 10..29 {
        account.attempt(&format!("known-{number}"), Outcome::Succeeded, now).unwrap();
    }
    // Older logins have given way, and bots do not free anybody of their own failures.
    assert!(account.attempt("known-0", Outcome::Succeeded, now).is_err());
}

#[test]
fn unlocking_forgets_failures_and_keeps_networks_known() {
    let mut account = Account::default();
    account.attempt("home", Outcome::Succeeded, 0).unwrap();
    account.fail_times("home", FREE, 0);
    for number in 0..FREE_FROM_UNKNOWN {
        account.fail(&format!("bot-{number}"), 0).unwrap();
    }
    assert!(account.fail("home", 0).is_err() && account.fail("cafe", 0).is_err());
    account.0 = account.0.unlock(at(0), &policy());
    account.fail_times("home", FREE, 0);
    account.fail_times("cafe", FREE, 0);
    let nothing = Record::default().unlock(at(0), &policy());
    assert_eq!(nothing.to_text(), Record::default().to_text());
}

#[test]
fn waits_begin_and_end_where_the_policy_says() {
    let seconds = Duration::from_secs;
    for (shortest, longest, waits) in [
        (1, 300, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (60, 60, [60; 11]),
        (7, 50, [7, 14, 28, 50, 50, 50, 50, 50, 50, 50, 50]),
    ] {
        let free = Free { account_from_network: 3, account_from_unknown: 1000, network: 1000 };
        let delays = Delays { shortest: seconds(shortest), longest: seconds(longest) };
        let policy = Policy::new(true, free, delays, seconds(longest), seconds(90 * 86_400));
        let rule = policy.unwrap().account_from_network;
        assert_eq!(waits.map(seconds), std::array::from_fn(|n| rule.delay(3 + n as u32)));
        assert_eq!(rule.delay(rule.most()), seconds(longest));
        assert!(rule.most() == 3 || rule.delay(rule.most() - 1) < seconds(longest));
    }
}
