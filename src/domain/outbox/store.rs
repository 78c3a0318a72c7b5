//! The tables of the outbox. A row is requested, sorted (whether there is a message to send, and to
//! whom) and then delivered. Every step is one guarded statement, so that of many instances one
//! takes it, and a row whose delivery was cut off is claimed again.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::Notify;
use uuid::Uuid;

use super::Kind;
use crate::base::time::Timestamp;
use crate::storage::{
    Db, Statement, StorageError, Stored, Transaction, Value, rows_of_values, statement,
};

/// The interval between two messages of one kind to a user or address, where anyone can request them.
const MIN_INTERVAL_SECONDS: i64 = 60;
/// The number of such messages within [`WINDOW`].
const MAX_IN_WINDOW: i64 = 5;
/// The period in which the messages of one kind to a user or address are counted.
pub const WINDOW: Duration = Duration::from_secs(3600);
/// The number of messages for sign-ups to an address within [`WINDOW`]: one for each sign-up that may
/// be pending for it, and one that replaces the oldest.
const MAX_SIGN_UPS: i64 = 6;
const MAX_ERROR_BYTES: usize = 300;

/// A message that is requested.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The row's name, from which the message's token is made.
    pub id: Uuid,
    /// The subject.
    pub kind: Kind,
    /// The address that it goes to.
    pub recipient: String,
    /// The user that it concerns, where one is known.
    pub user_id: Option<Uuid>,
    /// The only session epoch in which it is still wanted.
    pub epoch: Option<i64>,
}

/// A row of the outbox.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What was requested.
    pub entry: Entry,
    /// When it was requested.
    pub created_at: Timestamp,
    /// The number of deliveries that were begun.
    pub attempts: i64,
    /// When it may be claimed next.
    pub due_at: Timestamp,
    /// The reason why the last delivery failed.
    pub last_error: Option<String>,
}

/// The tables `mail_outbox` and `mail_limits`. Cheap to clone; clones wake the same loops. Requests
/// that are not sorted yet and messages have as many places each, so that requests, which anyone can
/// make, never displace messages.
#[derive(Clone)]
pub struct Outbox {
    db: Db,
    limit: i64,
    asked: Arc<Notify>,
    sorted: Arc<Notify>,
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, kind, recipient, user_id, epoch, created_at, attempts, due_at, last_error \
             FROM mail_outbox ",
            $condition
        )
    };
}

impl Outbox {
    /// An outbox in `db` in which up to `limit` messages may wait, and as many requests.
    pub fn new(db: Db, limit: u32) -> Self {
        Self { db, limit: limit.into(), asked: Arc::default(), sorted: Arc::default() }
    }

    /// Requests a message, to be sorted later. `Unavailable` while the outbox is full.
    pub async fn ask(&self, entry: &Entry, now: Timestamp) -> Stored<()> {
        let inserted = self.db.execute(insert(entry, None, self.limit, now)).await?;
        self.wake();
        not_full(inserted)
    }

    /// The same within `transaction`; [`wake`](Self::wake) when it has committed.
    pub async fn ask_in(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry,
        now: Timestamp,
    ) -> Stored<()> {
        not_full(transaction.execute(insert(entry, None, self.limit, now)).await?)
    }

    /// Adds a message about the change that `transaction` makes, even to a full outbox.
    pub async fn tell_in(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry,
        now: Timestamp,
    ) -> Stored<()> {
        transaction.execute(insert(entry, Some(now), i64::MAX, now)).await.map(drop)
    }

    /// Wakes the loops of this process.
    pub fn wake(&self) {
        self.asked.notify_one();
        self.sorted.notify_one();
    }

    /// Waits until this process has received a request.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Waits until this process has sorted a request.
    pub async fn sorted(&self) {
        self.sorted.notified().await;
    }

    /// Up to `limit` rows that are to be sorted, oldest first.
    pub async fn unsorted(&self, limit: i64) -> Stored<Vec<Waiting>> {
        let query = statement(select!("WHERE sorted_at IS NULL ORDER BY id LIMIT $1"), &[&limit]);
        Ok(readable(&self.db.fetch_all(query).await?))
    }

    /// Replaces a request by the message `entry`, to be delivered.
    pub async fn set_sorted(&self, entry: &Entry, now: Timestamp) -> Stored<()> {
        let Entry { id, kind, recipient, user_id, epoch } = entry;
        let update = statement(
            "UPDATE mail_outbox SET kind = $2, recipient = $3, user_id = $4, epoch = $5, \
             sorted_at = $6 WHERE id = $1 AND sorted_at IS NULL",
            &[id, &kind.as_str(), recipient, user_id, epoch, &now],
        );
        self.db.execute(update).await?;
        self.sorted.notify_one();
        Ok(())
    }

    /// Whether a message equal to `entry` waits already.
    pub async fn has_same(&self, entry: &Entry) -> Stored<bool> {
        let Entry { id, kind, recipient, user_id, epoch } = entry;
        let query = statement(
            "SELECT id FROM mail_outbox WHERE user_id = $1 AND kind = $2 AND recipient = $3 \
             AND id <> $4 AND sorted_at IS NOT NULL AND COALESCE(epoch, -1) = $5 LIMIT 1",
            &[user_id, &kind.as_str(), recipient, id, &epoch.unwrap_or(-1)],
        );
        Ok(self.db.fetch_optional(query).await?.is_some())
    }

    /// Counts the row `id` against the messages of `kind` that `subject`, a user or an address, may
    /// get; `false` when none is left. A row that was counted already passes again.
    pub async fn admit(&self, kind: Kind, subject: &str, id: Uuid, now: Timestamp) -> Stored<bool> {
        Ok(self.db.execute(admission(kind, subject, id, now)).await? > 0)
    }

    /// The same within `transaction`.
    pub async fn admit_in(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry,
        user_id: Uuid,
        now: Timestamp,
    ) -> Stored<bool> {
        let admit = admission(entry.kind, &user_id.to_string(), entry.id, now);
        Ok(transaction.execute(admit).await? > 0)
    }

    /// Removes rows of the kind of `entry` for its user and another recipient.
    pub async fn supersede_in(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry,
    ) -> Stored<()> {
        let delete = statement(
            "DELETE FROM mail_outbox WHERE user_id = $1 AND kind = $2 AND recipient <> $3",
            &[&entry.user_id, &entry.kind.as_str(), &entry.recipient],
        );
        transaction.execute(delete).await.map(drop)
    }

    /// Deletes counts that have no effect any more.
    pub async fn purge(&self, now: Timestamp) -> Stored<()> {
        let delete =
            statement("DELETE FROM mail_limits WHERE last_at <= $1", &[&now.minus(WINDOW)]);
        self.db.execute(delete).await.map(drop)
    }

    /// Up to `limit` rows that may be delivered now, the longest due first.
    pub async fn due(&self, limit: i64, now: Timestamp) -> Stored<Vec<Uuid>> {
        let query = statement(
            "SELECT id FROM mail_outbox WHERE due_at <= $1 AND sorted_at IS NOT NULL \
             ORDER BY due_at, id LIMIT $2",
            &[&now, &limit],
        );
        self.db.fetch_all(query).await?.iter().map(read_id).collect()
    }

    /// Claims a row for delivery until `until`; `None` when another instance has claimed it. A claim
    /// that is not settled in time, because its process was killed, is free again.
    pub async fn claim(
        &self,
        id: Uuid,
        until: Timestamp,
        now: Timestamp,
    ) -> Stored<Option<Waiting>> {
        let update = statement(
            "UPDATE mail_outbox SET due_at = $2, attempts = attempts + 1 \
             WHERE id = $1 AND due_at <= $3 AND sorted_at IS NOT NULL \
             RETURNING id, kind, recipient, user_id, epoch, created_at, attempts, due_at, last_error",
            &[&id, &until, &now],
        );
        self.db.fetch_optional(update).await?.as_ref().map(read).transpose()
    }

    /// Puts a claimed row off until `due_at`, unless another instance has claimed it since.
    pub async fn put_off(&self, claimed: &Waiting, due_at: Timestamp, error: &str) -> Stored<()> {
        let error = &error[..error.floor_char_boundary(MAX_ERROR_BYTES)];
        let update = statement(
            "UPDATE mail_outbox SET due_at = $2, last_error = $3 WHERE id = $1 AND attempts = $4",
            &[&claimed.entry.id, &due_at, &error, &claimed.attempts],
        );
        self.db.execute(update).await.map(drop)
    }

    /// Removes a row, delivered or not wanted any more; `false` when it was gone.
    pub async fn remove(&self, id: Uuid) -> Stored<bool> {
        let delete = statement("DELETE FROM mail_outbox WHERE id = $1", &[&id]);
        Ok(self.db.execute(delete).await? > 0)
    }

    /// Removes rows that are not sorted yet and lead to no message; in bulk, since sorting has to keep
    /// up with the requests that anyone can make.
    pub async fn remove_unsorted(&self, ids: &[Uuid]) -> Stored<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let delete = format!(
            "DELETE FROM mail_outbox WHERE sorted_at IS NULL AND id IN {}",
            rows_of_values(1, ids.len())
        );
        let ids: Vec<_> = ids.iter().map(|id| id as &dyn Value).collect();
        self.db.execute(statement(AssertSqlSafe(delete), &ids)).await.map(drop)
    }

    /// The number of rows.
    pub async fn count(&self) -> Stored<i64> {
        let query = sqlx::query("SELECT CAST(COUNT(*) AS BIGINT) AS waiting FROM mail_outbox");
        let row = self.db.fetch_optional(query).await?;
        Ok(row.map(|row| row.try_get("waiting")).transpose()?.unwrap_or(0))
    }

    /// Up to `limit` rows after `after`, oldest first, for listing.
    pub async fn list(&self, after: &str, limit: i64) -> Stored<Vec<Waiting>> {
        let query = statement(select!("WHERE id > $1 ORDER BY id LIMIT $2"), &[&after, &limit]);
        Ok(readable(&self.db.fetch_all(query).await?))
    }
}

fn admission(kind: Kind, subject: &str, id: Uuid, now: Timestamp) -> Statement<'static> {
    let interval = match kind {
        // A user who mistyped it asks again immediately, perhaps an instance whose clock is behind.
        Kind::EmailChange => -MIN_INTERVAL_SECONDS,
        // A stranger who signs up with the same address does not delay the owner's message.
        Kind::SignUp => -MIN_INTERVAL_SECONDS,
        _ => MIN_INTERVAL_SECONDS,
    };
    let before = now.as_unix() - interval;
    let max = if kind == Kind::SignUp { MAX_SIGN_UPS } else { MAX_IN_WINDOW };
    statement(
        "INSERT INTO mail_limits (kind, subject, last_id, last_at, started_at, times) \
         VALUES ($1, $2, $3, $4, $4, 1) \
         ON CONFLICT (kind, subject) DO UPDATE SET \
         times = CASE WHEN mail_limits.last_id = $3 THEN mail_limits.times \
                      WHEN mail_limits.started_at <= $6 THEN 1 \
                      ELSE mail_limits.times + 1 END, \
         started_at = CASE WHEN mail_limits.started_at <= $6 THEN $4 \
                           ELSE mail_limits.started_at END, \
         last_id = $3, last_at = $4 \
         WHERE mail_limits.last_id = $3 OR (mail_limits.last_at <= $5 \
         AND (mail_limits.started_at <= $6 OR mail_limits.times < $7))",
        &[&kind.as_str(), &subject, &id, &now, &before, &now.minus(WINDOW), &max],
    )
}

fn not_full(inserted: u64) -> Stored<()> {
    match inserted {
        0 => Err(StorageError::Unavailable("the outbox is full".into())),
        _ => Ok(()),
    }
}

fn insert(
    entry: &Entry,
    sorted_at: Option<Timestamp>,
    limit: i64,
    now: Timestamp,
) -> Statement<'static> {
    let Entry { id, kind, recipient, user_id, epoch } = entry;
    statement(
        "INSERT INTO mail_outbox (id, kind, recipient, user_id, epoch, created_at, sorted_at, \
         attempts, due_at, last_error) \
         SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), \
         CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), 0, CAST($6 AS BIGINT), NULL \
         WHERE (SELECT COUNT(*) FROM mail_outbox WHERE sorted_at IS NULL) < CAST($8 AS BIGINT) \
         AND (SELECT COUNT(*) FROM mail_outbox WHERE sorted_at IS NOT NULL) < CAST($8 AS BIGINT)",
        &[id, &kind.as_str(), recipient, user_id, epoch, &now, &sorted_at, &limit],
    )
}

fn read_id(row: &AnyRow) -> Stored<Uuid> {
    let id: String = row.try_get("id")?;
    id.parse().map_err(|_| StorageError::corrupt("id of a message"))
}

/// The rows that this version reads; those of a newer version are left to it and delay no others.
fn readable(rows: &[AnyRow]) -> Vec<Waiting> {
    rows.iter().filter_map(|row| read(row).ok()).collect()
}

fn read(row: &AnyRow) -> Stored<Waiting> {
    let kind: String = row.try_get("kind")?;
    let user_id: Option<String> = row.try_get("user_id")?;
    let user_id = user_id.map(|id| id.parse()).transpose();
    let entry = Entry {
        id: read_id(row)?,
        kind: Kind::parse(&kind).ok_or_else(|| StorageError::corrupt("kind of a message"))?,
        recipient: row.try_get("recipient")?,
        user_id: user_id.map_err(|_| StorageError::corrupt("user of a message"))?,
        epoch: row.try_get("epoch")?,
    };
    Ok(Waiting {
        entry,
        created_at: Timestamp::from_unix(row.try_get("created_at")?),
        attempts: row.try_get("attempts")?,
        due_at: Timestamp::from_unix(row.try_get("due_at")?),
        last_error: row.try_get("last_error")?,
    })
}
