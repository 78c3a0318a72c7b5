//! Small records that expire, by key: texts that are inserted, replaced or taken in one atomic step
//! each. A record that has expired is absent, whether or not it was deleted yet. An engine that does
//! not answer gives `Unavailable`, never an empty result; whether a change that was
//! not answered has happened is then unknown. No Redis command touches two records, so a cluster may
//! keep each on any node; the caller passes the time, and Redis's clock is never asked for it.

use std::sync::Arc;

use redis::{Script, cmd};
use sqlx::Row;

use super::redis::Redis;
use super::{Db, Statement, Stored};
use crate::base::time::Timestamp;

/// The engine that keeps records. Cheap to clone.
#[derive(Clone)]
pub struct Records(Engine);

#[derive(Clone)]
enum Engine {
    /// One guarded statement each. The table is named after the first records that were kept in it.
    Sql(Db),
    /// Texts under `signet:{key}`, which Redis deletes by its own clock; with the script of
    /// [`Records::compare_and_swap`].
    Redis(Redis, Arc<Script>),
}

impl Records {
    /// Records in the SQL database.
    pub fn in_sql(db: Db) -> Self {
        Self(Engine::Sql(db))
    }

    /// Records in Redis. The script is loaded at its first use.
    pub fn in_redis(redis: Redis) -> Self {
        let script = Script::new(include_str!("records/compare_and_swap.lua"));
        Self(Engine::Redis(redis, script.into()))
    }

    /// The record of `key`.
    pub async fn find(&self, key: &str, now: Timestamp) -> Stored<Option<String>> {
        match &self.0 {
            Engine::Sql(db) => {
                let find = "SELECT record FROM login_attempts WHERE id = $1 AND expires_at > $2";
                one(db, sqlx::query(find).bind(key).bind(now.as_unix())).await
            }
            Engine::Redis(redis, _) => redis.query(cmd("GET").arg(full(key))).await,
        }
    }

    /// Inserts `value` until `expires_at` unless `key` has a record; returns whether it did. Of
    /// concurrent calls exactly one succeeds.
    pub async fn insert_if_absent(
        &self,
        key: &str,
        value: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Stored<bool> {
        match &self.0 {
            Engine::Sql(db) => {
                let insert = sqlx::query(
                    "INSERT INTO login_attempts (id, record, expires_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (id) DO UPDATE SET record = $2, expires_at = $3 \
                     WHERE login_attempts.expires_at <= $4",
                );
                let insert = insert.bind(key).bind(value).bind(expires_at.as_unix());
                Ok(db.execute(insert.bind(now.as_unix())).await? == 1)
            }
            Engine::Redis(redis, _) => {
                let mut set = cmd("SET");
                set.arg(full(key)).arg(value).arg("NX").arg("EX").arg(seconds(expires_at, now));
                let done: Option<String> = redis.query(&set).await?;
                Ok(done.is_some())
            }
        }
    }

    /// Replaces the record of `key` by `next` until `expires_at` if it is still `held`; returns
    /// whether it did. Of concurrent calls with the same `held` exactly one succeeds.
    pub async fn compare_and_swap(
        &self,
        key: &str,
        held: &str,
        next: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Stored<bool> {
        match &self.0 {
            Engine::Sql(db) => {
                let update = sqlx::query(
                    "UPDATE login_attempts SET record = $2, expires_at = $3 \
                     WHERE id = $1 AND record = $4 AND expires_at > $5",
                );
                let update = update.bind(key).bind(next).bind(expires_at.as_unix()).bind(held);
                Ok(db.execute(update.bind(now.as_unix())).await? == 1)
            }
            Engine::Redis(redis, compare_and_swap) => {
                let mut call = compare_and_swap.key(full(key));
                redis.invoke(call.arg(held).arg(next).arg(seconds(expires_at, now))).await
            }
        }
    }

    /// Deletes the record of `key` and returns it. Of concurrent calls one gets it.
    pub async fn take(&self, key: &str, now: Timestamp) -> Stored<Option<String>> {
        match &self.0 {
            Engine::Sql(db) => {
                let delete = sqlx::query(
                    "DELETE FROM login_attempts WHERE id = $1 AND expires_at > $2 RETURNING record",
                );
                one(db, delete.bind(key).bind(now.as_unix())).await
            }
            Engine::Redis(redis, _) => redis.query(cmd("GETDEL").arg(full(key))).await,
        }
    }

    /// Deletes at most `limit` records that have expired; returns how many. Redis needs no help.
    pub async fn delete_expired(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        let Engine::Sql(db) = &self.0 else { return Ok(0) };
        // The outer condition counts: a row may be used while the inner query reads it.
        let delete = sqlx::query(
            "DELETE FROM login_attempts WHERE expires_at <= $1 AND id IN \
             (SELECT id FROM login_attempts WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        );
        db.execute(delete.bind(now.as_unix()).bind(i64::from(limit))).await
    }
}

async fn one(db: &Db, statement: Statement<'_>) -> Stored<Option<String>> {
    let row = db.fetch_optional(statement).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

fn full(key: &str) -> String {
    format!("signet:{key}")
}

/// The lifetime of a record in seconds, at least 1: Redis refuses 0.
fn seconds(expires_at: Timestamp, now: Timestamp) -> u64 {
    expires_at.since(now).as_secs().max(1)
}
