//! The routes by which administrators create, change and remove clients. A change applies to the
//! version of the client that was read, is completed even if the caller disconnects, and is in
//! force at every instance when it is acknowledged.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Path;

use super::etag;
use crate::base::time::Timestamp;
use crate::domain::clients::change::ClientChange;
use crate::domain::clients::{Client, ClientType, Registration};
use crate::http::administrator::{Administrator, Asked, shown};
use crate::http::error::Answer;
use crate::http::extract::{DisplayName, Fields, Member, Reading, request_body};
use crate::http::openapi::Span;
use crate::http::precondition::{self, tagged};
use crate::services::client_management::DEFAULT_OVERLAP;
use crate::views::client::{ClientView, ClientWithSecretView};

/// The maximum size of a body in bytes: 32 audiences of 500 bytes, 64 scopes of 128, and everything
/// else.
const MAX_CLIENT_BYTES: usize = 32 * 1024;

request_body! {
    /// A new client.
    #[schema(example = json!({
        "client_id": "reports",
        "type": "confidential",
        "grants": ["client_credentials"],
        "scopes": ["users:read"],
    }))]
    pub(crate) struct NewClientBody (Reading::JSON.refusing_others().up_to(MAX_CLIENT_BYTES)) {
        /// Its public name: 1 to 100 characters of A-Z a-z 0-9 - . _ ~
        #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._~-]+$")]
        client_id: String as String,
        /// `public` or `confidential`.
        r#type: ClientType as String,
        /// A name for people.
        #[schema(max_length = 200)]
        name: DisplayName as Option<String>,
        /// The grants that it may use at the token endpoint; the default grant of its type if absent.
        #[schema(min_items = 1, nullable = false)]
        grants: Vec<String> as Option<Vec<String>>,
        /// The scopes that it may request.
        #[schema(max_items = 64, nullable = false)]
        scopes: Vec<String> as Option<Vec<String>>,
        /// The resources that it may name (RFC 8707).
        #[schema(max_items = 32, nullable = false)]
        audiences: Vec<String> as Option<Vec<String>>,
        /// Members of the user's metadata that its tokens have as claims.
        #[schema(max_items = 20, nullable = false)]
        claims: Vec<String> as Option<Vec<String>>,
        /// The lifetime of its access tokens, such as `5m` or seconds; the configured one if absent.
        access_token_lifetime: Option<Duration> as Option<Span>,
        /// Whether the client is disabled at first, so that it gets no tokens.
        #[schema(nullable = false)]
        disabled: bool as Option<bool>,
    }
}

/// Register a client
#[utoipa::path(
    post, path = "/admin/clients", tag = "Administration: clients",
    request_body(content = inline(NewClientBody)),
    responses(
        (status = 201, description = "Registered", body = ClientWithSecretView,
            headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "The id is taken"),
    ),
)]
pub(crate) async fn add_client(asked: Asked<NewClientBody>) -> Answer {
    let Asked { admin, mut fields, body } = asked;
    let NewClientBody { client_id, r#type, name, grants, scopes, .. } = body;
    let NewClientBody { audiences, claims, access_token_lifetime, disabled, .. } = body;
    let bare =
        client_id.zip(r#type).and_then(|(id, kind)| bare(&mut fields, id, kind, admin.by.at));
    let change = ClientChangeBody {
        name,
        grants,
        scopes,
        audiences,
        claims,
        access_token_lifetime,
        disabled,
    };
    let client = bare.and_then(|bare| changed(&mut fields, change, &bare, admin.by.at));
    let client = fields.finish_with(client)?;
    let create = admin.change(async move |app, by| app.client_management.create(client, by).await);
    let (client, secret) = create.await?;
    let view = ClientWithSecretView::new(&client, secret.as_ref());
    Ok(tagged(admin.created(&client.client_id), etag(&client), view))
}

request_body! {
    /// The members of a client that can be changed; a member that is absent stays as it is.
    #[schema(example = json!({ "scopes": ["users:read", "reports:write"], "disabled": false }))]
    pub(crate) struct ClientChangeBody (Reading::PATCH.up_to(MAX_CLIENT_BYTES)) {
        /// A name for people; null or empty removes it.
        #[schema(max_length = 200)]
        name: DisplayName as Option<String>,
        /// The grants that it may use at the token endpoint, at least one.
        #[schema(min_items = 1, nullable = false)]
        grants: Vec<String> as Option<Vec<String>>,
        /// The scopes that it may request.
        #[schema(max_items = 64, nullable = false)]
        scopes: Vec<String> as Option<Vec<String>>,
        /// The resources that it may name (RFC 8707).
        #[schema(max_items = 32, nullable = false)]
        audiences: Vec<String> as Option<Vec<String>>,
        /// Members of the user's metadata that its tokens have as claims.
        #[schema(max_items = 20, nullable = false)]
        claims: Vec<String> as Option<Vec<String>>,
        /// The lifetime of its access tokens, such as `5m` or seconds; null for the configured one.
        access_token_lifetime: Option<Duration> as Option<Span>,
        /// Whether the client is disabled, so that it gets no tokens.
        #[schema(nullable = false)]
        disabled: bool as Option<bool>,
    }
}

/// Change a client
///
/// The bundled client keeps its grants and the scope `signet:admin`, and cannot be disabled.
#[utoipa::path(
    patch, path = "/admin/clients/{client_id}", tag = "Administration: clients",
    params(("If-Match" = String, Header, description = "The `ETag` of the version to change")),
    request_body(content(
        (inline(ClientChangeBody) = "application/json"),
        (inline(ClientChangeBody) = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The client as it is now", body = ClientView,
            headers(("ETag" = String))),
        (status = 409, description = "The bundled client would lose what it needs, or the caller its access"),
        (status = 412, description = "The client has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
)]
pub(crate) async fn change_client(
    asked: Asked<ClientChangeBody>,
    client_id: Path<String>,
) -> Answer {
    let Asked { admin, mut fields, body } = asked;
    let client = admin.app.client_management.load(&client_id).await?;
    precondition::check(&admin.request, &etag(&client))?;
    let next = changed(&mut fields, body, &client, admin.by.at);
    let next = fields.finish_with(next)?;
    let update =
        admin.change(async move |app, by| app.client_management.update(&client, next, by).await);
    let client = update.await?;
    Ok(tagged(HttpResponse::Ok(), etag(&client), ClientView::from(&client)))
}

/// Remove a client
///
/// Its tokens are refused from then on.
#[utoipa::path(
    delete, path = "/admin/clients/{client_id}", tag = "Administration: clients",
    params(("If-Match" = String, Header, description = "The `ETag` of the version to remove")),
    responses(
        (status = 204, description = "The client is removed"),
        (status = 409, description = "The client is the bundled one, or the caller itself"),
        (status = 412, description = "The client has changed since the version that `If-Match` names"),
        (status = 428, description = "`If-Match` is missing"),
    ),
)]
pub(crate) async fn remove_client(admin: Administrator, client_id: Path<String>) -> Answer {
    let client = admin.app.client_management.load(&client_id).await?;
    precondition::check(&admin.request, &etag(&client))?;
    let delete = admin.change(async move |app, by| app.client_management.delete(&client, by).await);
    delete.await?;
    Ok(HttpResponse::NoContent().finish())
}

request_body! {
    /// How a new secret replaces the present one.
    #[schema(example = json!({ "keep_old_for": "1h" }))]
    pub(crate) struct RotateSecretBody (Reading::JSON.refusing_others().if_any()) {
        /// How long the present secret stays valid, at most 90 days; `24h` if absent, `0s` ends it
        /// immediately.
        keep_old_for: Duration as Option<Span>,
    }
}

/// Make a new secret
///
/// The present one stays valid for a while.
#[utoipa::path(
    post, path = "/admin/clients/{client_id}/rotate-secret", tag = "Administration: clients",
    request_body(content = inline(Option<RotateSecretBody>)),
    responses(
        (status = 200, description = "The client with its new secret", body = ClientWithSecretView),
        (status = 409, description = "The client is public and has no secret"),
    ),
)]
pub(crate) async fn rotate_client_secret(
    asked: Asked<RotateSecretBody>,
    client_id: Path<String>,
) -> Answer {
    let Asked { admin, fields, body } = asked;
    let client = admin.app.client_management.load(&client_id).await?;
    fields.finish()?;
    let overlap = body.keep_old_for.unwrap_or(DEFAULT_OVERLAP);
    let rotate = admin.change(async move |app, by| {
        app.client_management.rotate_secret(&client, overlap, by).await
    });
    let (client, secret) = rotate.await?;
    Ok(shown(&ClientWithSecretView::new(&client, Some(&secret))))
}

impl Member for ClientType {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let text = String::read(fields, name)?;
        let known = [Self::Public, Self::Confidential].into_iter().find(|t| t.as_str() == text);
        known.or_else(|| fields.refuse(name, "must be public or confidential"))
    }
}

/// Creates the client that has this id and type, and defaults for everything else.
fn bare(
    fields: &mut Fields,
    client_id: String,
    client_type: ClientType,
    now: Timestamp,
) -> Option<Client> {
    let confidential = client_type == ClientType::Confidential;
    let bare = Registration { client_id, confidential, ..Registration::default() };
    let reject = |problem: String| {
        let problem = problem.strip_prefix("client_id ").unwrap_or(&problem);
        fields.reject("client_id", problem);
    };
    bare.check(now).map_err(reject).ok()
}

fn changed(
    fields: &mut Fields,
    body: ClientChangeBody,
    client: &Client,
    now: Timestamp,
) -> Option<Client> {
    let change = ClientChange {
        name: body.name.map(|DisplayName(name)| name.unwrap_or_default()),
        grants: body.grants,
        scopes: body.scopes,
        audiences: body.audiences,
        claims: body.claims,
        access_token_lifetime: body.access_token_lifetime,
        disabled: body.disabled,
    };
    let reject = |problems: Vec<(&'static str, String)>| {
        problems.into_iter().for_each(|(field, problem)| fields.reject(field, problem));
    };
    change.applied_to(client, now).map_err(reject).ok()
}
