//! Which of many login names have an account, in one statement.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Row};

use super::UserStore;
use crate::storage::{StorageError, rows_of_values};

impl UserStore {
    /// Those of `keys`, login names in their comparison form, that have an account.
    pub async fn known_email_keys(&self, keys: &[String]) -> Result<HashSet<String>, StorageError> {
        // PostgreSQL's text cannot hold a NUL, and fails where it should find nothing.
        let keys: Vec<_> = keys.iter().filter(|key| !key.contains('\0')).collect();
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let query = format!(
            "SELECT email_key FROM users WHERE email_key IN {}",
            rows_of_values(1, keys.len())
        );
        let query = sqlx::query(AssertSqlSafe(query));
        let query = keys.into_iter().fold(query, |query, key| query.bind(key.clone()));
        let rows = self.db.fetch_all(query).await?;
        rows.iter().map(|row| Ok(row.try_get("email_key")?)).collect()
    }
}
