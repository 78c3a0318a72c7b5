//! Audit events in the database.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{Event, Filter, Kept, Kind, Place, actor};
use crate::base::time::Timestamp;
use crate::storage::{Db, Statement, Stored};

const HOUR: i64 = 3600;

pub(super) fn insert(id: String, event: &Event) -> Statement<'static> {
    let insert = sqlx::query(
        "INSERT INTO audit_events \
         (id, at, event, actor, subject, client_id, detail, address, request_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    bind(insert, id, event)
}

/// Appends `event` unless any instance did within the hour for the same kind and user or client.
pub(super) fn insert_once_an_hour(event: &Event) -> Statement<'static> {
    let now = event.initiator.at;
    let hour = now.as_unix().div_euclid(HOUR);
    // Within an hour of the clock the key decides; across its end, the row before.
    let id = |hour| format!("{}:{}:{hour}", event.kind.as_str(), event.bound_to());
    let insert = sqlx::query(
        "INSERT INTO audit_events \
         (id, at, event, actor, subject, client_id, detail, address, request_id) \
         SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), \
         CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS TEXT), \
         CAST($9 AS TEXT) \
         WHERE NOT EXISTS (SELECT 1 FROM audit_events WHERE id = CAST($10 AS TEXT) \
         AND at > CAST($11 AS BIGINT)) \
         ON CONFLICT (id) DO NOTHING",
    );
    bind(insert, id(hour), event).bind(id(hour - 1)).bind(now.as_unix() - HOUR)
}

pub(super) fn delete_kind(kind: Kind, before: Timestamp, limit: u32) -> Statement<'static> {
    sqlx::query(
        "DELETE FROM audit_events WHERE id IN \
         (SELECT id FROM audit_events WHERE event = $1 AND at < $2 ORDER BY at LIMIT $3)",
    )
    .bind(kind.as_str())
    .bind(before.as_unix())
    .bind(i64::from(limit))
}

pub(super) fn delete(before: Timestamp, limit: u32) -> Statement<'static> {
    sqlx::query(
        "DELETE FROM audit_events WHERE id IN \
         (SELECT id FROM audit_events WHERE at < $1 ORDER BY at LIMIT $2)",
    )
    .bind(before.as_unix())
    .bind(i64::from(limit))
}

fn bind(insert: Statement<'static>, id: String, event: &Event) -> Statement<'static> {
    insert
        .bind(id)
        .bind(event.initiator.at.as_unix())
        .bind(event.kind.as_str())
        .bind(event.initiator.actor.to_string())
        .bind(event.subject.clone())
        .bind(event.client_id.clone())
        .bind(event.detail.clone())
        .bind(event.initiator.origin.address.clone())
        .bind(event.initiator.origin.request_id.clone())
}

/// Up to `limit` events, newest first; of one second, in the order of their ids.
pub(super) async fn list(
    db: &Db,
    filter: &Filter,
    after: Option<&Place>,
    limit: i64,
) -> Stored<Vec<Kept>> {
    let mut text = String::from(
        "SELECT id, at, event, actor, subject, client_id, detail, address, request_id \
         FROM audit_events WHERE at >= $1 AND at < $2",
    );
    let mut values = Vec::new();
    // One text a combination, so that each has the index that serves it.
    let wanted = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
    let actors = filter.actor.iter().flat_map(|actor| actor::meant_by(actor)).collect();
    for (column, wanted) in
        [("event", wanted(&filter.event)), ("subject", wanted(&filter.subject)), ("actor", actors)]
    {
        if wanted.is_empty() {
            continue;
        }
        let first = values.len() + 4;
        let places: Vec<_> =
            (first..first + wanted.len()).map(|place| format!("${place}")).collect();
        text += &format!(" AND {column} IN ({})", places.join(", "));
        values.extend(wanted);
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

fn read(row: &AnyRow) -> Stored<Kept> {
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
