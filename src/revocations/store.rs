//! The record of what was revoked, in the database. A change takes its number under the lock of the
//! history's one row, which it holds until the commit: numbers follow the order of commits, so who
//! has read up to one has missed nothing before it.

use std::collections::VecDeque;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::entry::{Change, Entry, Revoked};
use crate::storage::{Db, StorageError, Transaction, rows_of_values};
use crate::time::Timestamp;
use crate::tokens::{LEEWAY, Policy};

/// Rows written by one statement.
const ROWS_AT_ONCE: usize = 100;
/// Rows read by one statement: more than a change has.
const ROWS_READ: i64 = 20_000;
/// Beyond the life of tokens: clocks of instances differ, and what a request ends goes on for as long
/// as the request takes.
const SLACK: Duration = Duration::from_secs(30);
/// Who has stolen a key writes whatever end into tokens.
const KEYS_REMEMBERED: Duration = Duration::from_secs(366 * 86_400);
/// How old the word on the longest life may get before it is written anew.
const SEEN_EVERY: i64 = 60;

/// Where the history stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub epoch: String,
    pub seq: i64,
}

/// The tables `revocations` and `revocation_history`.
#[derive(Clone)]
pub(super) struct Store {
    pub db: Db,
}

impl Store {
    /// Begins the history, where there is none, under the name `epoch`.
    pub async fn ensure_history(&self, epoch: &str) -> Result<(), StorageError> {
        let insert = sqlx::query(
            "INSERT INTO revocation_history (id, epoch, last_seq, token_life, token_life_seen_at) \
             VALUES (1, $1, 0, 0, 0) ON CONFLICT (id) DO NOTHING",
        );
        self.db.execute(insert.bind(epoch.to_owned())).await.map(drop)
    }

    /// Notes that access tokens can be taken for alive as long as `life` now. A longer life of before
    /// still counts until the last token that has it must have ended.
    pub async fn observe_token_life(
        &self,
        life: Duration,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let life = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
        let update = sqlx::query(
            "UPDATE revocation_history SET token_life = $1, token_life_seen_at = $2 WHERE id = 1 \
             AND (token_life < $1 OR (token_life = $1 AND token_life_seen_at < $3) \
             OR token_life_seen_at + token_life < $3)",
        )
        .bind(life)
        .bind(now.as_unix())
        .bind(now.as_unix() - SEEN_EVERY);
        self.db.execute(update).await.map(drop)
    }

    /// Writes changes within `transaction`, numbered in their order.
    pub async fn record_in(
        &self,
        transaction: &mut Transaction<'_>,
        changes: &[&[Revoked]],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let row = sqlx::query(
            "UPDATE revocation_history SET last_seq = last_seq + $1 WHERE id = 1 \
             RETURNING last_seq, token_life",
        )
        .bind(changes.len() as i64)
        .fetch_one(&mut **transaction)
        .await?;
        let first = row.try_get::<i64, _>("last_seq")? - changes.len() as i64 + 1;
        let life = match row.try_get::<i64, _>("token_life")? {
            // Nothing was served yet since there is a record: tokens of before may live long.
            ..=0 => Policy::MAX_ACCESS_TOKEN_LIFETIME + LEEWAY,
            life => Duration::from_secs(life.unsigned_abs()),
        };
        let ends_at = now.plus(life).plus(SLACK);
        let numbered = changes.iter().zip(first..).flat_map(|(change, seq)| {
            change.iter().zip(0_i64..).map(move |(revoked, part)| (seq, part, revoked))
        });
        let rows: Vec<_> = numbered.collect();
        for rows in rows.chunks(ROWS_AT_ONCE) {
            insert(transaction, rows, ends_at, now).await?;
        }
        Ok(())
    }

    /// Where the history stands now.
    pub async fn head(&self) -> Result<Head, StorageError> {
        let query = sqlx::query("SELECT epoch, last_seq FROM revocation_history WHERE id = 1");
        let row = self.db.fetch_optional(query).await?;
        let row = row.ok_or_else(|| StorageError::corrupt("history of revocations"))?;
        Ok(Head { epoch: row.try_get("epoch")?, seq: row.try_get("last_seq")? })
    }

    /// The next changes after number `seq`, and whether those are all.
    pub async fn read_after(&self, seq: i64) -> Result<(VecDeque<Change>, bool), StorageError> {
        let query = sqlx::query(
            "SELECT seq, claim, value, owner, issued_before, changed_at, expires_at \
             FROM revocations WHERE seq > $1 ORDER BY seq, part LIMIT $2",
        )
        .bind(seq)
        .bind(ROWS_READ);
        let rows = self.db.fetch_all(query).await?;
        let mut changes: VecDeque<Change> = VecDeque::new();
        for row in &rows {
            let (seq, entry) = (row.try_get("seq")?, read(row)?);
            let at = Timestamp::from_unix(row.try_get("changed_at")?);
            match changes.back_mut().filter(|last| last.seq == seq) {
                Some(last) => last.entries.extend(entry),
                None => changes.push_back(Change { seq, at, entries: entry.into_iter().collect() }),
            }
        }
        let all = (rows.len() as i64) < ROWS_READ;
        if !all {
            // Its end may lie in the next part.
            changes.pop_back();
        }
        Ok((changes, all))
    }

    /// Whether there is an entry for the key.
    pub async fn has_key(&self, kid: &str) -> Result<bool, StorageError> {
        let query =
            sqlx::query("SELECT seq FROM revocations WHERE claim = 'kid' AND value = $1 LIMIT 1");
        Ok(self.db.fetch_optional(query.bind(kid.to_owned())).await?.is_some())
    }

    /// Removes at most `limit` entries that do not matter any more; how many it removed.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Result<u64, StorageError> {
        let delete = sqlx::query(
            "DELETE FROM revocations WHERE (seq, part) IN (SELECT seq, part FROM revocations \
             WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        );
        self.db.execute(delete.bind(now.as_unix()).bind(i64::from(limit))).await
    }
}

async fn insert(
    transaction: &mut Transaction<'_>,
    rows: &[(i64, i64, &Revoked)],
    ends_at: Timestamp,
    now: Timestamp,
) -> Result<(), StorageError> {
    let text = format!(
        "INSERT INTO revocations (seq, part, claim, value, owner, issued_before, changed_at, \
         expires_at) VALUES {}",
        rows_of_values(rows.len(), 8)
    );
    let mut insert = sqlx::query(AssertSqlSafe(text));
    for (seq, part, revoked) in rows {
        let (claim, value, owner, before) = columns(revoked);
        let ends_at = match revoked {
            Revoked::Token { ends_at, .. } => *ends_at,
            Revoked::Key { .. } => now.plus(KEYS_REMEMBERED),
            _ => ends_at,
        };
        insert = insert
            .bind(*seq)
            .bind(*part)
            .bind(claim)
            .bind(value)
            .bind(owner)
            .bind(before.map(Timestamp::as_unix))
            .bind(now.as_unix())
            .bind(ends_at.as_unix());
    }
    insert.execute(&mut **transaction).await?;
    Ok(())
}

type Columns = (&'static str, String, Option<String>, Option<Timestamp>);

fn columns(revoked: &Revoked) -> Columns {
    match revoked {
        Revoked::Session { sid, user_id } => {
            ("sid", sid.to_string(), Some(user_id.to_string()), None)
        }
        Revoked::Token { jti, subject, .. } => ("jti", jti.clone(), Some(subject.clone()), None),
        Revoked::Subject { sub, before } => ("sub", sub.clone(), None, Some(*before)),
        Revoked::Client { client_id, before } => {
            ("client_id", client_id.clone(), None, Some(*before))
        }
        Revoked::Key { kid } => ("kid", kid.clone(), None, None),
    }
}

/// The entry of a row; `None` for a kind that only a newer version knows.
fn read(row: &AnyRow) -> Result<Option<Entry>, StorageError> {
    let unreadable = || StorageError::corrupt("revocation");
    let value: String = row.try_get("value")?;
    let owner: Option<String> = row.try_get("owner")?;
    let before: Option<i64> = row.try_get("issued_before")?;
    let before = before.map(Timestamp::from_unix).ok_or_else(unreadable);
    let expires_at = Timestamp::from_unix(row.try_get("expires_at")?);
    let revoked = match row.try_get::<String, _>("claim")?.as_str() {
        "sid" => Revoked::Session {
            sid: value.parse().map_err(|_| unreadable())?,
            user_id: owner.and_then(|id| id.parse().ok()).ok_or_else(unreadable)?,
        },
        "jti" => Revoked::Token {
            jti: value,
            subject: owner.ok_or_else(unreadable)?,
            ends_at: expires_at,
        },
        "sub" => Revoked::Subject { sub: value, before: before? },
        "client_id" => Revoked::Client { client_id: value, before: before? },
        "kid" => Revoked::Key { kid: value },
        _ => return Ok(None),
    };
    Ok(Some(Entry { revoked, expires_at }))
}
