//! The record of what was revoked: how long an entry stays, and how much one change holds.

use std::time::Duration;

use signet::base::random::Random;
use signet::domain::revocations::{Revocations, Revoked};
use signet::storage::Db;
use sqlx::Row;

use super::engines::{at, new_id};
use crate::support::postgres::Postgres;

const DAY: i64 = 86_400;

async fn on_both(test: impl AsyncFn(Db, Revocations)) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}/test.db", folder.path().display());
    for url in [file, Postgres::shared().fresh_database()] {
        let db = Db::connect(&url, 2).await.unwrap();
        db.migrate().await.unwrap();
        let revocations = Revocations::open(db.clone(), Random::system()).await.unwrap();
        test(db, revocations).await;
    }
}

/// The numbers of the changes, with how many entries each has and when the first of them ends.
async fn changes(db: &Db) -> Vec<(i64, i64, i64)> {
    let query = sqlx::query(
        "SELECT seq, CAST(COUNT(*) AS BIGINT), MIN(expires_at) FROM revocations \
         GROUP BY seq ORDER BY seq LIMIT 100",
    );
    let rows = db.fetch_all(query).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn an_entry_outlives_every_token_that_it_concerns() {
    on_both(async |db, revocations| {
        let session = || Revoked::Session { sid: new_id(), user_id: new_id() };
        let ends_after = async |seconds: i64, revoked: Revoked| {
            revocations.record(&[revoked], at(seconds)).await.unwrap();
            let (_, _, ends_at) = *changes(&db).await.last().unwrap();
            ends_at - at(seconds).as_unix()
        };
        // The command line may be first, before any instance has said how long tokens live.
        assert!(ends_after(0, session()).await >= DAY + 60);
        let life = |seconds| Duration::from_secs(seconds);
        revocations.observe_token_life(life(660), at(0)).await.unwrap();
        // More than the life alone: a token may be issued while its session ends.
        assert!((661..=760).contains(&ends_after(1, session()).await));
        revocations.observe_token_life(life(3660), at(2)).await.unwrap();
        revocations.observe_token_life(life(660), at(100)).await.unwrap();
        assert!(ends_after(100, session()).await > 3660, "tokens of before are still alive");
        revocations.observe_token_life(life(660), at(3800)).await.unwrap();
        assert!(ends_after(3800, session()).await < 3660, "and now they are not");
        // Who stole a key does not keep to any life.
        assert!(ends_after(3801, Revoked::Key { kid: "k".into() }).await > 300 * DAY);
    })
    .await;
}

#[tokio::test]
async fn a_user_with_very_many_sessions_is_told_in_parts() {
    on_both(async |db, revocations| {
        let sids = std::iter::repeat_with(new_id).take(1500);
        revocations.record_user(new_id(), sids, at(0)).await.unwrap();
        let sizes: Vec<_> = changes(&db).await.iter().map(|&(seq, size, _)| (seq, size)).collect();
        assert_eq!(sizes, [(1, 1000), (2, 501)]);
    })
    .await;
}
