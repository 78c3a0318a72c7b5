//! Clients in the database.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Client, ClientSecret, ClientType, GrantType, is_client_id};
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::domain::tokens::Scope;
use crate::storage::{Db, Statement, StorageError, Stored};

/// A query for clients with their secrets, one row for each secret or one without any.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT c.client_id, c.name, c.client_type, c.grant_types, c.scope, c.audience, \
             c.access_token_lifetime, c.disabled_at, c.created_at, c.claims, c.version, \
             s.fingerprint, \
             s.created_at AS secret_created_at, s.expires_at AS secret_expires_at \
             FROM clients c LEFT JOIN client_secrets s ON s.client_id = c.client_id ",
            $condition
        )
    };
}

mod administration;

/// The tables `clients` and `client_secrets`. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ClientStore {
    db: Db,
}

impl ClientStore {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Stores a client and its secrets; `Conflict` when its id is taken.
    pub(crate) async fn create(&self, client: &Client) -> Stored<()> {
        self.db
            .write(async |transaction| {
                let insert = sqlx::query(
                    "INSERT INTO clients (name, grant_types, scope, audience, \
                     access_token_lifetime, disabled_at, claims, client_id, client_type, \
                     created_at, updated_at, version) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
                );
                bind_changeable(insert, client)
                    .bind(client.client_id.clone())
                    .bind(client.client_type.as_str())
                    .bind(client.created_at.as_unix())
                    .bind(client.version)
                    .execute(&mut *transaction)
                    .await?;
                for secret in &client.secrets {
                    insert_secret(&client.client_id, secret).execute(&mut *transaction).await?;
                }
                Ok(())
            })
            .await
    }

    pub(crate) async fn find(&self, client_id: &str) -> Stored<Option<Client>> {
        // No other text is a client's id, and PostgreSQL's text cannot contain every character.
        if !is_client_id(client_id) {
            return Ok(None);
        }
        let query =
            sqlx::query(select!("WHERE c.client_id = $1 LIMIT 100")).bind(client_id.to_owned());
        Ok(collect(&self.db.fetch_all(query).await?)?.pop())
    }

    /// Adds a secret, lets the present ones expire at `others_expire_at`, and removes those that
    /// are expired at `now`. Returns `false` when no client has this id.
    pub(crate) async fn add_secret(
        &self,
        client_id: &str,
        secret: &ClientSecret,
        others_expire_at: Timestamp,
        now: Timestamp,
    ) -> Stored<bool> {
        self.db
            .write(async |transaction| {
                // Updating the client first serialises concurrent changes.
                let touched =
                    sqlx::query("UPDATE clients SET updated_at = $2, version = version + 1 WHERE client_id = $1")
                        .bind(client_id)
                        .bind(now.as_unix())
                        .execute(&mut *transaction)
                        .await?;
                if touched.rows_affected() == 0 {
                    return Ok(false);
                }
                sqlx::query(
                    "DELETE FROM client_secrets WHERE client_id = $1 AND expires_at IS NOT NULL",
                )
                .bind(client_id)
                .execute(&mut *transaction)
                .await?;
                let expire = if others_expire_at <= now {
                    sqlx::query("DELETE FROM client_secrets WHERE client_id = $1").bind(client_id)
                } else {
                    sqlx::query("UPDATE client_secrets SET expires_at = $2 WHERE client_id = $1")
                        .bind(client_id)
                        .bind(others_expire_at.as_unix())
                };
                expire.execute(&mut *transaction).await?;
                insert_secret(client_id, secret).execute(&mut *transaction).await?;
                Ok(true)
            })
            .await
    }

    /// The longest access-token lifetime that any client has of its own, in seconds.
    pub(crate) async fn longest_access_token_lifetime(&self) -> Stored<Option<i64>> {
        let query = sqlx::query(
            "SELECT CAST(MAX(access_token_lifetime) AS BIGINT) AS longest FROM clients",
        );
        let row = self.db.fetch_optional(query).await?;
        Ok(row.map(|row| row.try_get::<Option<i64>, _>("longest")).transpose()?.flatten())
    }
}

/// Binds `$1` to `$7`: name, grants, scope, audiences, lifetime, disabled_at and claims.
fn bind_changeable<'q>(statement: Statement<'q>, client: &Client) -> Statement<'q> {
    let grants: Vec<_> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    statement
        .bind(client.name.clone())
        .bind(grants.join(" "))
        .bind(client.scope.to_string())
        .bind(client.audiences.join(" "))
        .bind(client.access_token_lifetime.map(|lifetime| lifetime.as_secs() as i64))
        .bind(client.disabled_at.map(Timestamp::as_unix))
        .bind(client.claims.join(" "))
}

fn insert_secret<'q>(client_id: &'q str, secret: &'q ClientSecret) -> Statement<'q> {
    sqlx::query(
        "INSERT INTO client_secrets (fingerprint, client_id, created_at, expires_at) \
         VALUES ($1, $2, $3, $4)",
    )
    .bind(secret.fingerprint.to_string())
    .bind(client_id)
    .bind(secret.created_at.as_unix())
    .bind(secret.expires_at.map(Timestamp::as_unix))
}

/// Collects the rows of the join, in which a client's rows are adjacent, into clients.
fn collect(rows: &[AnyRow]) -> Stored<Vec<Client>> {
    let mut clients: Vec<Client> = Vec::new();
    for row in rows {
        let client_id: String = row.try_get("client_id")?;
        if clients.last().is_none_or(|last| last.client_id != client_id) {
            clients.push(read(row, client_id)?);
        }
        if let (Some(secret), Some(client)) = (read_secret(row)?, clients.last_mut()) {
            client.secrets.push(secret);
        }
    }
    Ok(clients)
}

fn read(row: &AnyRow, client_id: String) -> Stored<Client> {
    let words = |column: &str| -> Stored<Vec<String>> {
        let text: String = row.try_get(column)?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    let client_type = ClientType::parse(row.try_get("client_type")?);
    let scope: String = row.try_get("scope")?;
    let lifetime: Option<i64> = row.try_get("access_token_lifetime")?;
    let disabled_at: Option<i64> = row.try_get("disabled_at")?;
    Ok(Client {
        client_id,
        name: row.try_get("name")?,
        client_type: client_type.ok_or_else(|| StorageError::corrupt("client type"))?,
        // A grant that only a newer version supports is left out, not an error.
        grant_types: words("grant_types")?.iter().filter_map(|g| GrantType::parse(g)).collect(),
        scope: Scope::parse(&scope).map_err(|_| StorageError::corrupt("client scope"))?,
        audiences: words("audience")?,
        access_token_lifetime: lifetime
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(std::time::Duration::from_secs),
        disabled_at: disabled_at.map(Timestamp::from_unix),
        secrets: Vec::new(),
        created_at: Timestamp::from_unix(row.try_get("created_at")?),
        claims: words("claims")?,
        version: row.try_get("version")?,
    })
}

fn read_secret(row: &AnyRow) -> Stored<Option<ClientSecret>> {
    let Some(fingerprint) = row.try_get::<Option<String>, _>("fingerprint")? else {
        return Ok(None);
    };
    let expires_at: Option<i64> = row.try_get("secret_expires_at")?;
    Ok(Some(ClientSecret {
        fingerprint: Fingerprint::parse(&fingerprint)
            .ok_or_else(|| StorageError::corrupt("client secret"))?,
        created_at: Timestamp::from_unix(row.try_get("secret_created_at")?),
        expires_at: expires_at.map(Timestamp::from_unix),
    }))
}
