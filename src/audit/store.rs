//! Audit events in the database.

use super::Event;
use crate::storage::{Db, StorageError};
use crate::time::Timestamp;

/// Appends `event` to the table `audit_events`.
pub(super) async fn insert(
    db: &Db,
    id: String,
    event: &Event<'_>,
    now: Timestamp,
) -> Result<(), StorageError> {
    let insert = sqlx::query(
        "INSERT INTO audit_events \
         (id, at, event, actor, subject, client_id, detail, address, request_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(now.as_unix())
    .bind(event.kind.as_str())
    .bind(event.actor.to_string())
    .bind(event.subject.clone())
    .bind(event.client_id.map(str::to_owned))
    .bind(event.detail.clone())
    .bind(event.origin.address.clone())
    .bind(event.origin.request_id.clone());
    db.execute(insert).await.map(drop)
}
