//! The sealed values in the database: the private parts of keys with the tags of their rows, and
//! other secrets of the service. Each replaces the value that was read, or changes nothing.

use sqlx::Row;

use super::{KeyStore, StoredKey, changed_one};
use crate::base::time::Timestamp;
use crate::storage::{Statement, Stored};

impl KeyStore {
    /// Stores the tags of `tagged`, with the sealed private parts, for rows that have none, and
    /// records under the name `done` that this is finished, in one transaction. `Conflict` when
    /// another process was first.
    pub async fn tag_all(
        &self,
        tagged: &[StoredKey],
        done: (&str, &str),
        now: Timestamp,
    ) -> Stored<()> {
        self.db
            .write(async |transaction| {
                let (name, value) = done;
                insert_secret(name, value, now).execute(&mut *transaction).await?;
                for key in tagged {
                    let update = sqlx::query(
                        "UPDATE signing_keys SET tag = $1, sealed_private_key = $2 \
                         WHERE kid = $3 AND tag IS NULL",
                    )
                    .bind(key.tag.as_deref())
                    .bind(key.private_key.as_str())
                    .bind(key.kid.as_str());
                    changed_one(update.execute(&mut *transaction).await?)?;
                }
                Ok(())
            })
            .await
    }

    /// Replaces the private part and the tag of `old` by those of `new`: the same, sealed under
    /// another key. Returns `false` when they are not those of `old` any more.
    pub async fn replace_sealed(&self, old: &StoredKey, new: &StoredKey) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE signing_keys SET sealed_private_key = $1, tag = $2 \
             WHERE kid = $3 AND sealed_private_key = $4 AND tag = $5",
        )
        .bind(new.private_key.as_str())
        .bind(new.tag.as_deref())
        .bind(old.kid.as_str())
        .bind(old.private_key.as_str())
        .bind(old.tag.as_deref());
        Ok(self.db.execute(update).await? == 1)
    }

    /// The sealed secret `name`, if present.
    pub async fn find_secret(&self, name: &str) -> Stored<Option<String>> {
        let query =
            sqlx::query("SELECT sealed_value FROM sealed_secrets WHERE name = $1").bind(name);
        let row = self.db.fetch_optional(query).await?;
        Ok(row.map(|row| row.try_get("sealed_value")).transpose()?)
    }

    /// Stores a sealed secret; `Conflict` when `name` is taken.
    pub async fn create_secret(
        &self,
        name: &str,
        sealed_value: &str,
        now: Timestamp,
    ) -> Stored<()> {
        self.db.execute(insert_secret(name, sealed_value, now)).await.map(drop)
    }

    /// Replaces `old` by `new`, the same secret sealed differently. Returns `false` when the stored
    /// one is not `old` any more.
    pub async fn replace_secret(&self, name: &str, old: &str, new: &str) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE sealed_secrets SET sealed_value = $1 WHERE name = $2 AND sealed_value = $3",
        )
        .bind(new)
        .bind(name)
        .bind(old);
        Ok(self.db.execute(update).await? == 1)
    }
}

fn insert_secret<'q>(name: &'q str, sealed_value: &'q str, now: Timestamp) -> Statement<'q> {
    sqlx::query("INSERT INTO sealed_secrets (name, sealed_value, created_at) VALUES ($1, $2, $3)")
        .bind(name)
        .bind(sealed_value)
        .bind(now.as_unix())
}
