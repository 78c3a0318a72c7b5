//! Users in the database. Every statement that ends a user's sessions raises `session_epoch` in the
//! same step as the change that causes it.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{Email, User};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::storage::{Db, Statement, StorageError, Stored, Transaction, rows_of_values};

macro_rules! columns {
    () => {
        "SELECT id, email, email_key, name, password_hash, roles, session_epoch, email_verified_at, \
         disabled_at, created_at, updated_at, metadata, version"
    };
}

macro_rules! select {
    ($condition:literal) => {
        concat!(columns!(), " FROM users ", $condition)
    };
}

mod addresses;
mod administration;
mod import;

pub use administration::{Changed, Filter, Page};

/// The start of a statement that stores users; the values are for [`bind`].
const INSERT: &str = "INSERT INTO users (id, email, email_key, name, password_hash, roles, \
                      session_epoch, email_verified_at, disabled_at, created_at, updated_at, \
                      metadata, version) VALUES ";

const COLUMNS: usize = 13;

/// The table `users`. Cheap to clone.
#[derive(Clone)]
pub struct UserStore {
    pub(super) db: Db,
}

impl UserStore {
    /// A store on `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Stores a new user; `Conflict` when the address is taken, in whichever form.
    pub async fn create(&self, user: &User) -> Stored<()> {
        self.db
            .write(async |transaction| {
                match self.create_unless_taken_in(transaction, user).await? {
                    true => Ok(()),
                    false => Err(StorageError::Conflict),
                }
            })
            .await
    }

    /// Stores a new user within `transaction`. Returns `false`, after the same work, when the
    /// address is taken.
    pub async fn create_unless_taken_in(
        &self,
        transaction: &mut Transaction<'_>,
        user: &User,
    ) -> Stored<bool> {
        if self.is_taken_in(transaction, user).await? {
            return Ok(false);
        }
        let insert =
            format!("{INSERT}{} ON CONFLICT (email_key) DO NOTHING", rows_of_values(1, COLUMNS));
        let insert = bind(sqlx::query(AssertSqlSafe(insert)), user);
        Ok(insert.execute(&mut *transaction).await?.rows_affected() > 0)
    }

    /// The user with this id.
    pub async fn find(&self, id: Uuid) -> Stored<Option<User>> {
        let query = sqlx::query(select!("WHERE id = $1")).bind(id.to_string());
        self.db.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    /// The user with this login name, given in its comparison form.
    pub async fn find_by_email_key(&self, key: &str) -> Stored<Option<User>> {
        // PostgreSQL's text cannot contain NUL, and the query would fail.
        if key.contains('\0') {
            return Ok(None);
        }
        let query = sqlx::query(select!("WHERE email_key = $1")).bind(key.to_owned());
        self.db.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    /// Up to `limit` users whose address sorts after `after`, by address.
    pub async fn list(&self, after: &str, limit: i64) -> Stored<Vec<User>> {
        let query = sqlx::query(select!(
            "WHERE email_key > $1 \
             ORDER BY email_key LIMIT $2"
        ))
        .bind(after.to_owned())
        .bind(limit);
        self.db.fetch_all(query).await?.iter().map(read).collect()
    }

    /// Whether the table has any user.
    pub async fn is_empty(&self) -> Stored<bool> {
        let row = self.db.fetch_optional(sqlx::query("SELECT id FROM users LIMIT 1")).await?;
        Ok(row.is_none())
    }

    /// Changes the display name. Returns `false` when no user has this id.
    pub async fn set_name(&self, id: Uuid, name: Option<&str>, now: Timestamp) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE users SET name = $2, updated_at = $3, version = version + 1 WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(name.map(str::to_owned))
        .bind(now.as_unix());
        Ok(self.db.execute(update).await? > 0)
    }

    /// Sets a new password hash and ends all sessions. `false` when the user is gone or, where an `epoch`
    /// is given, disabled or not in that session epoch any more: no other password, not signed out
    /// everywhere.
    pub async fn set_password(
        &self,
        id: Uuid,
        hash: &Secret<String>,
        epoch: Option<i64>,
        now: Timestamp,
    ) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE users SET password_hash = $2, session_epoch = session_epoch + 1, \
             updated_at = $3, version = version + 1 WHERE id = $1 AND (CAST($4 AS BIGINT) IS NULL \
             OR (session_epoch = CAST($4 AS BIGINT) AND disabled_at IS NULL))",
        )
        .bind(id.to_string())
        .bind(hash.expose().clone())
        .bind(now.as_unix())
        .bind(epoch);
        Ok(self.db.execute(update).await? > 0)
    }

    /// Replaces `old` by a hash of the same password under the present settings. A password that
    /// was changed concurrently stays.
    pub async fn replace_hash(
        &self,
        id: Uuid,
        old: &Secret<String>,
        new: &Secret<String>,
    ) -> Stored<bool> {
        let update =
            sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
                .bind(id.to_string())
                .bind(old.expose().clone())
                .bind(new.expose().clone());
        Ok(self.db.execute(update).await? > 0)
    }

    /// Ends every present session of the user.
    pub async fn end_sessions(&self, id: Uuid) -> Stored<bool> {
        let update =
            sqlx::query("UPDATE users SET session_epoch = session_epoch + 1 WHERE id = $1")
                .bind(id.to_string());
        Ok(self.db.execute(update).await? > 0)
    }
}

impl User {
    /// A new, enabled user.
    pub fn new(
        id: Uuid,
        email: &Email,
        name: Option<String>,
        password_hash: Secret<String>,
        roles: Vec<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            email: email.address().to_owned(),
            email_key: email.key().to_owned(),
            name,
            password_hash,
            roles,
            session_epoch: 0,
            email_verified_at: None,
            disabled_at: None,
            created_at: now,
            updated_at: now,
            metadata: super::Metadata::new(),
            version: 0,
        }
    }
}

/// Binds the values of one user, in the order of [`INSERT`].
fn bind<'q>(insert: Statement<'q>, user: &User) -> Statement<'q> {
    insert
        .bind(user.id.to_string())
        .bind(user.email.clone())
        .bind(user.email_key.clone())
        .bind(user.name.clone())
        .bind(user.password_hash.expose().clone())
        .bind(user.roles.join(" "))
        .bind(user.session_epoch)
        .bind(user.email_verified_at.map(Timestamp::as_unix))
        .bind(user.disabled_at.map(Timestamp::as_unix))
        .bind(user.created_at.as_unix())
        .bind(user.updated_at.as_unix())
        .bind(metadata_text(&user.metadata))
        .bind(user.version)
}

/// An empty object is stored as NULL.
fn metadata_text(metadata: &super::Metadata) -> Option<String> {
    let text = || serde_json::Value::Object(metadata.clone()).to_string();
    (!metadata.is_empty()).then(text)
}

fn read(row: &AnyRow) -> Stored<User> {
    let time = |column| -> Stored<_> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_unix))
    };
    let id: String = row.try_get("id")?;
    let roles: String = row.try_get("roles")?;
    let metadata: Option<String> = row.try_get("metadata")?;
    Ok(User {
        id: id.parse().map_err(|_| StorageError::corrupt("user id"))?,
        email: row.try_get("email")?,
        email_key: row.try_get("email_key")?,
        name: row.try_get("name")?,
        password_hash: Secret::new(row.try_get("password_hash")?),
        roles: roles.split_whitespace().map(str::to_owned).collect(),
        session_epoch: row.try_get("session_epoch")?,
        email_verified_at: time("email_verified_at")?,
        disabled_at: time("disabled_at")?,
        created_at: Timestamp::from_unix(row.try_get("created_at")?),
        updated_at: Timestamp::from_unix(row.try_get("updated_at")?),
        metadata: serde_json::from_str(metadata.as_deref().unwrap_or("{}"))
            .map_err(|_| StorageError::corrupt("user metadata"))?,
        version: row.try_get("version")?,
    })
}
