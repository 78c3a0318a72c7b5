//! Clients, for administrators: `/admin/clients`. Read here, changed in `changes`; the same as
//! `signet clients` does. A secret is in the answer to the request that made it, and in no other.

pub(crate) mod changes;

use actix_web::http::header::{self, ETag, EntityTag};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use crate::app::Issuer;
use crate::domain::clients::Client;
use crate::http::administrator::administrator;
use crate::http::error::Problem;
use crate::http::extract::Query;
use crate::http::paging::{Kind, Page, PageParams};
use crate::http::precondition;
use crate::views::client::ClientView;

/// List clients by id
#[utoipa::path(
    get, path = "/admin/clients", tag = "Administration: clients",
    operation_id = "list_clients",
    params(PageParams),
    responses(
        (status = 200, description = "A page of them", body = Page<ClientView>),
        (status = 400, description = "A bad parameter"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn list(app: Data<Issuer>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    administrator(&app, &request, app.clock.now()).await?;
    let mut query = Query::read(&request);
    let (limit, after) = (query.limit(), query.cursor(Kind::Clients).unwrap_or_default());
    query.finish()?;
    // One more than is shown: its presence means that there is a next page.
    let found = app.client_management.page(&after, i64::from(limit) + 1).await?;
    let place = |client: &Client| client.client_id.clone();
    let page: Page<ClientView> = Page::of(found, limit, Kind::Clients, place);
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(page))
}

/// Read a client
#[utoipa::path(
    get, path = "/admin/clients/{client_id}", tag = "Administration: clients",
    operation_id = "read_client",
    params(("client_id" = String, Path, description = "The client's id")),
    responses(
        (status = 200, description = "The client", body = ClientView,
            headers(("ETag" = String, description = "For `If-Match` of a change"))),
        (status = 304, description = "The client whose `ETag` came in `If-None-Match`"),
        (status = 404, description = "No client has this id"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn read(
    app: Data<Issuer>,
    request: HttpRequest,
    client_id: Path<String>,
) -> Result<HttpResponse, Problem> {
    administrator(&app, &request, app.clock.now()).await?;
    let client = app.client_management.load(&client_id).await?;
    let etag = etag(&client);
    Ok(precondition::unless_known(&request, &etag, || {
        let mut response = HttpResponse::Ok();
        response.insert_header((header::CACHE_CONTROL, precondition::CACHE_CONTROL));
        response.insert_header(ETag(etag.clone())).json(ClientView::from(&client))
    }))
}

/// The `ETag` of a client. An id can be registered anew, so the version alone would not do.
fn etag(client: &Client) -> EntityTag {
    EntityTag::new_strong(format!("{}-{}", client.created_at.as_unix(), client.version))
}
