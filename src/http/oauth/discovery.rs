//! Discovery for clients and verifiers: the metadata (RFC 8414, OpenID Connect Discovery 1.0) and the
//! key set (RFC 7517), both made before they are asked for.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};

use crate::app::Issuer;
use crate::http::precondition;
use crate::services::oauth::metadata::Metadata;

pub(crate) struct MetadataBody(Bytes);

impl MetadataBody {
    pub(crate) fn new(app: &Issuer) -> Self {
        let config = &app.config;
        let algorithms = &config.keys.policy.algorithms;
        let metadata = Metadata::new(&config.issuer, algorithms, config.docs_enabled);
        Self(serde_json::to_vec(&metadata).unwrap_or_default().into())
    }
}

/// Read the authorization server's metadata
///
/// RFC 8414.
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "Discovery",
    responses((status = 200, description = "The metadata", body = Object))
)]
pub(crate) async fn metadata(body: Data<MetadataBody>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "public, max-age=600"))
        .body(body.0.clone())
}

/// Read the OpenID provider's metadata
///
/// OpenID Connect Discovery 1.0; the same document.
#[utoipa::path(
    get, path = "/.well-known/openid-configuration", tag = "Discovery",
    responses((status = 200, description = "The metadata", body = Object))
)]
#[allow(dead_code, reason = "describes the second path for the documentation")]
pub(crate) async fn openid_configuration() {}

/// Read the public keys that verify access tokens
///
/// Cache it for its `max-age`; a new key is published long before it signs.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "Discovery",
    responses(
        (status = 200, description = "A JWK Set (RFC 7517)", body = Object),
        (status = 304, description = "The set whose `ETag` came in `If-None-Match`"),
    )
)]
pub(crate) async fn jwks(app: Data<Issuer>, request: HttpRequest) -> HttpResponse {
    let ring = app.keys.ring();
    let jwks = ring.jwks();
    let known = precondition::is_known(&request, &jwks.etag);
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    let policy = app.keys.policy();
    let lead = policy.least_ahead();
    let max_age = ring.jwks_max_age(policy.jwks_max_age, lead, app.clock.now()).as_secs();
    response.insert_header((header::CACHE_CONTROL, format!("public, max-age={max_age}")));
    response.insert_header((header::ETAG, jwks.etag.as_str()));
    if known {
        // RFC 9110 section 15.4.5: without content, or the next answer is read amiss.
        return response.finish();
    }
    response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    response.body(jwks.body.clone())
}
