//! The audit trail, for administrators: `/admin/audit`. It can be read, and nothing else.

use crate::base::time::Timestamp;
use crate::domain::audit::{Filter, Kept, Place};
use crate::http::administrator::{Administrator, shown};
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::http::paging::{Kind, Page, PageParams};
use crate::views::event::EventView;

/// List events, newest first
///
/// Events that changed something are kept. Refusals, which any caller can cause, are kept once an
/// hour for one kind and user or client; the log has one a second of each kind.
#[utoipa::path(
    get, path = "/admin/audit", tag = "Administration: audit",
    params(
        PageParams,
        ("event" = Option<String>, Query, description = "The kind of event, such as `user.disabled`"),
        ("subject" = Option<String>, Query, description = "What it happened to"),
        ("actor" = Option<String>, Query, description = "The actor: `user:ID`, `client:ID`, `cli`, `system`, \
            `anonymous`, or a bare id"),
        ("since" = Option<String>, Query, description = "Not before this time, RFC 3339 in UTC"),
        ("until" = Option<String>, Query, description = "Before this time, RFC 3339 in UTC"),
    ),
    responses(
        (status = 200, description = "A page of events", body = Page<EventView>),
        (status = 400, description = "A bad parameter"),
    ),
)]
pub(crate) async fn list_events(admin: Administrator) -> Answer {
    let mut query = Query::read(&admin.request);
    let (limit, cursor) = (query.limit(), query.cursor(Kind::Events));
    let after = cursor.as_deref().map(parse_place);
    if let Some(None) = after {
        query.reject("cursor", "must be a next_cursor of this list");
    }
    let filter = Filter {
        event: query.take("event"),
        subject: query.take("subject"),
        actor: query.take("actor"),
        since: query.time("since"),
        until: query.time("until"),
    };
    query.finish()?;
    let audit = &admin.app.stores.audit;
    // One more than is shown, to find out whether there are more.
    let found = audit.list(&filter, after.flatten().as_ref(), i64::from(limit) + 1).await?;
    let place = |kept: &Kept| format!("{}:{}", kept.place.at.as_unix(), kept.place.id);
    Ok(shown(&Page::<EventView>::of(found, limit, Kind::Events, place)))
}

fn parse_place(text: &str) -> Option<Place> {
    let (at, id) = text.split_once(':')?;
    Some(Place { at: Timestamp::from_unix(at.parse().ok()?), id: id.to_owned() })
}
