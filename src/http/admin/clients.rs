//! Clients, for administrators: `/admin/clients`. Read here, changed in `changes`; the same as
//! `signet clients` does. A secret is in the answer to the request that made it, and in no other.

pub(crate) mod changes;

use actix_web::http::header::EntityTag;
use actix_web::web::Path;

use crate::domain::clients::Client;
use crate::http::administrator::{Administrator, shown};
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::http::paging::{Kind, Page, PageParams};
use crate::http::precondition;
use crate::views::client::ClientView;

/// List clients by id
#[utoipa::path(
    get, path = "/admin/clients", tag = "Administration: clients",
    params(PageParams),
    responses(
        (status = 200, description = "A page of them", body = Page<ClientView>),
        (status = 400, description = "A bad parameter"),
    ),
)]
pub(crate) async fn list_clients(admin: Administrator) -> Answer {
    let mut query = Query::read(&admin.request);
    let (limit, after) = (query.limit(), query.cursor(Kind::Clients).unwrap_or_default());
    query.finish()?;
    // One more than is shown: its presence means that there is a next page.
    let found = admin.app.client_management.page(&after, i64::from(limit) + 1).await?;
    let place = |client: &Client| client.client_id.clone();
    Ok(shown(&Page::<ClientView>::of(found, limit, Kind::Clients, place)))
}

/// Read a client
#[utoipa::path(
    get, path = "/admin/clients/{client_id}", tag = "Administration: clients",
    responses(
        (status = 200, description = "The client", body = ClientView,
            headers(("ETag" = String, description = "For `If-Match` of a change"))),
        (status = 304, description = "The client whose `ETag` came in `If-None-Match`"),
    ),
)]
pub(crate) async fn read_client(admin: Administrator, client_id: Path<String>) -> Answer {
    let client = admin.app.client_management.load(&client_id).await?;
    Ok(precondition::unless_known(&admin.request, etag(&client), ClientView::from(&client)))
}

/// The `ETag` of a client. An id can be registered anew, so the version alone would not do.
fn etag(client: &Client) -> EntityTag {
    EntityTag::new_strong(format!("{}-{}", client.created_at.as_unix(), client.version))
}
