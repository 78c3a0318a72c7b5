//! The signing keys, for administrators: `/admin/keys`. Read here, changed in `changes`; the same
//! as `signet keys` does. No answer has anything of a private key.

pub(crate) mod changes;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, Accept, Header, Quality};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::keys::jwks::Jwk;
use crate::http::administrator::{Administrator, shown};
use crate::http::error::{Answer, Problem};
use crate::views::key::KeyView;

/// All keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeysBody {
    /// Newest first.
    keys: Vec<KeyView>,
}

/// List the signing keys, newest first
///
/// The answer has all keys, without pages.
#[utoipa::path(
    get, path = "/admin/keys", tag = "Administration: keys",
    responses((status = 200, description = "All of them", body = KeysBody)),
)]
pub(crate) async fn list_keys(admin: Administrator) -> Answer {
    let keys = admin.app.key_management.list(admin.by.at).await?;
    Ok(shown(&KeysBody { keys: keys.into_iter().map(KeyView::from).collect() }))
}

/// Read a signing key
#[utoipa::path(
    get, path = "/admin/keys/{kid}", tag = "Administration: keys",
    responses(
        (status = 200, description = "The key", body = KeyView, example = json!({
            "kid": "n6Cs5bHRM0bMUy_Bq0pZDbV0V6yQXkMyxm2nZcHd7aE",
            "algorithm": "RS256",
            "state": "active",
            "created_at": "2026-01-30T09:30:00Z",
            "activates_at": "2026-01-31T09:30:00Z",
            "deactivates_at": null,
            "retires_at": null,
            "revoked_at": null,
            "next_state": "retiring",
            "next_at": "2026-05-01T09:30:00Z",
            "in_all_caches_in": 0,
            "kept_in": "database",
            "sealed_under": "3f9d0c1e",
        })),
    ),
)]
pub(crate) async fn read_key(admin: Administrator, kid: Path<String>) -> Answer {
    Ok(shown(&KeyView::from(admin.app.key_management.load(&kid, admin.by.at).await?)))
}

/// Read the public part of a signing key
///
/// As JWK, or as PEM where `Accept` prefers `application/x-pem-file`. Also of a retired key.
#[utoipa::path(
    get, path = "/admin/keys/{kid}/public", tag = "Administration: keys",
    responses(
        (status = 200, description = "The key", content(
            (Object = "application/jwk+json", example = json!({
                "kty": "RSA", "use": "sig", "alg": "RS256",
                "kid": "n6Cs5bHRM0bMUy_Bq0pZDbV0V6yQXkMyxm2nZcHd7aE", "e": "AQAB", "n": "sXch…",
            })),
            (String = "application/x-pem-file",
                example = json!("-----BEGIN PUBLIC KEY-----\nMIIB…\n-----END PUBLIC KEY-----\n")),
        )),
        (status = 406, description = "`Accept` has neither form"),
    ),
)]
pub(crate) async fn read_public_key(admin: Administrator, kid: Path<String>) -> Answer {
    let public = admin.app.key_management.load_public(&kid, admin.by.at).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(match preferred(&admin.request) {
        Some(Form::Jwk) => response.content_type(JWK).json(Jwk::from(&public)),
        Some(Form::Pem) => response.content_type(PEM).body(public.to_pem()),
        None => {
            let detail = format!("the key can be had as {JWK} or {PEM}");
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
        }
    })
}

/// RFC 7517 section 8.5.1.
const JWK: &str = "application/jwk+json";
const PEM: &str = "application/x-pem-file";

enum Form {
    Jwk,
    Pem,
}

/// What `Accept` likes best (RFC 9110 section 12.5.1); JWK where it does not care.
fn preferred(request: &HttpRequest) -> Option<Form> {
    if !request.headers().contains_key(header::ACCEPT) {
        return Some(Form::Jwk);
    }
    let mut accept = Accept::parse(request).ok()?;
    accept.0.retain(|range| range.quality > Quality::ZERO);
    accept.ranked().iter().find_map(|range| match range.essence_str() {
        JWK | "application/*" | "*/*" => Some(Form::Jwk),
        PEM => Some(Form::Pem),
        _ => None,
    })
}
