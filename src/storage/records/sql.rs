//! Records in the SQL database, each change one guarded statement. Their table is named after the
//! first records that were kept in it.

use sqlx::Row;

use crate::base::time::Timestamp;
use crate::storage::{Db, StorageError};

/// Records in a database. Cheap to clone.
#[derive(Clone)]
pub struct SqlRecords(pub(super) Db);

impl SqlRecords {
    pub(super) async fn find(
        &self,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StorageError> {
        let query =
            sqlx::query("SELECT record FROM login_attempts WHERE id = $1 AND expires_at > $2")
                .bind(key)
                .bind(now.as_unix());
        let row = self.0.fetch_optional(query).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    pub(super) async fn insert_if_absent(
        &self,
        key: &str,
        value: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let insert = sqlx::query(
            "INSERT INTO login_attempts (id, record, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET record = $2, expires_at = $3 \
             WHERE login_attempts.expires_at <= $4",
        )
        .bind(key)
        .bind(value)
        .bind(expires_at.as_unix())
        .bind(now.as_unix());
        Ok(self.0.execute(insert).await? == 1)
    }

    pub(super) async fn compare_and_swap(
        &self,
        key: &str,
        held: &str,
        next: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = sqlx::query(
            "UPDATE login_attempts SET record = $2, expires_at = $3 \
             WHERE id = $1 AND record = $4 AND expires_at > $5",
        )
        .bind(key)
        .bind(next)
        .bind(expires_at.as_unix())
        .bind(held)
        .bind(now.as_unix());
        Ok(self.0.execute(update).await? == 1)
    }

    pub(super) async fn take(
        &self,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StorageError> {
        let delete = sqlx::query(
            "DELETE FROM login_attempts WHERE id = $1 AND expires_at > $2 RETURNING record",
        )
        .bind(key)
        .bind(now.as_unix());
        let row = self.0.fetch_optional(delete).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    pub(super) async fn delete_expired(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StorageError> {
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
