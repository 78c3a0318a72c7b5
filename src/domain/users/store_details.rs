//! Changes of a user's roles and metadata by administrators. Each change reads and then writes, so
//! each is guarded by the user's version.

use sqlx::Row;

use super::store::metadata_text;
use super::{Metadata, User, UserStore};
use crate::base::time::Timestamp;
use crate::storage::{Statement, StorageError};

/// Whether the user has a role, given as ` name `: the spaces keep it from matching a part of
/// another name.
macro_rules! has_role {
    () => {
        "REPLACE(' ' || roles || ' ', $1, ' ') <> (' ' || roles || ' ')"
    };
}

/// The number of users that one statement covers: each has to end within its time limit.
const BATCH: i64 = 2000;

/// The outcome of a change of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The change is stored.
    Done,
    /// The user was changed or removed concurrently.
    Stale,
    /// No other active user has the role that must not be lost.
    Last,
}

impl UserStore {
    /// Sets the roles of `user`, if it is unchanged since it was read.
    pub async fn replace_roles(
        &self,
        user: &User,
        roles: &[String],
        now: Timestamp,
    ) -> Result<Replaced, StorageError> {
        let done = self.db.execute(update_roles(user, roles, now)).await? > 0;
        Ok(if done { Replaced::Done } else { Replaced::Stale })
    }

    /// The same, unless no active user would then have `role`.
    pub async fn replace_roles_unless_last(
        &self,
        user: &User,
        roles: &[String],
        role: &str,
        now: Timestamp,
    ) -> Result<Replaced, StorageError> {
        self.db
            .write(async |transaction| {
                // Updated before the count, so that concurrent changes of the last two are
                // serialised.
                let holders = sqlx::query(concat!(
                    "UPDATE users SET version = version WHERE disabled_at IS NULL AND ",
                    has_role!()
                ))
                .bind(between_spaces(role))
                .execute(&mut **transaction)
                .await?
                .rows_affected();
                if user.is_active() && holders <= 1 {
                    return Ok(Replaced::Last);
                }
                let changed = update_roles(user, roles, now).execute(&mut **transaction).await?;
                Ok(if changed.rows_affected() > 0 { Replaced::Done } else { Replaced::Stale })
            })
            .await
    }

    /// How many users have `role`.
    pub async fn count_with_role(&self, role: &str) -> Result<u64, StorageError> {
        let (mut holders, mut after) = (0, String::new());
        while let Some(last) = self.batch_after(&after).await? {
            let query = sqlx::query(concat!(
                "SELECT CAST(COUNT(*) AS BIGINT) AS holders FROM users \
                 WHERE id > $2 AND id <= $3 AND ",
                has_role!()
            ))
            .bind(between_spaces(role))
            .bind(after)
            .bind(last.clone());
            let row = self.db.fetch_optional(query).await?;
            let some: i64 = row.map_or(Ok(0), |row| row.try_get("holders"))?;
            holders += some.unsigned_abs();
            after = last;
        }
        Ok(holders)
    }

    /// Takes `role` from every user who has it. Returns how many had it.
    pub async fn take_role(&self, role: &str, now: Timestamp) -> Result<u64, StorageError> {
        let (mut taken, mut after) = (0, String::new());
        while let Some(last) = self.batch_after(&after).await? {
            // Every name gets two spaces of its own, so that a repeated name is removed twice.
            let update = sqlx::query(concat!(
                "UPDATE users SET roles = TRIM(REPLACE(REPLACE(\
                 REPLACE(' ' || roles || ' ', ' ', '  '), $1, ''), '  ', ' ')), \
                 updated_at = $4, version = version + 1 WHERE id > $2 AND id <= $3 AND ",
                has_role!()
            ))
            .bind(between_spaces(role))
            .bind(after)
            .bind(last.clone())
            .bind(now.as_unix());
            taken += self.db.execute(update).await?;
            after = last;
        }
        Ok(taken)
    }

    /// The last of the next users by id; `None` when there are no more.
    async fn batch_after(&self, id: &str) -> Result<Option<String>, StorageError> {
        let query = sqlx::query(
            "SELECT MAX(id) AS last FROM \
             (SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT $2) AS batch",
        )
        .bind(id.to_owned())
        .bind(BATCH);
        match self.db.fetch_optional(query).await? {
            Some(row) => Ok(row.try_get("last")?),
            None => Ok(None),
        }
    }

    /// Replaces the metadata of `user`, if it is unchanged since it was read.
    pub async fn replace_metadata(
        &self,
        user: &User,
        metadata: &Metadata,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = sqlx::query(
            "UPDATE users SET metadata = $3, updated_at = $4, version = version + 1 \
             WHERE id = $1 AND version = $2",
        )
        .bind(user.id.to_string())
        .bind(user.version)
        .bind(metadata_text(metadata))
        .bind(now.as_unix());
        Ok(self.db.execute(update).await? > 0)
    }
}

fn update_roles(user: &User, roles: &[String], now: Timestamp) -> Statement<'static> {
    sqlx::query(
        "UPDATE users SET roles = $3, updated_at = $4, version = version + 1 \
         WHERE id = $1 AND version = $2",
    )
    .bind(user.id.to_string())
    .bind(user.version)
    .bind(roles.join(" "))
    .bind(now.as_unix())
}

fn between_spaces(role: &str) -> String {
    format!(" {role} ")
}
