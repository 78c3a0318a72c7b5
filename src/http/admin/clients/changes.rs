//! The routes by which administrators create, change and remove clients. A change applies to the
//! version of the client that was read, is completed even if the caller disconnects, and is in
//! force at every instance when it is acknowledged.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ETag};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use utoipa::ToSchema;

use super::etag;
use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::audit::Initiator;
use crate::domain::clients::change::ClientChange;
use crate::domain::clients::{Client, Registration};
use crate::http::admin;
use crate::http::administrator::{administrator, asked};
use crate::http::error::Problem;
use crate::http::extract::Fields;
use crate::http::openapi::Span;
use crate::http::precondition;
use crate::services::client_management::DEFAULT_OVERLAP;
use crate::views::client::{ClientView, ClientWithSecretView};

/// The maximum size of a body in bytes: 32 audiences of 500 bytes, 64 scopes of 128, and everything
/// else.
const MAX_CLIENT_BYTES: usize = 32 * 1024;

/// A new client.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({
    "client_id": "reports",
    "type": "confidential",
    "grants": ["client_credentials"],
    "scopes": ["users:read"],
}))]
pub(crate) struct NewClientBody {
    /// Its public name: 1 to 100 characters of A-Z a-z 0-9 - . _ ~
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._~-]+$")]
    client_id: String,
    /// `public` or `confidential`.
    r#type: String,
    /// A name for people.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// The grants that it may use at the token endpoint; the default grant of its type if absent.
    #[schema(min_items = 1, nullable = false)]
    grants: Option<Vec<String>>,
    /// The scopes that it may request.
    #[schema(max_items = 64, nullable = false)]
    scopes: Option<Vec<String>>,
    /// The resources that it may name (RFC 8707).
    #[schema(max_items = 32, nullable = false)]
    audiences: Option<Vec<String>>,
    /// Members of the user's metadata that its tokens have as claims.
    #[schema(max_items = 20, nullable = false)]
    claims: Option<Vec<String>>,
    /// The lifetime of its access tokens, such as `5m` or seconds; the configured one if absent.
    access_token_lifetime: Option<Span>,
    /// Whether the client is disabled at first, so that it gets no tokens.
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// Register a client
#[utoipa::path(
    post, path = "/admin/clients", tag = "Administration: clients",
    operation_id = "add_client",
    request_body(content = inline(NewClientBody)),
    responses(
        (status = 201, description = "Registered", body = ClientWithSecretView,
            headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "The id is taken"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn create(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_up_to(MAX_CLIENT_BYTES, &request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    fields.refuse_others(&[&["client_id", "type"], &CHANGEABLE[..]].concat());
    let bare = bare(&mut fields, now);
    let client = bare.and_then(|bare| changed(&mut fields, &bare, now));
    fields.finish()?;
    let Some(client) = client else { return Err(incomplete()) };
    let create = async move |app: &Issuer, by: &Initiator| {
        app.client_management.create(client, by, now).await
    };
    let (client, secret) = admin::change(&app, &request, actor, create).await?;
    let location = format!("{}/{}", request.path(), client.client_id);
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    Ok(shown(response, &client).json(ClientWithSecretView::new(&client, secret.as_ref())))
}

/// The members of a client that can be changed; a member that is absent stays as it is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "scopes": ["users:read", "reports:write"], "disabled": false }))]
pub(crate) struct ClientChangeBody {
    /// A name for people; null or empty removes it.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// The grants that it may use at the token endpoint, at least one.
    #[schema(min_items = 1, nullable = false)]
    grants: Option<Vec<String>>,
    /// The scopes that it may request.
    #[schema(max_items = 64, nullable = false)]
    scopes: Option<Vec<String>>,
    /// The resources that it may name (RFC 8707).
    #[schema(max_items = 32, nullable = false)]
    audiences: Option<Vec<String>>,
    /// Members of the user's metadata that its tokens have as claims.
    #[schema(max_items = 20, nullable = false)]
    claims: Option<Vec<String>>,
    /// The lifetime of its access tokens, such as `5m` or seconds; null for the configured one.
    access_token_lifetime: Option<Span>,
    /// Whether the client is disabled, so that it gets no tokens.
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// Change a client
///
/// The bundled client keeps its grants and the scope `signet:admin`, and cannot be disabled.
#[utoipa::path(
    patch, path = "/admin/clients/{client_id}", tag = "Administration: clients",
    operation_id = "change_client",
    params(
        ("client_id" = String, Path, description = "The client's id"),
        ("If-Match" = String, Header, description = "The `ETag` of the version to change"),
    ),
    request_body(content(
        (inline(ClientChangeBody) = "application/json"),
        (inline(ClientChangeBody) = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The client as it is now", body = ClientView,
            headers(("ETag" = String))),
        (status = 404, description = "No client has this id"),
        (status = 409, description = "The bundled client would lose what it needs, or the caller its access"),
        (status = 412, description = "The client has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn change(
    app: Data<Issuer>,
    request: HttpRequest,
    client_id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_patch(MAX_CLIENT_BYTES, &request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let client = app.client_management.load(&client_id).await?;
    precondition::check(&request, &etag(&client))?;
    fields.refuse_others(&CHANGEABLE);
    let next = changed(&mut fields, &client, now);
    fields.finish()?;
    let Some(next) = next else { return Err(incomplete()) };
    let update = async move |app: &Issuer, by: &Initiator| {
        app.client_management.update(&client, next, by, now).await
    };
    let client = admin::change(&app, &request, actor, update).await?;
    Ok(shown(HttpResponse::Ok(), &client).json(ClientView::from(&client)))
}

/// Remove a client
///
/// Its tokens are refused from then on.
#[utoipa::path(
    delete, path = "/admin/clients/{client_id}", tag = "Administration: clients",
    operation_id = "remove_client",
    params(
        ("client_id" = String, Path, description = "The client's id"),
        ("If-Match" = String, Header, description = "The `ETag` of the version to remove"),
    ),
    responses(
        (status = 204, description = "The client is removed"),
        (status = 404, description = "No client has this id"),
        (status = 409, description = "The client is the bundled one, or the caller itself"),
        (status = 412, description = "The client has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn remove(
    app: Data<Issuer>,
    request: HttpRequest,
    client_id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let client = app.client_management.load(&client_id).await?;
    precondition::check(&request, &etag(&client))?;
    let delete = async move |app: &Issuer, by: &Initiator| {
        app.client_management.delete(&client, by, now).await
    };
    admin::change(&app, &request, actor, delete).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// How a new secret replaces the present one.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "keep_old_for": "1h" }))]
pub(crate) struct RotateSecretBody {
    /// How long the present secret stays valid, at most 90 days; `24h` if absent, `0s` ends it
    /// immediately.
    keep_old_for: Option<Span>,
}

/// Make a new secret
///
/// The present one stays valid for a while.
#[utoipa::path(
    post, path = "/admin/clients/{client_id}/rotate-secret", tag = "Administration: clients",
    operation_id = "rotate_client_secret",
    params(("client_id" = String, Path, description = "The client's id")),
    request_body(content = inline(Option<RotateSecretBody>)),
    responses(
        (status = 200, description = "The client with its new secret", body = ClientWithSecretView),
        (status = 404, description = "No client has this id"),
        (status = 409, description = "The client is public and has no secret"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn rotate_secret(
    app: Data<Issuer>,
    request: HttpRequest,
    client_id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_if_any(&request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let client = app.client_management.load(&client_id).await?;
    fields.refuse_others(&["keep_old_for"]);
    let overlap = fields.duration("keep_old_for").unwrap_or(DEFAULT_OVERLAP);
    fields.finish()?;
    let rotate = async move |app: &Issuer, by: &Initiator| {
        app.client_management.rotate_secret(&client, overlap, by, now).await
    };
    let (client, secret) = admin::change(&app, &request, actor, rotate).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.json(ClientWithSecretView::new(&client, Some(&secret))))
}

/// The error for a body in which no field is wrong and which still makes no client.
fn incomplete() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete")
}

const CHANGEABLE: [&str; 7] =
    ["name", "grants", "scopes", "audiences", "claims", "access_token_lifetime", "disabled"];

/// Creates the client that has the id and type of `fields`, and defaults for everything else.
fn bare(fields: &mut Fields, now: Timestamp) -> Option<Client> {
    let client_id = fields.required("client_id");
    let confidential = match fields.required("type")?.as_str() {
        "confidential" => true,
        "public" => false,
        _ => {
            fields.reject("type", "must be public or confidential");
            return None;
        }
    };
    let bare = Registration { client_id: client_id?, confidential, ..Registration::default() };
    let reject = |problem: String| {
        let problem = problem.strip_prefix("client_id ").unwrap_or(&problem);
        fields.reject("client_id", problem);
    };
    bare.check(now).map_err(reject).ok()
}

/// Applies the changes in `fields` to `client`. Returns `None` when it rejected a field.
fn changed(fields: &mut Fields, client: &Client, now: Timestamp) -> Option<Client> {
    let lifetime = fields.duration("access_token_lifetime");
    let change = ClientChange {
        name: fields.text_or_null("name"),
        grants: fields.texts("grants"),
        scopes: fields.texts("scopes"),
        audiences: fields.texts("audiences"),
        claims: fields.texts("claims"),
        access_token_lifetime: fields.has("access_token_lifetime").then_some(lifetime),
        disabled: fields.flag_if_any("disabled"),
    };
    match change.applied_to(client, now) {
        Ok(next) => Some(next),
        Err(problems) => {
            problems.into_iter().for_each(|(field, problem)| fields.reject(field, problem));
            None
        }
    }
}

fn shown(mut response: HttpResponseBuilder, client: &Client) -> HttpResponseBuilder {
    response.insert_header((header::CACHE_CONTROL, precondition::CACHE_CONTROL));
    response.insert_header(ETag(etag(client)));
    response
}
