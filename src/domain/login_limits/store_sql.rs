//! Attempts in the SQL database, each change one guarded statement.

use sqlx::Row;

use crate::base::time::Timestamp;
use crate::storage::{Db, StorageError};

/// The store over a database.
pub struct SqlStore(pub(super) Db);

impl SqlStore {
    pub(super) async fn load(&self, key: &str) -> Result<Option<String>, StorageError> {
        let query = sqlx::query("SELECT record FROM login_attempts WHERE id = $1").bind(key);
        let row = self.0.fetch_optional(query).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    pub(super) async fn swap(
        &self,
        key: &str,
        held: Option<&str>,
        next: &str,
        expires_at: Timestamp,
    ) -> Result<bool, StorageError> {
        let change = match held {
            None => sqlx::query(
                "INSERT INTO login_attempts (id, record, expires_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (id) DO NOTHING",
            ),
            Some(_) => sqlx::query(
                "UPDATE login_attempts SET record = $2, expires_at = $3 \
                 WHERE id = $1 AND record = $4",
            ),
        };
        let change = change.bind(key).bind(next).bind(expires_at.as_unix());
        let change = match held {
            None => change,
            Some(held) => change.bind(held),
        };
        Ok(self.0.execute(change).await? == 1)
    }

    pub(super) async fn purge(&self, now: Timestamp, limit: u32) -> Result<u64, StorageError> {
        // The outer condition counts: a row may be used while the inner query reads it.
        let delete = sqlx::query(
            "DELETE FROM login_attempts WHERE expires_at <= $1 AND id IN \
             (SELECT id FROM login_attempts WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        )
        .bind(now.as_unix())
        .bind(i64::from(limit));
        self.0.execute(delete).await
    }
}
