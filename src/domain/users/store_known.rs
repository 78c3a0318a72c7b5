//! Which of many addresses belong to an account or a sign-up, in one statement.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Row};

use super::UserStore;
use crate::base::time::Timestamp;
use crate::storage::{Stored, rows_of_values};

impl UserStore {
    /// Those of `keys`, addresses in every form that they may be stored under, that have an account
    /// or a pending sign-up.
    pub async fn known_email_keys(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Stored<HashSet<String>> {
        // PostgreSQL's text cannot contain NUL, and the query would fail.
        let keys: Vec<_> = keys.iter().filter(|key| !key.contains('\0')).collect();
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let values = rows_of_values(1, keys.len());
        let query = format!(
            "SELECT email_key FROM users WHERE email_key IN {values} UNION \
             SELECT email_key FROM pending_signups WHERE email_key IN {values} \
             AND expires_at > ${}",
            keys.len() + 1
        );
        let query = sqlx::query(AssertSqlSafe(query));
        let query = keys.into_iter().fold(query, |query, key| query.bind(key.clone()));
        let rows = self.db.fetch_all(query.bind(now.as_unix())).await?;
        rows.iter().map(|row| Ok(row.try_get("email_key")?)).collect()
    }
}
