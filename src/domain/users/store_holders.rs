//! The holders of a role: how many there are, and its removal from all of them.

use sqlx::Row;

use super::UserStore;
use crate::base::time::Timestamp;
use crate::storage::{Stored, statement};

/// Whether the user has a role, given as ` name `: between spaces it is no part of another name.
macro_rules! has_role {
    () => {
        "REPLACE(' ' || roles || ' ', $1, ' ') <> (' ' || roles || ' ')"
    };
}

/// How many users one statement looks at: each has to end within its time.
const BATCH: i64 = 2000;

impl UserStore {
    /// How many users have `role`.
    pub async fn count_with_role(&self, role: &str) -> Stored<u64> {
        let (mut holders, mut after) = (0, String::new());
        while let Some(last) = self.batch_after(&after).await? {
            let text = concat!(
                "SELECT CAST(COUNT(*) AS BIGINT) AS holders FROM users \
                 WHERE id > $2 AND id <= $3 AND ",
                has_role!()
            );
            let query = statement(text, &[&between_spaces(role), &after, &last]);
            let row = self.db.fetch_optional(query).await?;
            let some: i64 = row.map_or(Ok(0), |row| row.try_get("holders"))?;
            holders += some.unsigned_abs();
            after = last;
        }
        Ok(holders)
    }

    /// Takes `role` from every user who has it; how many had.
    pub async fn take_role(&self, role: &str, now: Timestamp) -> Stored<u64> {
        let (mut taken, mut after) = (0, String::new());
        while let Some(last) = self.batch_after(&after).await? {
            // Every name with two spaces of its own, so that one that stands twice goes twice.
            let text = concat!(
                "UPDATE users SET roles = TRIM(REPLACE(REPLACE(\
                 REPLACE(' ' || roles || ' ', ' ', '  '), $1, ''), '  ', ' ')), \
                 updated_at = $4, version = version + 1 WHERE id > $2 AND id <= $3 AND ",
                has_role!()
            );
            let update = statement(text, &[&between_spaces(role), &after, &last, &now]);
            taken += self.db.execute(update).await?;
            after = last;
        }
        Ok(taken)
    }

    /// The last of the next users by id; `None` when there are no more.
    async fn batch_after(&self, id: &str) -> Stored<Option<String>> {
        let query = statement(
            "SELECT MAX(id) AS last FROM \
             (SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT $2) AS batch",
            &[&id, &BATCH],
        );
        match self.db.fetch_optional(query).await? {
            Some(row) => Ok(row.try_get("last")?),
            None => Ok(None),
        }
    }
}

fn between_spaces(role: &str) -> String {
    format!(" {role} ")
}
