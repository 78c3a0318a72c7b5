//! What the limits on guessing promise, whichever engine keeps them and however many instances share
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use signet::base::secret::Secret;
use signet::domain::login_limits::{
    Account, Attempt, AttemptError, Delays, Free, Limited, LoginLimits, Names, Network, Outcome,
    Policy,
};
use signet::storage::records::Records;
use signet::storage::redis::Redis;
use signet::storage::{Db, StorageError};

use super::engines::{Engine, at, connect};
use crate::support;
use crate::support::on_each;

const FREE: u32 = 10;
const LONGEST: u64 = 300;

/// Two instances on one store.
struct Pair {
    one: LoginLimits,
    other: LoginLimits,
    db: Option<Db>,
    redis: Option<Redis>,
    _folder: tempfile::TempDir,
}

fn policy() -> Policy {
    let free = Free { account_from_network: FREE, account_from_unknown: 30, network: 50 };
    let seconds = Duration::from_secs;
    let delays = Delays { shortest: seconds(LONGEST), longest: seconds(LONGEST) };
    Policy::new(true, free, delays, seconds(LONGEST), seconds(90 * 86_400)).unwrap()
}

fn names() -> Names {
    Names::new(&Secret::new(vec![7; 32]))
}

async fn open(engine: Engine) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let url = match engine {
        Engine::Sqlite => format!("sqlite://{}/test.db", folder.path().display()),
        Engine::Postgres | Engine::Pooler => support::postgres::Postgres::shared().fresh_database(),
        Engine::Redis => support::redis::Redis::shared().fresh_database(),
    };
    let (mut db, mut redis) = (None, None);
    let attempts = match engine {
        Engine::Redis => {
            let connection = connect(&url).await;
            redis = Some(connection.clone());
            [0, 1]
                .map(|_| LoginLimits::new(Records::in_redis(connection.clone()), names(), policy()))
        }
        Engine::Sqlite | Engine::Postgres | Engine::Pooler => {
            let opened = engine.connect(&url).await;
            opened.migrate().await.unwrap();
            db = Some(opened.clone());
            [0, 1].map(|_| LoginLimits::new(Records::in_sql(opened.clone()), names(), policy()))
        }
    };
    let [one, other] = attempts;
    Pair { one, other, db, redis, _folder: folder }
}

fn account(name: &str) -> Account {
    names().account(name)
}

fn network(number: u8) -> Network {
    names().network([203, 0, 113, number].into())
}

async fn reserve(attempts: &LoginLimits, from: u8, now: i64) -> Result<Attempt, u64> {
    match attempts.reserve(&account("ann@example.com"), &network(from), at(now)).await {
        Ok(attempt) => Ok(attempt),
        Err(AttemptError::Limited(Limited { retry_after })) => Err(retry_after),
        Err(AttemptError::Storage(error)) => panic!("{error:?}"),
    }
}

/// One attempt with this end; `false` where it may not be made.
async fn attempt(attempts: &LoginLimits, from: u8, now: i64, outcome: Outcome) -> bool {
    let Ok(attempt) = reserve(attempts, from, now).await else { return false };
    attempts.settle(attempt, outcome).await.unwrap();
    true
}

async fn fail_times(attempts: &LoginLimits, from: u8, now: i64, times: u32) {
    for number in 0..times {
        assert!(attempt(attempts, from, now, Outcome::Failed).await, "the {number}th");
    }
}

on_each!(Engine [Sqlite Postgres Redis], |engine| &open(engine).await, {
    guesses_at_once_are_as_many_as_are_free,
    right_passwords_at_once_are_all_let_through,
    nobody_waits_behind_guesses_from_elsewhere,
    a_network_and_the_accounts_it_guesses_at_are_counted_apart,
    what_is_given_back_was_never_charged,
    a_login_clears_its_network_and_makes_it_known,
    an_attempt_nobody_settles_expires,
    unlocking_works_from_any_instance,
    what_says_nothing_any_more_is_removed,
    a_record_that_is_not_understood_is_a_failure,
});

async fn guesses_at_once_are_as_many_as_are_free(pair: &Pair) {
    let made = Arc::new(AtomicU32::new(0));
    let guesses = (0..200).map(|number| {
        let attempts = if number % 2 == 0 { pair.one.clone() } else { pair.other.clone() };
        let made = made.clone();
        tokio::spawn(async move {
            match reserve(&attempts, 1, 0).await {
                Ok(attempt) => {
                    made.fetch_add(1, Ordering::SeqCst);
                    // As long as a hash takes.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    attempts.settle(attempt, Outcome::Failed).await.unwrap();
                }
                Err(retry_after) => assert_eq!(retry_after, LONGEST),
            }
        })
    });
    for guess in join_all(guesses).await {
        guess.unwrap();
    }
    assert_eq!(made.load(Ordering::SeqCst), FREE);
}

async fn right_passwords_at_once_are_all_let_through(pair: &Pair) {
    fail_times(&pair.one, 1, 0, FREE - 1).await;
    let logins = (0..100).map(|number| {
        let attempts = if number % 2 == 0 { pair.one.clone() } else { pair.other.clone() };
        tokio::spawn(async move {
            let attempt = reserve(&attempts, 1, 0).await.expect("it is let through");
            tokio::time::sleep(Duration::from_millis(5)).await;
            attempts.settle(attempt, Outcome::Succeeded).await.unwrap();
        })
    });
    for login in join_all(logins).await {
        login.unwrap();
    }
}

async fn nobody_waits_behind_guesses_from_elsewhere(pair: &Pair) {
    let mut flying = Vec::new();
    let start = std::time::Instant::now();
    for _ in 0..FREE {
        flying.push(reserve(&pair.one, 1, 0).await.unwrap());
    }
    // All of these wait for the outcome of the first ten.
    let waiting: Vec<_> = (0..200)
        .map(|_| {
            let attempts = pair.one.clone();
            tokio::spawn(async move { reserve(&attempts, 1, 0).await.err() })
        })
        .collect();
    for _ in 0..20 {
        let owner = attempt(&pair.one, 2, 0, Outcome::Succeeded);
        let let_in = tokio::time::timeout(Duration::from_secs(5), owner).await;
        assert_eq!(let_in, Ok(true), "the owner waits");
    }
    assert!(waiting.iter().all(|attempt| !attempt.is_finished()), "nothing was in the way");
    for attempt in flying {
        pair.one.settle(attempt, Outcome::Failed).await.unwrap();
    }
    for attempt in waiting {
        // The seconds that it has waited here already count.
        let left = attempt.await.unwrap().expect("a wait");
        let waited = start.elapsed().as_secs() + 1;
        assert!((LONGEST.saturating_sub(waited)..=LONGEST).contains(&left), "{left} s");
    }
}

async fn a_network_and_the_accounts_it_guesses_at_are_counted_apart(pair: &Pair) {
    let guess = async |number: u32| {
        let attempts = if number.is_multiple_of(2) { &pair.one } else { &pair.other };
        let account = account(&format!("user-{number}@example.com"));
        match attempts.reserve(&account, &network(1), at(0)).await {
            Ok(attempt) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                attempts.settle(attempt, Outcome::Failed).await.unwrap();
                true
            }
            Err(AttemptError::Limited(_)) => false,
            Err(AttemptError::Storage(error)) => panic!("{error:?}"),
        }
    };
    let made = join_all((0..120).map(guess)).await.into_iter().filter(|made| *made).count();
    assert_eq!(made, 50);
    // What the network was refused for was not held against the accounts.
    fail_times(&pair.one, 2, 0, FREE).await;
}

async fn what_is_given_back_was_never_charged(pair: &Pair) {
    for _ in 0..5 * FREE {
        assert!(attempt(&pair.one, 1, 0, Outcome::NotMade).await);
    }
    fail_times(&pair.other, 1, 0, FREE).await;
    assert!(!attempt(&pair.one, 1, 0, Outcome::Failed).await);
}

async fn a_login_clears_its_network_and_makes_it_known(pair: &Pair) {
    fail_times(&pair.one, 1, 0, FREE - 1).await;
    assert!(attempt(&pair.other, 1, 0, Outcome::Succeeded).await);
    for from in 2..5 {
        fail_times(&pair.one, from, 0, if from == 4 { 1 } else { FREE }).await;
    }
    // Nine before the login, twenty-one since: strangers have used up theirs.
    assert_eq!(reserve(&pair.other, 9, 0).await.err(), Some(LONGEST));
    fail_times(&pair.one, 1, 0, FREE).await;
    assert_eq!(reserve(&pair.other, 1, 1).await.err(), Some(LONGEST - 1));
}

async fn an_attempt_nobody_settles_expires(pair: &Pair) {
    for _ in 0..FREE - 1 {
        drop(reserve(&pair.one, 1, 0).await.unwrap());
    }
    let last = reserve(&pair.one, 1, 0).await.unwrap();
    // Nobody waits for those that are lost for longer than for a lease.
    assert_eq!(reserve(&pair.other, 1, 60).await.err(), Some(LONGEST - 60));
    // The nine were in flight then, and are failures now.
    pair.one.settle(last, Outcome::Succeeded).await.unwrap();
    fail_times(&pair.other, 1, 60, 1).await;
    assert_eq!(reserve(&pair.one, 1, 60).await.err(), Some(LONGEST));
}

async fn unlocking_works_from_any_instance(pair: &Pair) {
    fail_times(&pair.one, 1, 0, FREE).await;
    let held = reserve(&pair.one, 2, 0).await.unwrap();
    assert!(!attempt(&pair.one, 1, 0, Outcome::Failed).await);
    pair.other.unlock(&account("ann@example.com"), at(0)).await.unwrap();
    fail_times(&pair.one, 1, 0, FREE).await;
    pair.one.settle(held, Outcome::Failed).await.unwrap();
    assert!(!attempt(&pair.other, 1, 0, Outcome::Failed).await);
}

async fn what_says_nothing_any_more_is_removed(pair: &Pair) {
    fail_times(&pair.one, 1, 0, 2).await;
    if let Some(db) = &pair.db {
        let count = async || {
            let query = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) FROM login_attempts");
            let row = db.fetch_optional(query).await.unwrap().unwrap();
            sqlx::Row::try_get::<i64, _>(&row, 0).unwrap()
        };
        assert_eq!(count().await, 2, "the account and the network");
        assert_eq!(pair.one.purge(at(0), 100).await.unwrap(), 0);
        assert_eq!(pair.one.purge(at(3600), 100).await.unwrap(), 1, "the network");
        assert_eq!(pair.one.purge(at(86_400), 100).await.unwrap(), 1);
        assert_eq!(count().await, 0);
    }
    if let Some(redis) = &pair.redis {
        let ttl = async |key: &str| {
            let keys: Vec<String> = redis.query(::redis::cmd("KEYS").arg(key)).await.unwrap();
            assert_eq!(keys.len(), 1, "{keys:?}");
            assert!(!keys[0].contains("ann@") && !keys[0].contains("203.0.113"), "{keys:?}");
            redis.query::<i64>(::redis::cmd("TTL").arg(&keys[0])).await.unwrap()
        };
        // Two of thirty strangers' failures a day, two of ten of its own, and two of fifty an hour.
        assert!((17_200..=17_280).contains(&ttl("signet:a:*").await));
        assert!((100..=144).contains(&ttl("signet:n:*").await));
    }
    fail_times(&pair.other, 1, 86_400, FREE).await;
}

async fn a_record_that_is_not_understood_is_a_failure(pair: &Pair) {
    fail_times(&pair.one, 1, 0, 1).await;
    if let Some(db) = &pair.db {
        let change = sqlx::query("UPDATE login_attempts SET record = '2 new'");
        db.execute(change).await.unwrap();
    }
    if let Some(redis) = &pair.redis {
        let keys: Vec<String> = redis.query(::redis::cmd("KEYS").arg("signet:*")).await.unwrap();
        for key in keys {
            redis.query::<()>(::redis::cmd("SET").arg(&[key.as_str(), "2 new"])).await.unwrap();
        }
    }
    let reserved = pair.one.reserve(&account("ann@example.com"), &network(1), at(0)).await;
    let failed = matches!(reserved, Err(AttemptError::Storage(StorageError::Internal(_))));
    assert!(failed, "neither let through nor refused");
}
