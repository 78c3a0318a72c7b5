//! What administrators do to registered clients: list them, and change or remove one if its version
//! is the one that they read.

use super::{ClientStore, bind_changeable, collect};
use crate::base::time::Timestamp;
use crate::domain::clients::Client;
use crate::storage::{Stored, Transaction};

impl ClientStore {
    /// Up to `limit` clients whose id sorts after `after`, by id.
    pub(crate) async fn page(&self, after: &str, limit: i64) -> Stored<Vec<Client>> {
        // The limit counts clients, and a client has a row for each of its few secrets.
        let query = sqlx::query(select!(
            "WHERE c.client_id IN (SELECT client_id FROM clients WHERE client_id > $1 \
             ORDER BY client_id LIMIT $2) ORDER BY c.client_id, s.created_at LIMIT 20000"
        ))
        .bind(after.to_owned())
        .bind(limit);
        collect(&self.db.fetch_all(query).await?)
    }

    /// Replaces `client`, except for secrets, by `next`, if `client` is unchanged since it was
    /// read. Returns `false` when it was changed or removed.
    pub(crate) async fn replace_in(
        &self,
        transaction: &mut Transaction<'_>,
        client: &Client,
        next: &Client,
        now: Timestamp,
    ) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE clients SET name = $1, grant_types = $2, scope = $3, audience = $4, \
             access_token_lifetime = $5, disabled_at = $6, claims = $7, updated_at = $8, \
             version = version + 1 WHERE client_id = $9 AND version = $10 AND created_at = $11",
        );
        let update = bind_changeable(update, next)
            .bind(now.as_unix())
            .bind(client.client_id.clone())
            .bind(client.version)
            .bind(client.created_at.as_unix());
        Ok(update.execute(&mut *transaction).await?.rows_affected() > 0)
    }

    /// Removes `client` with its secrets, if it is unchanged since it was read. Returns `false`
    /// when it was changed or removed.
    pub(crate) async fn remove_in(
        &self,
        transaction: &mut Transaction<'_>,
        client: &Client,
    ) -> Stored<bool> {
        let delete = sqlx::query(
            "DELETE FROM clients WHERE client_id = $1 AND version = $2 AND created_at = $3",
        )
        .bind(client.client_id.clone())
        .bind(client.version)
        .bind(client.created_at.as_unix());
        Ok(delete.execute(&mut *transaction).await?.rows_affected() > 0)
    }
}
