//! Bulk storage and lookup of users, for imports.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{COLUMNS, INSERT, User, UserStore, bind, read};
use crate::base::fault;
use crate::domain::users::Metadata;
use crate::domain::users::import::IMPORTED_ID;
use crate::storage::{StorageError, Stored, rows_of_values, statement};

/// The number of users that one statement stores. More would save PostgreSQL little, and cost
/// SQLite much: to name a placeholder it scans those before it, at each binding.
const ROWS: usize = 25;
const LOOKED_FOR: usize = 100;

impl UserStore {
    /// Stores those of `users` whose address and id are both free, in one short transaction; of two
    /// conflicting ones, the first. Returns ids and comparison forms of the addresses of the stored
    /// ones.
    pub async fn create_missing(&self, users: &[User]) -> Stored<HashSet<(Uuid, String)>> {
        let stored = match self.insert_all(users, "").await {
            // Returning the stored ones costs as much as a third of storing them; mostly all are
            // stored.
            Ok(_) => users.iter().map(|user| (user.id, user.email_key.clone())).collect(),
            Err(StorageError::Conflict) => {
                let missing = " ON CONFLICT DO NOTHING RETURNING id, email_key";
                let rows = self.insert_all(users, missing).await?;
                rows.iter().map(identity).collect::<Result<_, _>>()?
            }
            Err(error) => return Err(error),
        };
        fault::point("users.committed");
        Ok(stored)
    }

    /// Stores `users` by statements that end with `end`; the rows that these return.
    async fn insert_all(&self, users: &[User], end: &str) -> Stored<Vec<AnyRow>> {
        let statements: Vec<_> = users
            .chunks(ROWS)
            .map(|users| (format!("{INSERT}{}{end}", rows_of_values(users.len(), COLUMNS)), users))
            .collect();
        self.db
            .write(async |transaction| {
                let mut rows = Vec::new();
                for (text, users) in &statements {
                    let insert = sqlx::query(AssertSqlSafe(text.as_str()));
                    let insert = users.iter().fold(insert, bind);
                    rows.extend(insert.fetch_all(&mut *transaction).await?);
                }
                fault::point("users.before_commit");
                Ok(rows)
            })
            .await
    }

    /// The users that have one of these addresses, in their comparison form, or one of these ids.
    pub async fn find_any(&self, keys: &[&str], ids: &[Uuid]) -> Stored<Vec<User>> {
        let mut users = Vec::new();
        for keys in keys.chunks(LOOKED_FOR) {
            users.extend(
                self.find_where("email_key", keys.iter().map(|key| (*key).to_owned())).await?,
            );
        }
        for ids in ids.chunks(LOOKED_FOR) {
            users.extend(self.find_where("id", ids.iter().map(Uuid::to_string)).await?);
        }
        Ok(users)
    }

    /// Up to `limit` users whose id sorts after `after`, in that order: the id, and the imported id
    /// if there is one.
    pub async fn list_imported_ids(
        &self,
        after: &str,
        limit: i64,
    ) -> Stored<Vec<(String, Option<String>)>> {
        let query = statement(
            "SELECT id, metadata FROM users WHERE id > $1 ORDER BY id LIMIT $2",
            &[&after, &limit],
        );
        let row = |row: &AnyRow| {
            let metadata: Option<String> = row.try_get("metadata")?;
            let metadata = metadata.filter(|text| text.contains(IMPORTED_ID));
            let metadata: Metadata = serde_json::from_str(metadata.as_deref().unwrap_or("{}"))
                .map_err(|_| StorageError::corrupt("user metadata"))?;
            let id = metadata.get(IMPORTED_ID).and_then(Value::as_str);
            Ok((row.try_get("id")?, id.map(str::to_owned)))
        };
        self.db.fetch_all(query).await?.iter().map(row).collect()
    }

    pub(super) async fn find_where(
        &self,
        column: &'static str,
        values: impl ExactSizeIterator<Item = String>,
    ) -> Stored<Vec<User>> {
        let places: Vec<_> = (1..=values.len()).map(|number| format!("${number}")).collect();
        let condition = format!("WHERE {column} IN ({})", places.join(", "));
        let text = format!("{}{condition}", select!(""));
        // There are as many texts as lengths, so prepared statements would not pay off.
        let query = sqlx::query(AssertSqlSafe(text)).persistent(false);
        let query = values.fold(query, |query, value| query.bind(value));
        self.db.fetch_all(query).await?.iter().map(read).collect()
    }
}

fn identity(row: &AnyRow) -> Stored<(Uuid, String)> {
    let id: String = row.try_get("id")?;
    let id = id.parse().map_err(|_| StorageError::corrupt("user id"))?;
    Ok((id, row.try_get("email_key")?))
}
