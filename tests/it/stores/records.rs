//! What small expiring records promise, whichever engine keeps them.

use futures_util::future::join_all;
use signet::storage::records::Records;

use super::engines::{Engine, at, connect};
use crate::support::{self, on_each};

on_each!(Engine [Sqlite Postgres Pooler Redis], |engine| engine, { keep_the_contract });
on_each!(Engine [Sqlite Postgres Pooler], |engine| engine, { an_expired_record_is_absent });

/// Empty records on `engine`, and the folder that their file lies in.
async fn open(engine: Engine) -> (Records, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = match engine {
        Engine::Sqlite => format!("sqlite://{}/test.db", folder.path().display()),
        Engine::Postgres | Engine::Pooler => support::postgres::Postgres::shared().fresh_database(),
        Engine::Redis => {
            let url = support::redis::Redis::shared().fresh_database();
            return (Records::in_redis(connect(&url).await), folder);
        }
    };
    let db = engine.connect(&url).await;
    db.migrate().await.unwrap();
    (Records::in_sql(db), folder)
}

async fn keep_the_contract(engine: Engine) {
    let (records, _folder) = open(engine).await;
    inserts_happen_once(&records).await;
    swaps_need_what_was_read(&records).await;
    a_record_is_taken_once(&records).await;
    of_concurrent_steps_one_succeeds(&records).await;
}

async fn inserts_happen_once(records: &Records) {
    assert_eq!(records.find("t:a", at(0)).await.unwrap(), None);
    assert!(records.insert_if_absent("t:a", "one", at(60), at(0)).await.unwrap());
    assert!(!records.insert_if_absent("t:a", "two", at(60), at(0)).await.unwrap());
    assert!(records.insert_if_absent("t:b", "", at(60), at(0)).await.unwrap(), "another key");
    assert_eq!(records.find("t:a", at(0)).await.unwrap().as_deref(), Some("one"));
    assert_eq!(records.find("t:b", at(0)).await.unwrap().as_deref(), Some(""));
}

async fn swaps_need_what_was_read(records: &Records) {
    let swap = async |key, held, next| {
        records.compare_and_swap(key, held, next, at(90), at(1)).await.unwrap()
    };
    assert!(!swap("t:a", "other", "two").await);
    assert!(swap("t:a", "one", "two").await);
    assert!(!swap("t:a", "one", "three").await, "it has changed");
    assert!(!swap("t:none", "", "one").await, "an absent record is not an empty one");
    assert_eq!(records.find("t:a", at(1)).await.unwrap().as_deref(), Some("two"));
}

async fn a_record_is_taken_once(records: &Records) {
    assert_eq!(records.take("t:a", at(2)).await.unwrap().as_deref(), Some("two"));
    assert_eq!(records.take("t:a", at(2)).await.unwrap(), None);
    assert!(records.insert_if_absent("t:a", "again", at(60), at(2)).await.unwrap());
}

async fn of_concurrent_steps_one_succeeds(records: &Records) {
    let tries = || 0..16;
    let insert = |_| records.insert_if_absent("t:race", "held", at(60), at(0));
    let inserted = join_all(tries().map(insert)).await;
    assert_eq!(inserted.into_iter().filter(|done| *done.as_ref().unwrap()).count(), 1);
    let swap = |_| records.compare_and_swap("t:race", "held", "next", at(60), at(0));
    let swapped = join_all(tries().map(swap)).await;
    assert_eq!(swapped.into_iter().filter(|done| *done.as_ref().unwrap()).count(), 1);
    let taken = join_all(tries().map(|_| records.take("t:race", at(0)))).await;
    assert_eq!(taken.into_iter().filter(|taken| taken.as_ref().unwrap().is_some()).count(), 1);
}

/// SQL goes by the time of the call.
async fn an_expired_record_is_absent(engine: Engine) {
    let (records, _folder) = open(engine).await;
    assert!(records.insert_if_absent("t:a", "one", at(10), at(0)).await.unwrap());
    assert_eq!(records.find("t:a", at(9)).await.unwrap().as_deref(), Some("one"));
    assert_eq!(records.find("t:a", at(10)).await.unwrap(), None);
    assert_eq!(records.take("t:a", at(10)).await.unwrap(), None);
    assert!(!records.compare_and_swap("t:a", "one", "two", at(20), at(10)).await.unwrap());
    assert!(!records.insert_if_absent("t:a", "two", at(20), at(9)).await.unwrap());
    assert!(records.insert_if_absent("t:a", "two", at(20), at(10)).await.unwrap());
    assert_eq!(records.delete_expired(at(19), 10).await.unwrap(), 0);
    for key in ["t:b", "t:c"] {
        assert!(records.insert_if_absent(key, "x", at(15), at(0)).await.unwrap());
    }
    assert_eq!(records.delete_expired(at(19), 1).await.unwrap(), 1);
    assert_eq!(records.delete_expired(at(20), 10).await.unwrap(), 2);
}

/// Redis goes by its own clock.
#[tokio::test]
async fn redis_expires_records_itself() {
    let (records, _folder) = open(Engine::Redis).await;
    assert!(records.insert_if_absent("t:a", "one", at(1), at(0)).await.unwrap());
    assert!(!records.insert_if_absent("t:a", "two", at(1), at(0)).await.unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_eq!(records.find("t:a", at(0)).await.unwrap(), None);
    assert!(!records.compare_and_swap("t:a", "one", "two", at(1), at(0)).await.unwrap());
    assert_eq!(records.take("t:a", at(0)).await.unwrap(), None);
    assert!(records.insert_if_absent("t:a", "two", at(1), at(0)).await.unwrap());
}
