//! Random histories of one chain that several instances work on, some of them from what they read
//! long ago, some of them cut off before they commit.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::{at, seconds};
use crate::base::time::Timestamp;
use crate::domain::keys::chain::{Chain, Owed, PublishAhead, Refusal, Rules, ScheduledKey};
use crate::domain::keys::rotation::{NOT_PLANNED, State};

#[derive(Clone, Debug)]
enum Step {
    /// What is owed to revocations, and then what else is needed.
    Maintain,
    /// The first half of that.
    Succeed,
    Rotate(PublishAhead),
    Import(PublishAhead),
    /// Which of the keys that there ever were, whether it is forced, and whether the algorithm is
    /// in use, so that another spare is made.
    Retire(usize, bool, bool),
    /// Which, and after how many seconds a new key takes over.
    Revoke(usize, u64),
}

#[derive(Clone, Debug)]
struct Action {
    elapsed: i64,
    instance: usize,
    fresh: bool,
    step: Step,
    crash: bool,
}

#[derive(Clone, Default)]
struct Table {
    version: u64,
    rows: Vec<ScheduledKey>,
    revoked: HashSet<String>,
    owed: Option<Owed>,
}

impl Table {
    fn chain(&self, now: Timestamp) -> Chain {
        let known = self.rows.iter().filter(|row| !self.revoked.contains(&row.kid));
        Chain::new(known.cloned(), now).owing(self.owed)
    }

    fn states(&self, now: Timestamp) -> impl Iterator<Item = (&ScheduledKey, State)> {
        self.rows.iter().map(move |row| (row, row.times.state(now)))
    }

    /// The unique index: one row without an end.
    fn check_index(&self) -> TestCaseResult {
        let open = self.rows.iter().filter(|row| row.times.deactivates_at.is_none()).count();
        prop_assert!(open <= 1, "{:?}", self.rows);
        Ok(())
    }
}

struct World {
    rules: Rules,
    now: Timestamp,
    table: Table,
    instances: [Table; 3],
    made: usize,
    signed: HashMap<String, Timestamp>,
    excused: HashSet<String>,
    /// When keys were revoked after which no key has signed yet that was published later.
    unmet: Vec<Timestamp>,
    /// The shortest time that an operator gave a key until it signs: its turn can be passed on.
    shortest: Option<Duration>,
}

impl World {
    fn new(rules: Rules) -> Self {
        let (table, instances) = Default::default();
        let (signed, excused) = Default::default();
        let (unmet, shortest) = Default::default();
        let now = at(10_000);
        Self { rules, now, table, instances, made: 0, signed, excused, unmet, shortest }
    }

    fn act(&mut self, action: &Action) -> TestCaseResult {
        self.pass(action.elapsed)?;
        if matches!(action.step, Step::Maintain) {
            self.step(&Action { step: Step::Succeed, ..action.clone() })?;
        }
        self.step(action)
    }

    fn step(&mut self, action: &Action) -> TestCaseResult {
        if action.fresh {
            self.instances[action.instance] = self.table.clone();
        }
        self.made += 2;
        loop {
            let read = &self.instances[action.instance];
            let mut chain = read.chain(self.now);
            let decided = self.decide(read, &mut chain, &action.step);
            if decided.is_err() {
                return Ok(());
            }
            let changed: Vec<_> =
                chain.entries().filter(|entry| !read.rows.contains(entry)).cloned().collect();
            let owed = chain.owed();
            if changed.is_empty() && owed == read.owed || action.crash {
                return self.check_now(action);
            }
            if read.version == self.table.version {
                self.table.owed = owed;
                return self.commit(action, changed);
            }
            self.instances[action.instance] = self.table.clone();
        }
    }

    /// As `changes.rs` puts steps together.
    fn decide(&self, read: &Table, chain: &mut Chain, step: &Step) -> Result<(), Refusal> {
        let (rules, now) = (&self.rules, self.now);
        let [new, spare] = [self.made, self.made + 1].map(|number| format!("k{number}"));
        let target = |number: usize| match read.rows.len() {
            0 => "none".to_owned(),
            rows => read.rows[number % rows].kid.clone(),
        };
        match step {
            Step::Maintain => {
                let first_at = match read.rows.is_empty() {
                    true => now,
                    false => now.plus(rules.publish_ahead),
                };
                if chain.needs_key(rules, now) {
                    chain.add_spare(new, first_at, rules, now);
                }
                return Ok(());
            }
            Step::Succeed => {
                chain.succeed(new, rules, now);
                return Ok(());
            }
            Step::Import(ahead) => return chain.import(new, *ahead, rules, now).map(drop),
            Step::Rotate(ahead) => drop(chain.rotate(*ahead, rules, now)?),
            Step::Retire(number, forced, in_use) => {
                chain.retire(&target(*number), *forced, rules, now)?;
                if !in_use {
                    return Ok(());
                }
            }
            Step::Revoke(number, ahead) => {
                chain.revoke(&target(*number), rules, now)?;
                chain.owe(seconds(*ahead), now)?;
            }
        }
        if chain.needs_key(rules, now) {
            chain.add_spare(spare, now, rules, now);
        }
        Ok(())
    }

    /// Writes row by row, in the order that the chain gives, new rows last.
    fn commit(&mut self, action: &Action, changed: Vec<ScheduledKey>) -> TestCaseResult {
        let before = self.table.clone();
        let ahead = match action.step {
            Step::Revoke(_, ahead) => {
                self.unmet.push(self.now);
                Some(seconds(ahead))
            }
            Step::Rotate(ahead) | Step::Import(ahead) => Some(match ahead {
                PublishAhead::Usual => self.rules.publish_ahead,
                PublishAhead::Shortened(ahead) | PublishAhead::Forced(ahead) => ahead,
            }),
            _ => None,
        };
        self.shortest = self.shortest.into_iter().chain(ahead).min();
        let (old, new): (Vec<_>, Vec<_>) = changed
            .iter()
            .cloned()
            .partition(|entry| before.rows.iter().any(|row| row.kid == entry.kid));
        prop_assert!(new.len() <= 1, "one key a step is made: {new:?}");
        for entry in old {
            let row = self.table.rows.iter_mut().find(|row| row.kid == entry.kid);
            *row.expect("it is there") = entry;
            self.table.check_index()?;
        }
        self.table.rows.extend(new);
        self.table.check_index()?;
        self.table.version += 1;
        for entry in &changed {
            let old = before.rows.iter().find(|row| row.kid == entry.kid);
            self.check_publish_ahead(action, old, entry)?;
            // Its own target, taken out in this very second.
            if entry.times.retires_at == Some(self.now)
                && old.is_some_and(|old| old.times.retires_at != Some(self.now))
            {
                let state = old.map(|old| old.times.state(self.now));
                let revoked = matches!(action.step, Step::Revoke(..));
                prop_assert!(revoked || state != Some(State::Active), "the active key: {entry:?}");
                self.excused.insert(entry.kid.clone());
                if revoked {
                    self.table.revoked.insert(entry.kid.clone());
                }
            }
        }
        self.instances[action.instance] = self.table.clone();
        self.check_now(action)
    }

    fn check_publish_ahead(
        &self,
        action: &Action,
        old: Option<&ScheduledKey>,
        entry: &ScheduledKey,
    ) -> TestCaseResult {
        let planned = old.map(|old| old.times.activates_at);
        if planned == Some(entry.times.activates_at) || entry.times.activates_at == NOT_PLANNED {
            return Ok(());
        }
        let least = match &action.step {
            Step::Rotate(ahead) | Step::Import(ahead) => match ahead {
                PublishAhead::Usual => self.rules.publish_ahead,
                PublishAhead::Shortened(_) => self.rules.least_ahead,
                PublishAhead::Forced(_) => seconds(0),
            },
            Step::Maintain => self.rules.publish_ahead,
            Step::Succeed => self.shortest.unwrap_or_default(),
            // A turn that a revocation asked for can be passed on.
            Step::Retire(..) => {
                self.shortest.unwrap_or(self.rules.publish_ahead).min(self.rules.publish_ahead)
            }
            Step::Revoke(..) => seconds(0),
        };
        let first = self.table.rows.len() == 1;
        let known = entry.times.activates_at.since(entry.times.created_at);
        prop_assert!(first || known >= least, "{action:?}: {entry:?}");
        prop_assert!(first || entry.times.activates_at >= self.now, "{action:?}: {entry:?}");
        Ok(())
    }

    /// Every second that passes is looked at; between two steps of any key nothing changes.
    fn pass(&mut self, elapsed: i64) -> TestCaseResult {
        let (from, to) = (self.now.as_unix(), self.now.as_unix() + elapsed);
        let times = self.table.rows.iter().flat_map(|row| {
            let times = row.times;
            [Some(times.activates_at), times.deactivates_at, times.retires_at]
        });
        let mut steps: Vec<_> = times.flatten().map(Timestamp::as_unix).collect();
        // The last second before a step counts too: it is what a key signed last.
        steps.extend(steps.clone().iter().map(|second| second - 1));
        steps.extend([from, to]);
        steps.retain(|second| (from..=to).contains(second));
        steps.sort_unstable();
        for second in steps {
            self.now = at(second);
            self.check_second()?;
        }
        Ok(())
    }

    fn check_second(&mut self) -> TestCaseResult {
        if self.table.rows.is_empty() {
            return Ok(());
        }
        let states: Vec<_> = self.table.states(self.now).collect();
        let active: Vec<_> = states
            .iter()
            .filter(|(_, state)| *state == State::Active)
            .map(|(row, _)| row)
            .collect();
        prop_assert_eq!(active.len(), 1, "at {:?}: {:?}", self.now, states);
        self.signed.insert(active[0].kid.clone(), self.now);
        let published = active[0].times.created_at;
        self.unmet.retain(|revoked_at| *revoked_at >= published);
        prop_assert!(!self.table.revoked.contains(&active[0].kid), "{:?}", active);
        for row in &self.table.rows {
            let leaves = row.times.retires_at.unwrap_or(NOT_PLANNED);
            let needed = self.signed.get(&row.kid).map(|at| at.plus(self.rules.token_lifetime));
            let excused = self.excused.contains(&row.kid);
            prop_assert!(excused || needed.is_none_or(|needed| leaves >= needed), "{row:?}");
        }
        Ok(())
    }

    fn check_now(&mut self, action: &Action) -> TestCaseResult {
        self.check_second()?;
        let spares = self.table.rows.iter().filter(|row| {
            row.times.activates_at == NOT_PLANNED && row.times.deactivates_at.is_none()
        });
        let spares = spares.count();
        // After the very first key comes its spare.
        let added = self.table.rows.len() > 1 && !action.crash;
        let settled = matches!(action.step, Step::Maintain)
            && self.instances[action.instance].version == self.table.version;
        prop_assert!(!(added && settled) || spares == 1, "{:?}", self.table.rows);
        Ok(())
    }
}

fn leads() -> impl Strategy<Value = PublishAhead> {
    prop_oneof![
        Just(PublishAhead::Usual),
        (0..300_u64).prop_map(|wait| PublishAhead::Shortened(seconds(wait))),
        (0..300_u64).prop_map(|wait| PublishAhead::Forced(seconds(wait))),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    let steps = prop_oneof![
        6 => Just(Step::Maintain),
        3 => leads().prop_map(Step::Rotate),
        2 => leads().prop_map(Step::Import),
        2 => (any::<usize>(), any::<bool>(), any::<bool>())
            .prop_map(|(key, forced, in_use)| Step::Retire(key, forced, in_use)),
        2 => (any::<usize>(), 0..300_u64).prop_map(|(key, ahead)| Step::Revoke(key, ahead)),
    ];
    let elapsed = prop_oneof![4 => 0..3_i64, 4 => 0..200_i64, 1 => 0..3000_i64];
    (elapsed, 0..3_usize, any::<bool>(), steps, prop::bool::weighted(0.1)).prop_map(
        |(elapsed, instance, fresh, step, crash)| Action { elapsed, instance, fresh, step, crash },
    )
}

fn rules() -> impl Strategy<Value = Rules> {
    let every = prop::option::weighted(0.9, 5..1000_u64);
    (30..200_u64, 0..170_u64, every, 1..300_u64).prop_map(|(ahead, least, every, lifetime)| Rules {
        publish_ahead: seconds(ahead),
        least_ahead: seconds(least.clamp(30, ahead)),
        rotate_every: every.map(|more| seconds(ahead + more)),
        token_lifetime: seconds(lifetime),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_happens_one_key_signs_and_verifiers_have_it(
        rules in rules(),
        actions in prop::collection::vec(actions(), 1..60),
    ) {
        let mut world = World::new(rules);
        for action in &actions {
            world.act(action)?;
        }
        // Whatever was cut off, a while later every verifier has met a key that made it fetch.
        let (fresh, crash, step) = (true, false, Step::Maintain);
        let maintain = Action { elapsed: 400, instance: 0, fresh, step, crash };
        for _ in 0..10 {
            world.act(&maintain)?;
        }
        prop_assert!(world.unmet.is_empty(), "{:?}: {:?}", world.unmet, world.table.rows);
        world.pass(20_000)?;
    }
}
