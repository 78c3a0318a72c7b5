//! What the limits on sign-ups, mail and own changes promise, whichever engine keeps them and
//! however many instances share it.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use signet::base::secret::Secret;
use signet::domain::login_limits::{
    AttemptError, Delays, Limit, LimitPolicy, Limited, Limits, Names,
};
use signet::storage::Db;
use signet::storage::records::Records;
use signet::storage::redis::Redis;
use uuid::Uuid;

use super::engines::{Engine, at, connect};
use crate::support;
use crate::support::on_each;

/// Sign-ups and mails that are free.
const FREE: usize = 20;
const OWN_CHANGES: usize = 60;

/// Two instances on one store.
struct Pair {
    one: Limits,
    other: Limits,
    db: Option<Db>,
    redis: Option<Redis>,
    _folder: tempfile::TempDir,
}

fn policy() -> LimitPolicy {
    let seconds = Duration::from_secs;
    LimitPolicy::by_network(true, 20, Delays { shortest: seconds(1), longest: seconds(60) })
}

async fn open(engine: Engine) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let names = Names::new(&Secret::new(vec![7; 32]));
    let (mut db, mut redis) = (None, None);
    let [one, other] = match engine {
        Engine::Redis => {
            let connection = connect(&support::redis::Redis::shared().fresh_database()).await;
            redis = Some(connection.clone());
            [0, 1].map(|_| {
                Limits::new(&Records::in_redis(connection.clone()), &names, policy(), policy())
            })
        }
        Engine::Sqlite | Engine::Postgres | Engine::Pooler => {
            let url = match engine {
                Engine::Sqlite => format!("sqlite://{}/test.db", folder.path().display()),
                _ => support::postgres::Postgres::shared().fresh_database(),
            };
            let opened = engine.connect(&url).await;
            opened.migrate().await.unwrap();
            db = Some(opened.clone());
            [0, 1]
                .map(|_| Limits::new(&Records::in_sql(opened.clone()), &names, policy(), policy()))
        }
    };
    Pair { one, other, db, redis, _folder: folder }
}

on_each!(Engine [Sqlite Postgres Pooler Redis], |engine| &open(engine).await, {
    requests_side_by_side_are_as_many_as_are_free,
    waits_grow_and_end,
    networks_users_and_limits_are_counted_apart,
    records_expire,
});

/// The seconds to wait of a request from `address`; 0 where it is admitted.
async fn wait(limit: &Limit, address: &str, now: i64) -> u64 {
    let address: IpAddr = address.parse().unwrap();
    match limit.take_by_network(address, at(now)).await {
        Ok(()) => 0,
        Err(AttemptError::Limited(Limited { retry_after })) => retry_after,
        Err(AttemptError::Storage(error)) => panic!("{error:?}"),
    }
}

async fn use_up(limit: &Limit, address: &str) {
    for number in 0..FREE {
        assert_eq!(wait(limit, address, 0).await, 0, "the {number}th");
    }
}

async fn requests_side_by_side_are_as_many_as_are_free(pair: &Pair) {
    let limits = [&pair.one.sign_ups, &pair.other.sign_ups];
    let requests = (0..100).map(|number| wait(limits[number % 2], "203.0.113.1", 0));
    let waits = join_all(requests).await;
    assert_eq!(waits.iter().filter(|wait| **wait == 0).count(), FREE);
    assert!(waits.iter().all(|wait| [0, 2].contains(wait)), "{waits:?}");
    assert_eq!(pair.one.sign_ups.limited() + pair.other.sign_ups.limited(), 80);
}

async fn waits_grow_and_end(pair: &Pair) {
    use_up(&pair.one.mails, "203.0.113.1").await;
    // A wait is over when it says, and a refused request makes it no longer.
    let mut now = 0;
    for shortest in [1, 2, 4, 8, 16, 32, 60] {
        let seconds = wait(&pair.other.mails, "203.0.113.1", now).await;
        assert_eq!(seconds, shortest + 1);
        now += i64::try_from(seconds).unwrap();
        assert_eq!(wait(&pair.one.mails, "203.0.113.1", now - 1).await, 1);
        assert_eq!(wait(&pair.one.mails, "203.0.113.1", now).await, 0);
    }
    // Nothing is left of it two hours later.
    for number in 0..FREE {
        assert_eq!(wait(&pair.other.mails, "203.0.113.1", now + 7200).await, 0, "{number}");
    }
}

async fn networks_users_and_limits_are_counted_apart(pair: &Pair) {
    use_up(&pair.one.sign_ups, "2001:db8::1").await;
    assert_ne!(wait(&pair.one.sign_ups, "2001:db8:0:0:ffff::2", 0).await, 0, "one network");
    assert_eq!(wait(&pair.one.sign_ups, "2001:db8:0:1::1", 0).await, 0, "another one");
    assert_eq!(wait(&pair.one.sign_ups, "203.0.113.1", 0).await, 0);
    use_up(&pair.other.mails, "2001:db8::1").await;

    let changes = &pair.one.own_changes;
    let (ann, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for number in 0..OWN_CHANGES {
        let limits = if number % 2 == 0 { &pair.one } else { &pair.other };
        limits.own_changes.take_by_user(ann, at(0)).await.unwrap();
    }
    for now in [0, 1, 30, 59] {
        let refused = changes.take_by_user(ann, at(now)).await;
        assert!(matches!(refused, Err(AttemptError::Limited(_))), "{now}: {refused:?}");
    }
    changes.take_by_user(bob, at(0)).await.unwrap();
    for _ in 0..OWN_CHANGES {
        pair.one.confirmed_changes.take_by_user(ann, at(0)).await.unwrap();
    }
    assert!(pair.other.confirmed_changes.take_by_user(ann, at(0)).await.is_err());
    changes.take_by_user(ann, at(61)).await.unwrap();
    assert!(changes.take_by_user(ann, at(61)).await.is_err());
}

async fn records_expire(pair: &Pair) {
    use_up(&pair.one.sign_ups, "203.0.113.1").await;
    if let Some(db) = &pair.db {
        let count = async || {
            let query = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) FROM login_attempts");
            let row = db.fetch_optional(query).await.unwrap().unwrap();
            sqlx::Row::try_get::<i64, _>(&row, 0).unwrap()
        };
        assert_eq!(count().await, 1);
        let query = sqlx::query("SELECT expires_at FROM login_attempts");
        let row = db.fetch_optional(query).await.unwrap().unwrap();
        assert_eq!(sqlx::Row::try_get::<i64, _>(&row, 0).unwrap(), at(3600).as_unix());
    }
    if let Some(redis) = &pair.redis {
        let keys: Vec<String> = redis.query(::redis::cmd("KEYS").arg("signet:s:*")).await.unwrap();
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert!(!keys[0].contains("203.0.113"), "{keys:?}");
        let ttl = redis.query::<i64>(::redis::cmd("TTL").arg(&keys[0])).await.unwrap();
        assert!((3300..=3600).contains(&ttl), "{ttl}");
    }
}
