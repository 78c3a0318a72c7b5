//! Random histories of one store and of a small model that was written from the other end: it
//! knows tokens and what became of each, where the store knows counters.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use signet::domain::sessions::{Recovery, Refusal, RotationError, Sessions};
use uuid::Uuid;

use super::engines::{
    ABSOLUTE, CLIENT, Engine, IDLE, RETRY_WINDOW, at, exchange, new_id, new_session, policy,
};

/// What became of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Fresh,
    /// When it was last answered anew, and how often it was recovered.
    Redeemed(i64, u32),
    Displaced,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// This token, counted from 1.
    Successor(u64),
    Reuse,
    /// Unknown or expired: when a store forgets what has expired is its own affair.
    Gone,
}

/// A session in the model: all of its tokens, the first one first.
struct Family {
    user: usize,
    sid: Uuid,
    started: i64,
    used: i64,
    ended: bool,
    tokens: Vec<Token>,
    /// How many of them the client has received.
    received: usize,
}

impl Family {
    fn is_expired(&self, now: i64) -> bool {
        now >= (self.used + IDLE).min(self.started + ABSOLUTE)
    }

    /// Presents the token at `position`; whether that is also committed is up to the story.
    fn present(&mut self, position: usize, now: i64, strict: bool, commit: bool) -> Answer {
        if self.ended || self.is_expired(now) {
            return Answer::Gone;
        }
        let recoveries = match self.tokens[position] {
            Token::Redeemed(when, _) if (now - when).abs() <= RETRY_WINDOW => {
                return Answer::Successor(self.tokens.len() as u64);
            }
            Token::Fresh => 0,
            Token::Redeemed(_, recoveries) if !strict && recoveries < 3 => recoveries + 1,
            Token::Redeemed(..) | Token::Displaced => {
                self.ended = true;
                return Answer::Reuse;
            }
        };
        if commit {
            self.tokens.fill(Token::Displaced);
            self.tokens[position] = Token::Redeemed(now, recoveries);
            self.tokens.push(Token::Fresh);
            self.used = now;
            return Answer::Successor(self.tokens.len() as u64);
        }
        Answer::Successor(self.tokens.len() as u64 + 1)
    }
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    CutOffBeforeTheCommit,
    AnswerLost,
    /// The same token so many times at once.
    Parallel(usize),
}

#[derive(Clone, Debug)]
enum Step {
    Start {
        user: usize,
    },
    /// `age` 0 is the newest token that the client has.
    Present {
        family: usize,
        age: usize,
        fate: Fate,
    },
    Revoke {
        family: usize,
    },
    RevokeOthers {
        family: usize,
    },
    DisableUser {
        user: usize,
    },
    MoveClock {
        seconds: i64,
    },
}

fn a_step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        6 => Just(Fate::Answered),
        2 => Just(Fate::CutOffBeforeTheCommit),
        3 => Just(Fate::AnswerLost),
        2 => (2..8usize).prop_map(Fate::Parallel),
    ];
    let age = prop_oneof![6 => Just(0usize), 3 => Just(1), 1 => 2..5usize];
    let clock = prop_oneof![
        6 => 0..=5i64,
        3 => RETRY_WINDOW - 1..=RETRY_WINDOW + 1,
        2 => -RETRY_WINDOW - 2..0i64,
        1 => -3000..-100i64,
        1 => 1000..IDLE + 1000,
    ];
    prop_oneof![
        2 => (0..2usize).prop_map(|user| Step::Start { user }),
        14 => (0..4usize, age, fate).prop_map(|(family, age, fate)| Step::Present { family, age, fate }),
        1 => (0..4usize).prop_map(|family| Step::Revoke { family }),
        1 => (0..4usize).prop_map(|family| Step::RevokeOthers { family }),
        1 => (0..2usize).prop_map(|user| Step::DisableUser { user }),
        8 => clock.prop_map(|seconds| Step::MoveClock { seconds }),
    ]
}

fn translate(result: Result<u64, RotationError>) -> Answer {
    match result {
        Ok(generation) => Answer::Successor(generation),
        Err(RotationError::Reuse(_)) => Answer::Reuse,
        Err(RotationError::Invalid(Refusal::Unknown | Refusal::Expired)) => Answer::Gone,
        Err(error) => panic!("{error:?}"),
    }
}

async fn run_history(sessions: &Sessions, strict: bool, steps: &[Step]) -> TestCaseResult {
    let users = [new_id(), new_id()];
    let mut families: Vec<Family> = Vec::new();
    let mut now = 0;
    for step in steps {
        match *step {
            Step::Start { user } => {
                let started = sessions.start(new_session(users[user]), at(now)).await.unwrap();
                families.push(Family {
                    user,
                    sid: started.sid,
                    started: now,
                    used: now,
                    ended: false,
                    tokens: vec![Token::Fresh],
                    received: 1,
                });
            }
            Step::Present { family, age, fate } => {
                let count = families.len();
                // The newest sessions are the ones with something going on.
                let Some(family) = families.get_mut((count + 3 - family) % count.max(1)) else {
                    continue;
                };
                let position = family.received.saturating_sub(1 + age);
                present(sessions, users[family.user], family, position, fate, now, strict).await?;
            }
            Step::Revoke { family } => {
                let Some(family) = families.get_mut(family) else { continue };
                let was_there =
                    sessions.revoke(users[family.user], family.sid, at(now)).await.unwrap();
                prop_assert!(was_there != family.ended || family.is_expired(now));
                family.ended = true;
            }
            Step::RevokeOthers { family } => {
                let Some(&Family { user, sid, .. }) = families.get(family) else { continue };
                sessions.revoke_others(users[user], sid, at(now)).await.unwrap();
                let others = families.iter_mut().filter(|f| f.user == user && f.sid != sid);
                others.for_each(|f| f.ended = true);
            }
            Step::DisableUser { user } => {
                sessions.revoke_all(users[user], at(now)).await.unwrap();
                families.iter_mut().filter(|f| f.user == user).for_each(|f| f.ended = true);
            }
            Step::MoveClock { seconds } => {
                // Not back to before a session's end: the store may have forgotten it by then.
                let ends = families.iter().filter(|f| f.is_expired(now));
                let ends = ends.map(|f| (f.used + IDLE).min(f.started + ABSOLUTE));
                now = (now + seconds).max(ends.max().unwrap_or(i64::MIN));
            }
        }
        for (user, &user_id) in users.iter().enumerate() {
            let listed = sessions.list(user_id, at(now)).await.unwrap();
            let live = families.iter().filter(|f| f.user == user && !f.ended && !f.is_expired(now));
            let mut listed: Vec<_> = listed.iter().map(|s| (s.sid, s.current)).collect();
            let mut live: Vec<_> = live.map(|f| (f.sid, f.tokens.len() as u64)).collect();
            listed.sort();
            live.sort();
            prop_assert_eq!(listed, live, "after {:?} at {}", step, now);
        }
    }
    Ok(())
}

async fn present(
    sessions: &Sessions,
    user_id: Uuid,
    family: &mut Family,
    position: usize,
    fate: Fate,
    now: i64,
    strict: bool,
) -> TestCaseResult {
    let (sid, generation) = (family.sid, position as u64 + 1);
    match fate {
        Fate::CutOffBeforeTheCommit => {
            let expected = family.present(position, now, strict, false);
            let opened = sessions.open_rotation(user_id, sid, generation, CLIENT, at(now)).await;
            let answer = translate(opened.map(|rotation| rotation.next_generation()));
            prop_assert_eq!(answer, expected);
        }
        Fate::Answered | Fate::AnswerLost => {
            let expected = family.present(position, now, strict, true);
            let answer = translate(exchange(sessions, user_id, sid, generation, at(now)).await);
            prop_assert_eq!(answer, expected);
            if let (Fate::Answered, Answer::Successor(_)) = (fate, answer) {
                family.received = family.tokens.len();
            }
        }
        Fate::Parallel(count) => {
            let refreshes: Vec<_> = (0..count)
                .map(|_| {
                    let sessions = sessions.clone();
                    tokio::spawn(async move {
                        exchange(&sessions, user_id, sid, generation, at(now)).await
                    })
                })
                .collect();
            let expected = family.present(position, now, strict, true);
            let mut answers = Vec::new();
            for refresh in refreshes {
                answers.push(translate(refresh.await.unwrap()));
            }
            prop_assert!(answers.contains(&expected), "{:?} for {:?}", answers, expected);
            for answer in answers {
                let is_later = (expected, answer) == (Answer::Reuse, Answer::Gone);
                prop_assert!(answer == expected || is_later, "{:?} for {:?}", answer, expected);
            }
            if let Answer::Successor(_) = expected {
                family.received = family.tokens.len();
            }
        }
    }
    Ok(())
}

fn check(engine: Engine, recovery: Recovery, cases: u32) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let opened = runtime.block_on(engine.open(policy(recovery, 1000)));
    let strict = recovery == Recovery::Revoke;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&proptest::collection::vec(a_step(), 1..60), |mut steps| {
            steps.insert(0, Step::Start { user: 0 });
            runtime.block_on(run_history(&opened.sessions, strict, &steps))
        })
        .unwrap();
}

#[test]
fn sqlite_agrees_with_the_model() {
    check(Engine::Sqlite, Recovery::Recover, 60);
    check(Engine::Sqlite, Recovery::Revoke, 30);
}

#[test]
fn postgres_agrees_with_the_model() {
    check(Engine::Postgres, Recovery::Recover, 25);
    check(Engine::Postgres, Recovery::Revoke, 10);
}

#[test]
fn redis_agrees_with_the_model() {
    check(Engine::Redis, Recovery::Recover, 40);
    check(Engine::Redis, Recovery::Revoke, 20);
}
