//! Bulk removal of requests: sorting has to keep up with the requests that anyone can make.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Outbox;
use crate::storage::{Stored, Value, rows_of_values, statement};

impl Outbox {
    /// Removes rows that are not sorted yet and lead to no message.
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
}
