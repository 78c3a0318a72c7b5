//! Keys in the database: public parts and times in the clear, private parts sealed, and a tag that
//! authenticates each row. The keys of an algorithm change together or not at all, and only from
//! the version that was read. This module verifies no tag: rows are claims until `tag` has
//! verified them.

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT kid, algorithm, public_key, sealed_private_key, created_at, activates_at, \
             deactivates_at, retires_at, revoked_at, tag FROM signing_keys ",
            $condition
        )
    };
}

mod load;
mod sealed;

use std::time::Duration;

use sqlx::Row;
use sqlx::any::AnyRow;

use load::{PAGE, next_page};

use super::algorithm::Algorithm;
use super::chain::Owed;
use super::rotation::{State, Times};
use super::{KeyError, PublicKey};
use crate::base::fault;
use crate::base::time::Timestamp;
use crate::storage::{Db, Statement, StorageError, Stored, Transaction};

/// A signing key as it is stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// RFC 7638 thumbprint, or the original name of an imported key.
    pub kid: String,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// SubjectPublicKeyInfo, base64.
    pub public_key: String,
    /// PKCS#8, sealed; or its id on the token; empty for a key that only verifies.
    pub private_key: String,
    /// When it starts and ends to be published and to sign.
    pub times: Times,
    /// When it was revoked as compromised.
    pub revoked_at: Option<Timestamp>,
    /// The tag that authenticates the row.
    pub tag: Option<String>,
}

impl StoredKey {
    /// Whether it is another issuer's, and only verifies here.
    pub fn is_foreign(&self) -> bool {
        self.private_key.is_empty()
    }

    /// Whether it is neither retired at `now` nor revoked, by the content of its row.
    pub fn is_published(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.times.state(now) != State::Retired
    }

    pub(crate) fn public(&self) -> Result<PublicKey, KeyError> {
        PublicKey::stored(&self.kid, self.algorithm, &self.public_key)
    }
}

/// A change of the keys of one algorithm.
pub struct Change<'a> {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The version that was read before the keys.
    pub from_version: i64,
    /// Another issuer's key that the added one replaces.
    pub replaced: Option<String>,
    /// Keys with new times and tags.
    pub changed: Vec<StoredKey>,
    /// A key that is added.
    pub added: Option<StoredKey>,
    /// The rows to ignore, since they do not verify.
    pub ignores: &'a (dyn Fn(&StoredKey) -> bool + Sync),
    /// The handover that a revocation requested, from now on.
    pub owed: Option<Owed>,
}

/// The stored state of the keys of one algorithm as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Raised by each change; 0 before the first.
    pub version: i64,
    /// The handover that the last revocation requested.
    pub owed: Option<Owed>,
}

/// Rows as read.
#[derive(Debug, Default)]
pub struct Rows {
    /// The readable rows, newest first.
    pub keys: Vec<StoredKey>,
    /// The names of the unreadable rows: of an unknown algorithm, or with a value of a wrong type.
    pub unreadable: Vec<String>,
}

/// The tables `signing_keys`, `key_chain_versions` and `sealed_secrets`.
#[derive(Clone)]
pub struct KeyStore {
    db: Db,
}

impl KeyStore {
    /// A store on `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    pub(crate) async fn is_empty(&self) -> Stored<bool> {
        let query = sqlx::query("SELECT kid FROM signing_keys LIMIT 1");
        Ok(self.db.fetch_optional(query).await?.is_none())
    }

    /// The key named `kid`.
    pub async fn find(&self, kid: &str) -> Stored<Option<StoredKey>> {
        // PostgreSQL's text cannot contain NUL.
        if kid.contains('\0') {
            return Ok(None);
        }
        let query = sqlx::query(select!("WHERE kid = $1")).bind(kid);
        self.db.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    /// The keys with this name, and those that are the same key under another name.
    pub async fn find_same(&self, kid: &str, spki: &str) -> Stored<Vec<StoredKey>> {
        let query =
            sqlx::query(select!("WHERE kid = $1 OR public_key = $2 LIMIT 10")).bind(kid).bind(spki);
        Ok(Rows::of(&self.db.fetch_all(query).await?).keys)
    }

    /// The version of the keys of `algorithm`, and what they owe. Read it before the keys.
    pub async fn head(&self, algorithm: Algorithm) -> Stored<Head> {
        let query = sqlx::query(
            "SELECT version, handover_since, handover_in FROM key_chain_versions \
             WHERE algorithm = $1",
        )
        .bind(algorithm.as_str());
        let row = self.db.fetch_optional(query).await?;
        Ok(row.map(|row| read_head(&row)).transpose()?.unwrap_or_default())
    }

    /// Applies `change` as a whole or not at all; `Conflict` when another change came first.
    pub async fn apply(&self, change: &Change<'_>) -> Stored<()> {
        self.db
            .write(async |transaction| {
                raise_version(transaction, change.algorithm, change.from_version).await?;
                owe(change).execute(&mut *transaction).await?;
                fault::point("keys.version_raised");
                if let Some(replaced) = &change.replaced {
                    changed_one(remove_foreign(replaced).execute(&mut *transaction).await?)?;
                }
                for key in &change.changed {
                    changed_one(update(key).execute(&mut *transaction).await?)?;
                    fault::point("keys.times_changed");
                }
                if let Some(added) = &change.added {
                    insert(added).execute(&mut *transaction).await?;
                }
                check_last(transaction, change).await?;
                fault::point("keys.before_commit");
                Ok(())
            })
            .await
    }

    /// Revokes a row whose tag does not verify here: it is revoked from `now` on and has no tag, so
    /// it can never be used. `Conflict` when another change came first.
    pub async fn withdraw(&self, key: &StoredKey, from_version: i64, now: Timestamp) -> Stored<()> {
        self.db
            .write(async |transaction| {
                raise_version(transaction, key.algorithm, from_version).await?;
                let update = sqlx::query(
                    "UPDATE signing_keys SET deactivates_at = COALESCE(deactivates_at, $1), \
                     retires_at = $1, revoked_at = $1, tag = NULL \
                     WHERE kid = $2 AND revoked_at IS NULL",
                )
                .bind(now.as_unix())
                .bind(key.kid.as_str());
                changed_one(update.execute(&mut *transaction).await?)
            })
            .await
    }
}

fn changed_one(result: sqlx::any::AnyQueryResult) -> Stored<()> {
    if result.rows_affected() == 1 { Ok(()) } else { Err(StorageError::Conflict) }
}

/// An `ahead` is checked to be at most 90 days.
fn whole_seconds(ahead: Duration) -> i64 {
    i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX)
}

fn read_head(row: &AnyRow) -> Stored<Head> {
    let since = row.try_get::<Option<i64>, _>("handover_since")?.map(Timestamp::from_unix);
    let ahead = row.try_get::<Option<i64>, _>("handover_in")?;
    let ahead = ahead.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
    let owed = since.map(|since| Owed { since, ahead });
    Ok(Head { version: row.try_get("version")?, owed })
}

fn remove_foreign(kid: &str) -> Statement<'_> {
    sqlx::query(
        "DELETE FROM signing_keys \
         WHERE kid = $1 AND sealed_private_key = '' AND revoked_at IS NULL",
    )
    .bind(kid)
}

/// Raises the version from `from_version`; `Conflict` when another change did.
async fn raise_version(
    transaction: &mut Transaction<'_>,
    algorithm: Algorithm,
    from_version: i64,
) -> Stored<()> {
    let raise = sqlx::query(
        "INSERT INTO key_chain_versions (algorithm, version) VALUES ($1, $2 + 1) \
         ON CONFLICT (algorithm) DO UPDATE SET version = key_chain_versions.version + 1 \
         WHERE key_chain_versions.version = $2",
    )
    .bind(algorithm.as_str())
    .bind(from_version);
    changed_one(raise.execute(&mut *transaction).await?)
}

fn owe<'a>(change: &Change<'_>) -> Statement<'a> {
    sqlx::query(
        "UPDATE key_chain_versions SET handover_since = $1, handover_in = $2 WHERE algorithm = $3",
    )
    .bind(change.owed.map(|owed| owed.since.as_unix()))
    .bind(change.owed.and_then(|owed| owed.ahead).map(whole_seconds))
    .bind(change.algorithm.as_str())
}

/// Checks that exactly one of the keys has no successor: two would sign for ever.
async fn check_last(transaction: &mut Transaction<'_>, change: &Change<'_>) -> Stored<()> {
    let (mut count, mut after) = (0, Some(String::new()));
    while let Some(last) = after {
        // A row without a tag is no key.
        let page = sqlx::query(select!(
            "WHERE kid > $1 AND algorithm = $2 AND deactivates_at IS NULL AND revoked_at IS NULL \
             AND tag IS NOT NULL ORDER BY kid LIMIT $3"
        ))
        .bind(last)
        .bind(change.algorithm.as_str())
        .bind(PAGE);
        let rows = page.fetch_all(&mut *transaction).await?;
        after = next_page(&rows);
        count += Rows::of(&rows).keys.iter().filter(|key| !(change.ignores)(key)).count();
    }
    if count <= 1 { Ok(()) } else { Err(StorageError::Conflict) }
}

fn update(key: &StoredKey) -> Statement<'_> {
    sqlx::query(
        "UPDATE signing_keys SET activates_at = $1, deactivates_at = $2, retires_at = $3, \
         revoked_at = $4, tag = $5, sealed_private_key = CASE WHEN $6 = '' THEN '' \
         ELSE sealed_private_key END WHERE kid = $7",
    )
    .bind(key.times.activates_at.as_unix())
    .bind(key.times.deactivates_at.map(Timestamp::as_unix))
    .bind(key.times.retires_at.map(Timestamp::as_unix))
    .bind(key.revoked_at.map(Timestamp::as_unix))
    .bind(key.tag.as_deref())
    // A key that only verifies from now on has no private part.
    .bind(key.private_key.as_str())
    .bind(key.kid.as_str())
}

fn insert(key: &StoredKey) -> Statement<'_> {
    sqlx::query(
        "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, \
         activates_at, deactivates_at, retires_at, revoked_at, tag) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
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
    .bind(key.tag.as_deref())
}

impl Rows {
    /// One unreadable row must not hide the others.
    fn of(rows: &[AnyRow]) -> Self {
        let mut all = Self::default();
        for row in rows {
            match read(row) {
                Ok(key) => all.keys.push(key),
                Err(_) => {
                    let kid: Result<String, _> = row.try_get("kid");
                    all.unreadable.push(kid.unwrap_or_else(|_| "(no name)".into()));
                }
            }
        }
        all
    }
}

fn read(row: &AnyRow) -> Stored<StoredKey> {
    let optional = |column| -> Stored<_> {
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
        tag: row.try_get("tag")?,
    })
}
