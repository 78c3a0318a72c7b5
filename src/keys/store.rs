//! Keys in the database: public parts and times in the clear, private parts sealed. The keys of an
//! algorithm change together or not at all, and only from the version that was read.

use std::time::Duration;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::algorithm::Algorithm;
use super::chain::{Link, Owed};
use super::rotation::Times;
use super::{KeyError, PublicKey};
use crate::fault;
use crate::storage::{Db, Statement, StorageError};
use crate::time::Timestamp;

/// More rows than this are never loaded; what is left out is the oldest.
const MOST_KEYS: i64 = 500;

/// A signing key as it is stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// RFC 7638 thumbprint, or the name that an imported key had before.
    pub kid: String,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// SubjectPublicKeyInfo, base64.
    pub public_key: String,
    /// PKCS#8, sealed; or where the token holds it; empty for a key that only verifies.
    pub private_key: String,
    /// The times of its life.
    pub times: Times,
    /// When it was withdrawn as compromised.
    pub revoked_at: Option<Timestamp>,
}

impl StoredKey {
    /// Whether it is another issuer's, and only verifies here.
    pub fn is_foreign(&self) -> bool {
        self.private_key.is_empty()
    }

    /// The public half.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        PublicKey::stored(&self.kid, self.algorithm, &self.public_key)
    }
}

/// What is to become of the keys of one algorithm.
pub struct Change<'a> {
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// The version that was read before the keys were.
    pub from_version: i64,
    /// Another issuer's key that makes room for the one that is added.
    pub replaced: Option<String>,
    /// Keys whose times change, in an order in which no two are ever without a successor.
    pub changed: Vec<Link>,
    /// A key that is added.
    pub added: Option<StoredKey>,
    /// The key among them that is compromised, and since when.
    pub revoked: Option<(&'a str, Timestamp)>,
    /// The handover that a revocation asked for, as it is from now on.
    pub owed: Option<Owed>,
}

/// What is stored of the keys of one algorithm as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Raised by each change; 0 before the first.
    pub version: i64,
    /// The handover that the last revocation asked for.
    pub owed: Option<Owed>,
}

/// The tables `signing_keys`, `key_chains` and `sealed_secrets`.
#[derive(Clone)]
pub struct KeyStore {
    db: Db,
}

/// A query for whole keys, with its condition.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT kid, algorithm, public_key, sealed_private_key, created_at, activates_at, \
             deactivates_at, retires_at, revoked_at FROM signing_keys ",
            $condition
        )
    };
}

impl KeyStore {
    /// A store on `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// All keys, newest first.
    pub async fn load_all(&self) -> Result<Vec<StoredKey>, StorageError> {
        let query = sqlx::query(select!("ORDER BY activates_at DESC, created_at DESC LIMIT $1"))
            .bind(MOST_KEYS);
        self.db.fetch_all(query).await?.iter().map(read).collect()
    }

    /// The keys that are not retired at `now`, newest first. A revoked one is not among them,
    /// however far behind the clock is.
    pub async fn load_published(&self, now: Timestamp) -> Result<Vec<StoredKey>, StorageError> {
        let query = sqlx::query(select!(
            "WHERE (retires_at IS NULL OR retires_at > $1) AND revoked_at IS NULL \
             ORDER BY activates_at DESC, created_at DESC LIMIT $2"
        ))
        .bind(now.as_unix())
        .bind(MOST_KEYS);
        self.db.fetch_all(query).await?.iter().map(read).collect()
    }

    /// The key named `kid`.
    pub async fn find(&self, kid: &str) -> Result<Option<StoredKey>, StorageError> {
        // PostgreSQL's text cannot hold it.
        if kid.contains('\0') {
            return Ok(None);
        }
        let query = sqlx::query(select!("WHERE kid = $1")).bind(kid);
        self.db.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    /// The keys of this name, and those that are this very key under another.
    pub async fn find_same(&self, kid: &str, spki: &str) -> Result<Vec<StoredKey>, StorageError> {
        let query =
            sqlx::query(select!("WHERE kid = $1 OR public_key = $2 LIMIT 10")).bind(kid).bind(spki);
        self.db.fetch_all(query).await?.iter().map(read).collect()
    }

    /// The version of the keys of `algorithm`, and what they owe: to be read before they are.
    pub async fn head(&self, algorithm: Algorithm) -> Result<Head, StorageError> {
        let query = sqlx::query(
            "SELECT version, handover_since, handover_in FROM key_chains WHERE algorithm = $1",
        )
        .bind(algorithm.as_str());
        let row = self.db.fetch_optional(query).await?;
        Ok(row.map(|row| read_head(&row)).transpose()?.unwrap_or_default())
    }

    /// Makes `change`, all or nothing; `Conflict` when another came first.
    pub async fn apply(&self, change: &Change<'_>) -> Result<(), StorageError> {
        self.db
            .write(async |transaction| {
                let raise = sqlx::query(
                    "INSERT INTO key_chains (algorithm, version, handover_since, handover_in) \
                     VALUES ($1, $2 + 1, $3, $4) \
                     ON CONFLICT (algorithm) DO UPDATE SET version = key_chains.version + 1, \
                     handover_since = excluded.handover_since, handover_in = excluded.handover_in \
                     WHERE key_chains.version = $2",
                )
                .bind(change.algorithm.as_str())
                .bind(change.from_version)
                .bind(change.owed.map(|owed| owed.since.as_unix()))
                .bind(change.owed.and_then(|owed| owed.lead).map(whole_seconds));
                if raise.execute(&mut **transaction).await?.rows_affected() == 0 {
                    return Err(StorageError::Conflict);
                }
                fault::point("keys.version_raised");
                if let Some(replaced) = &change.replaced {
                    changed_one(remove_foreign(replaced).execute(&mut **transaction).await?)?;
                }
                for link in &change.changed {
                    let revoked = change.revoked.filter(|(kid, _)| *kid == link.kid);
                    let update = update(link, revoked.map(|(_, at)| at));
                    changed_one(update.execute(&mut **transaction).await?)?;
                    fault::point("keys.times_changed");
                }
                if let Some(added) = &change.added {
                    insert(added).execute(&mut **transaction).await?;
                }
                fault::point("keys.before_commit");
                Ok(())
            })
            .await
    }

    /// Puts `new` in the place of `old`, the same private key sealed otherwise. `false` when it is
    /// not `old` any more.
    pub async fn replace_private_key(
        &self,
        kid: &str,
        old: &str,
        new: &str,
    ) -> Result<bool, StorageError> {
        let update = sqlx::query(
            "UPDATE signing_keys SET sealed_private_key = $1 \
             WHERE kid = $2 AND sealed_private_key = $3",
        )
        .bind(new)
        .bind(kid)
        .bind(old);
        Ok(self.db.execute(update).await? == 1)
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

    /// Puts `new` in the place of `old`, the same secret sealed otherwise. `false` when it is not
    /// `old` any more.
    pub async fn replace_secret(
        &self,
        name: &str,
        old: &str,
        new: &str,
    ) -> Result<bool, StorageError> {
        let update = sqlx::query(
            "UPDATE sealed_secrets SET sealed_value = $1 WHERE name = $2 AND sealed_value = $3",
        )
        .bind(new)
        .bind(name)
        .bind(old);
        Ok(self.db.execute(update).await? == 1)
    }
}

/// What is not there any more was changed by another.
fn changed_one(result: sqlx::any::AnyQueryResult) -> Result<(), StorageError> {
    if result.rows_affected() == 1 { Ok(()) } else { Err(StorageError::Conflict) }
}

/// A lead is checked to be at most 90 days.
fn whole_seconds(lead: Duration) -> i64 {
    i64::try_from(lead.as_secs()).unwrap_or(i64::MAX)
}

fn read_head(row: &AnyRow) -> Result<Head, StorageError> {
    let since = row.try_get::<Option<i64>, _>("handover_since")?.map(Timestamp::from_unix);
    let lead = row.try_get::<Option<i64>, _>("handover_in")?;
    let lead = lead.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
    let owed = since.map(|since| Owed { since, lead });
    Ok(Head { version: row.try_get("version")?, owed })
}

fn remove_foreign(kid: &str) -> Statement<'_> {
    sqlx::query(
        "DELETE FROM signing_keys \
         WHERE kid = $1 AND sealed_private_key = '' AND revoked_at IS NULL",
    )
    .bind(kid)
}

fn update(link: &Link, revoked_at: Option<Timestamp>) -> Statement<'_> {
    sqlx::query(
        "UPDATE signing_keys SET activates_at = $1, deactivates_at = $2, retires_at = $3, \
         revoked_at = COALESCE($4, revoked_at) WHERE kid = $5",
    )
    .bind(link.times.activates_at.as_unix())
    .bind(link.times.deactivates_at.map(Timestamp::as_unix))
    .bind(link.times.retires_at.map(Timestamp::as_unix))
    .bind(revoked_at.map(Timestamp::as_unix))
    .bind(link.kid.as_str())
}

fn insert(key: &StoredKey) -> Statement<'_> {
    sqlx::query(
        "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, \
         activates_at, deactivates_at, retires_at, revoked_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(key.kid.as_str())
    .bind(key.algorithm.as_str())
    .bind(key.public_key.as_str())
    .bind(key.private_key.as_str())
    .bind(key.times.created_at.as_unix())
    .bind(key.times.activates_at.as_unix())
    .bind(key.times.deactivates_at.map(Timestamp::as_unix))
    .bind(key.times.retires_at.map(Timestamp::as_unix))
    .bind(key.revoked_at.map(Timestamp::as_unix))
}

fn read(row: &AnyRow) -> Result<StoredKey, StorageError> {
    let optional = |column| -> Result<_, StorageError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_unix))
    };
    let algorithm: String = row.try_get("algorithm")?;
    Ok(StoredKey {
        kid: row.try_get("kid")?,
        algorithm: algorithm
            .parse()
            .map_err(|_| StorageError::corrupt("algorithm of a signing key"))?,
        public_key: row.try_get("public_key")?,
        private_key: row.try_get("sealed_private_key")?,
        times: Times {
            created_at: Timestamp::from_unix(row.try_get("created_at")?),
            activates_at: Timestamp::from_unix(row.try_get("activates_at")?),
            deactivates_at: optional("deactivates_at")?,
            retires_at: optional("retires_at")?,
        },
        revoked_at: optional("revoked_at")?,
    })
}
