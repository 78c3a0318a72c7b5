//! The record of revocations in the database. A change takes its number under the lock of the
//! history's one row, held until the commit: numbers follow the order of commits, so a reader of
//! all changes up to a number has missed none.

use std::collections::VecDeque;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::entry::{Change, Entry, Revoked, RevokedToken};
use crate::base::time::Timestamp;
use crate::domain::tokens::{LEEWAY, Policy};
use crate::storage::{Db, StorageError, Stored, Transaction, rows_of_values};

const ROWS_AT_ONCE: usize = 100;
/// The number of rows that one statement reads, more than a change has.
const ROWS_READ: i64 = 20_000;
/// The margin beyond the life of tokens: clocks of instances differ, and a request that ends
/// something takes some time.
const SLACK: Duration = Duration::from_secs(30);
/// How long a revoked key stays on record, since whoever stole it writes any `exp` into tokens.
const KEYS_REMEMBERED: Duration = Duration::from_secs(366 * 86_400);
/// The margin for times of issue in whole seconds.
const A_SECOND: Duration = Duration::from_secs(1);
/// The age at which the recorded longest life is written again.
const SEEN_EVERY: i64 = 60;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub epoch: String,
    pub seq: i64,
}

/// Access tokens that are counted together, with the maximum number of them on record one by one.
pub(super) struct TokenGroup<'a> {
    pub owner: &'a str,
    /// Their session; `None` for a client's own.
    pub session: Option<Uuid>,
    /// For a client's own tokens, those issued before this time do not count.
    pub since: Timestamp,
    pub limit: i64,
}

/// The tables `revocations` and `revocation_history`.
#[derive(Clone)]
pub(super) struct Store {
    pub db: Db,
}

impl Store {
    /// Starts the history under the name `epoch`, if there is none.
    pub(super) async fn ensure_history(&self, epoch: &str) -> Stored<()> {
        let insert = sqlx::query(
            "INSERT INTO revocation_history (id, epoch, last_seq, token_life, token_life_seen_at) \
             VALUES (1, $1, 0, 0, 0) ON CONFLICT (id) DO NOTHING",
        );
        self.db.execute(insert.bind(epoch.to_owned())).await.map(drop)
    }

    /// Records that access tokens can be valid for `life` from now on. A longer earlier value
    /// counts until the last token with it must have expired.
    pub(super) async fn observe_token_life(&self, life: Duration, now: Timestamp) -> Stored<()> {
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
    pub(super) async fn record_in(
        &self,
        transaction: &mut Transaction<'_>,
        changes: &[&[Revoked]],
        now: Timestamp,
    ) -> Stored<()> {
        let (first, life) = self.take_numbers(transaction, changes.len() as i64).await?;
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

    /// Takes the next `count` numbers, and with them the lock on the history. Returns the first of
    /// them, and for how long access tokens can be valid.
    async fn take_numbers(
        &self,
        transaction: &mut Transaction<'_>,
        count: i64,
    ) -> Stored<(i64, Duration)> {
        let row = sqlx::query(
            "UPDATE revocation_history SET last_seq = last_seq + $1 WHERE id = 1 \
             RETURNING last_seq, token_life",
        )
        .bind(count)
        .fetch_one(&mut *transaction)
        .await?;
        let first = row.try_get::<i64, _>("last_seq")? - count + 1;
        Ok((first, life_of(row.try_get("token_life")?)))
    }

    /// Writes `single` within `transaction`, or the change `whole` instead if the maximum number of
    /// tokens of `group` is on record one by one. Returns whether it wrote `whole`. The count is
    /// exact under concurrency, since it is made under the lock on the history.
    pub(super) async fn record_token_in(
        &self,
        transaction: &mut Transaction<'_>,
        group: &TokenGroup<'_>,
        single: &Revoked,
        whole: &[Revoked],
        now: Timestamp,
    ) -> Stored<bool> {
        let (seq, life) = self.take_numbers(transaction, 1).await?;
        let TokenGroup { owner, session, since, limit } = *group;
        // A session's tokens all belong to it, whenever they were issued.
        let since = if session.is_some() { 0 } else { since.as_unix() };
        let count = sqlx::query(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM revocations WHERE owner = $1 AND claim = 'jti' \
             AND COALESCE(session_id, '') = $2 AND issued_before > $3 AND expires_at > $4",
        )
        .bind(owner.to_owned())
        .bind(session.map(|sid| sid.to_string()).unwrap_or_default())
        .bind(since)
        .bind(now.as_unix());
        let count: i64 = count.fetch_one(&mut *transaction).await?.try_get(0)?;
        let is_whole = count >= limit;
        let revoked = if is_whole { whole } else { std::slice::from_ref(single) };
        let rows: Vec<_> =
            revoked.iter().zip(0..).map(|(entry, part)| (seq, part, entry)).collect();
        insert(transaction, &rows, now.plus(life).plus(SLACK), now).await?;
        Ok(is_whole)
    }

    /// For how long access tokens can be valid from now on, leeway included.
    pub(super) async fn token_life(&self) -> Stored<Duration> {
        let query = sqlx::query("SELECT token_life FROM revocation_history WHERE id = 1");
        let row = self.db.fetch_optional(query).await?;
        Ok(life_of(row.map_or(Ok(0), |row| row.try_get(0))?))
    }

    pub(super) async fn head(&self) -> Stored<Head> {
        let query = sqlx::query("SELECT epoch, last_seq FROM revocation_history WHERE id = 1");
        let row = self.db.fetch_optional(query).await?;
        let row = row.ok_or_else(|| StorageError::corrupt("history of revocations"))?;
        Ok(Head { epoch: row.try_get("epoch")?, seq: row.try_get("last_seq")? })
    }

    /// The next changes after number `seq`, and whether they are all.
    pub(super) async fn read_after(&self, seq: i64) -> Stored<(VecDeque<Change>, bool)> {
        let query = sqlx::query(
            "SELECT seq, claim, value, owner, session_id, issued_before, changed_at, expires_at \
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
            // The end of the last change may be in the next page.
            changes.pop_back();
        }
        Ok((changes, all))
    }

    pub(super) async fn has_key(&self, kid: &str) -> Stored<bool> {
        let query =
            sqlx::query("SELECT seq FROM revocations WHERE claim = 'kid' AND value = $1 LIMIT 1");
        Ok(self.db.fetch_optional(query.bind(kid.to_owned())).await?.is_some())
    }

    /// Removes at most `limit` expired entries. Returns how many it removed.
    pub(super) async fn purge(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        let delete = sqlx::query(
            "DELETE FROM revocations WHERE (seq, part) IN (SELECT seq, part FROM revocations \
             WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        );
        self.db.execute(delete.bind(now.as_unix()).bind(i64::from(limit))).await
    }
}

fn life_of(seconds: i64) -> Duration {
    match seconds {
        // No access token was issued since the record exists: those from before may live long.
        ..=0 => Policy::MAX_ACCESS_TOKEN_LIFETIME + LEEWAY,
        life => Duration::from_secs(life.unsigned_abs()),
    }
}

async fn insert(
    transaction: &mut Transaction<'_>,
    rows: &[(i64, i64, &Revoked)],
    ends_at: Timestamp,
    now: Timestamp,
) -> Stored<()> {
    let text = format!(
        "INSERT INTO revocations (seq, part, claim, value, owner, session_id, issued_before, \
         changed_at, expires_at) VALUES {}",
        rows_of_values(rows.len(), 9)
    );
    let mut insert = sqlx::query(AssertSqlSafe(text));
    for (seq, part, revoked) in rows {
        let Columns { claim, value, owner, session, before } = columns(revoked);
        let ends_at = match revoked {
            Revoked::Token(token) => token.ends_at,
            Revoked::Key { .. } => now.plus(KEYS_REMEMBERED),
            _ => ends_at,
        };
        insert = insert
            .bind(*seq)
            .bind(*part)
            .bind(claim)
            .bind(value)
            .bind(owner)
            .bind(session.map(|sid| sid.to_string()))
            .bind(before.map(Timestamp::as_unix))
            .bind(now.as_unix())
            .bind(ends_at.as_unix());
    }
    insert.execute(&mut *transaction).await?;
    Ok(())
}

/// The values of an entry in its row, besides numbers and times.
struct Columns {
    claim: &'static str,
    value: String,
    owner: Option<String>,
    session: Option<Uuid>,
    before: Option<Timestamp>,
}

fn columns(revoked: &Revoked) -> Columns {
    let named = |claim, value: &str| Columns {
        claim,
        value: value.to_owned(),
        owner: None,
        session: None,
        before: None,
    };
    let of_user = |claim, sid: &Uuid, user_id: &Uuid| Columns {
        owner: Some(user_id.to_string()),
        ..named(claim, &sid.to_string())
    };
    match revoked {
        Revoked::Session { sid, user_id } => of_user("sid", sid, user_id),
        Revoked::Ended { sid, user_id } => of_user("ended", sid, user_id),
        Revoked::Token(RevokedToken { jti, subject, session, issued_at, .. }) => Columns {
            owner: Some(subject.clone()),
            session: *session,
            before: issued_at.map(|at| at.plus(A_SECOND)),
            ..named("jti", jti)
        },
        Revoked::Subject { sub, before } => Columns { before: Some(*before), ..named("sub", sub) },
        Revoked::Client { client_id, before } => {
            Columns { before: Some(*before), ..named("client_id", client_id) }
        }
        Revoked::Key { kid } => named("kid", kid),
    }
}

/// The entry of a row; `None` for a kind that only a newer version understands.
fn read(row: &AnyRow) -> Stored<Option<Entry>> {
    let unreadable = || StorageError::corrupt("revocation");
    let value: String = row.try_get("value")?;
    let owner: Option<String> = row.try_get("owner")?;
    let session: Option<String> = row.try_get("session_id")?;
    let issued_before: Option<i64> = row.try_get("issued_before")?;
    let issued_before = issued_before.map(Timestamp::from_unix);
    let before = issued_before.ok_or_else(unreadable);
    let expires_at = Timestamp::from_unix(row.try_get("expires_at")?);
    let claim: String = row.try_get("claim")?;
    let revoked = match claim.as_str() {
        "sid" | "ended" => {
            let sid = value.parse().map_err(|_| unreadable())?;
            let user_id = owner.and_then(|id| id.parse().ok()).ok_or_else(unreadable)?;
            match claim.as_str() {
                "sid" => Revoked::Session { sid, user_id },
                _ => Revoked::Ended { sid, user_id },
            }
        }
        "jti" => Revoked::Token(RevokedToken {
            jti: value,
            subject: owner.ok_or_else(unreadable)?,
            session: session.and_then(|sid| sid.parse().ok()),
            issued_at: issued_before.map(|before| before.minus(A_SECOND)),
            ends_at: expires_at,
        }),
        "sub" => Revoked::Subject { sub: value, before: before? },
        "client_id" => Revoked::Client { client_id: value, before: before? },
        "kid" => Revoked::Key { kid: value },
        _ => return Ok(None),
    };
    Ok(Some(Entry { revoked, expires_at }))
}
