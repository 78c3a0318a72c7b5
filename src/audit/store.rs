//! Audit events in the database.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{Event, Filter, Kept, Place};
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

/// Up to `limit` events, newest first; of one second, in the order of their ids.
pub(super) async fn list(
    db: &Db,
    filter: &Filter,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Kept>, StorageError> {
    let mut text = String::from(
        "SELECT id, at, event, actor, subject, client_id, detail, address, request_id \
         FROM audit_events WHERE at >= $1 AND at < $2",
    );
    let mut values = Vec::new();
    // One text a combination, so that each has the index that serves it.
    for (column, value) in
        [("event", &filter.event), ("subject", &filter.subject), ("actor", &filter.actor)]
    {
        if let Some(value) = value {
            values.push(value.clone());
            text += &format!(" AND {column} = ${}", values.len() + 3);
        }
    }
    if after.is_some() {
        let next = values.len() + 4;
        text += &format!(" AND (at, id) < (${next}, ${})", next + 1);
    }
    text += " ORDER BY at DESC, id DESC LIMIT $3";
    let mut query = sqlx::query(AssertSqlSafe(text))
        .bind(filter.since.map_or(i64::MIN, Timestamp::as_unix))
        .bind(filter.until.map_or(i64::MAX, Timestamp::as_unix))
        .bind(limit);
    for value in values {
        query = query.bind(value);
    }
    if let Some(place) = after {
        query = query.bind(place.at.as_unix()).bind(place.id.clone());
    }
    db.fetch_all(query).await?.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Kept, StorageError> {
    Ok(Kept {
        place: Place { id: row.try_get("id")?, at: Timestamp::from_unix(row.try_get("at")?) },
        event: row.try_get("event")?,
        actor: row.try_get("actor")?,
        subject: row.try_get("subject")?,
        client_id: row.try_get("client_id")?,
        detail: row.try_get("detail")?,
        address: row.try_get("address")?,
        request_id: row.try_get("request_id")?,
    })
}
