//! What becomes of many requests in the outbox in one statement: sorting has to keep up with whatever
//! anybody asks for.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Outbox;
use crate::storage::{StorageError, rows_of_values};

impl Outbox {
    /// Removes rows that are not sorted yet and come to nothing.
    pub async fn remove_unsorted(&self, ids: &[Uuid]) -> Result<(), StorageError> {
        if ids.is_empty() {
            return Ok(());
        }
        let delete = format!(
            "DELETE FROM mail_outbox WHERE sorted_at IS NULL AND id IN {}",
            rows_of_values(1, ids.len())
        );
        let delete = sqlx::query(AssertSqlSafe(delete));
        let delete = ids.iter().fold(delete, |delete, id| delete.bind(id.to_string()));
        self.db.execute(delete).await.map(drop)
    }
}
