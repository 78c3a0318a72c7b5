//! Keys in the database: public parts and times in the clear, private parts sealed.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::rotation::{Handover, Times};
use crate::storage::{Db, StorageError};
use crate::time::Timestamp;

/// More rows than this are never loaded; retired keys are the oldest.
const MOST_KEYS: i64 = 200;

/// A signing key as it is stored.
pub struct StoredKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// The JWS algorithm.
    pub algorithm: String,
    /// SubjectPublicKeyInfo, base64.
    pub public_key: String,
    /// PKCS#8, sealed.
    pub sealed_private_key: String,
    /// The times of its life.
    pub times: Times,
}

/// The tables `signing_keys` and `sealed_secrets`.
#[derive(Clone)]
pub struct KeyStore {
    db: Db,
}

const INSERT: &str = "INSERT INTO signing_keys \
    (kid, algorithm, public_key, sealed_private_key, created_at, activates_at, deactivates_at, \
     retires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

impl KeyStore {
    /// A store on `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// All keys, newest first.
    pub async fn load_all(&self) -> Result<Vec<StoredKey>, StorageError> {
        let query = sqlx::query(
            "SELECT kid, algorithm, public_key, sealed_private_key, created_at, activates_at, \
             deactivates_at, retires_at FROM signing_keys \
             ORDER BY activates_at DESC, created_at DESC LIMIT $1",
        )
        .bind(MOST_KEYS);
        self.db.fetch_all(query).await?.iter().map(read).collect()
    }

    /// Stores the first key of its algorithm; `Conflict` when there already is one.
    pub async fn create(&self, key: &StoredKey) -> Result<(), StorageError> {
        self.db.execute(insert(key)).await.map(drop)
    }

    /// Hands over from the newest key `old` to `new`, in one transaction. `Conflict` when `old`
    /// has a successor by now.
    pub async fn replace_newest(
        &self,
        old: &str,
        new: &StoredKey,
        handover: Handover,
    ) -> Result<(), StorageError> {
        self.db
            .write(async |transaction| {
                let update = sqlx::query(
                    "UPDATE signing_keys SET deactivates_at = $1, retires_at = $2 \
             WHERE kid = $3 AND deactivates_at IS NULL",
                )
                .bind(handover.at.as_unix())
                .bind(handover.old_retires_at.as_unix())
                .bind(old);
                if update.execute(&mut **transaction).await?.rows_affected() == 0 {
                    return Err(StorageError::Conflict);
                }
                insert(new).execute(&mut **transaction).await?;
                Ok(())
            })
            .await
    }

    /// The sealed secret `name`, if there is one.
    pub async fn find_secret(&self, name: &str) -> Result<Option<String>, StorageError> {
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
    ) -> Result<(), StorageError> {
        let insert = sqlx::query(
            "INSERT INTO sealed_secrets (name, sealed_value, created_at) VALUES ($1, $2, $3)",
        )
        .bind(name)
        .bind(sealed_value)
        .bind(now.as_unix());
        self.db.execute(insert).await.map(drop)
    }
}

fn insert(key: &StoredKey) -> crate::storage::Statement<'_> {
    sqlx::query(INSERT)
        .bind(key.kid.as_str())
        .bind(key.algorithm.as_str())
        .bind(key.public_key.as_str())
        .bind(key.sealed_private_key.as_str())
        .bind(key.times.created_at.as_unix())
        .bind(key.times.activates_at.as_unix())
        .bind(key.times.deactivates_at.map(Timestamp::as_unix))
        .bind(key.times.retires_at.map(Timestamp::as_unix))
}

fn read(row: &AnyRow) -> Result<StoredKey, StorageError> {
    let optional = |column| -> Result<_, StorageError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_unix))
    };
    Ok(StoredKey {
        kid: row.try_get("kid")?,
        algorithm: row.try_get("algorithm")?,
        public_key: row.try_get("public_key")?,
        sealed_private_key: row.try_get("sealed_private_key")?,
        times: Times {
            created_at: Timestamp::from_unix(row.try_get("created_at")?),
            activates_at: Timestamp::from_unix(row.try_get("activates_at")?),
            deactivates_at: optional("deactivates_at")?,
            retires_at: optional("retires_at")?,
        },
    })
}
