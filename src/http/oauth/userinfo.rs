//! `GET` and `POST /oauth2/userinfo` (OpenID Connect Core 1.0 section 5.3).

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Issuer;
use crate::domain::tokens::{Scope, scope};
use crate::http::error::OAuthError;
use crate::http::signed_in;
use crate::services::authentication::BearerError;

/// Claims about the user: `name` with the scope `profile`, the address with `email`.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserInfo {
    /// The user's id, as in the token.
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    email_verified: Option<bool>,
}

/// Read claims about the user of a token
///
/// The token needs the scope `openid`.
#[utoipa::path(
    get, path = "/oauth2/userinfo", tag = "OAuth 2.0",
    responses(
        (status = 200, description = "The claims that the scope allows", body = UserInfo),
        (status = 403, description = "`insufficient_scope`"),
    ),
    security(("user" = []))
)]
pub(crate) async fn userinfo(
    app: Data<Issuer>,
    request: HttpRequest,
) -> Result<HttpResponse, OAuthError> {
    let (user, claims) = signed_in::user(&app, &request, app.clock.now()).await?;
    let scope = Scope::parse(&claims.scope).unwrap_or_default();
    if !scope.contains(scope::OPENID) {
        return Err(BearerError::NotOpenId.into());
    }
    let (profile, email) = (scope.contains(scope::PROFILE), scope.contains(scope::EMAIL));
    let body = UserInfo {
        sub: claims.sub,
        name: user.name.filter(|name| profile && !name.is_empty()),
        email_verified: email.then_some(user.email_verified_at.is_some()),
        email: Some(user.email).filter(|address| email && !address.is_empty()),
    };
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}

/// Read claims about the user of a token
///
/// The same as by GET; the token comes in the header.
#[utoipa::path(
    post, path = "/oauth2/userinfo", tag = "OAuth 2.0",
    responses(
        (status = 200, description = "The claims that the scope allows", body = UserInfo),
        (status = 403, description = "`insufficient_scope`"),
    ),
    security(("user" = []))
)]
#[allow(dead_code, reason = "describes the second method for the documentation")]
pub(crate) async fn userinfo_by_post() {}
