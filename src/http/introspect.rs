//! `POST /oauth2/introspect` (RFC 7662).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::OAuthError;
use super::extract::{self, Form};
use super::revoke::TokenQuestion;
use super::token::ErrorBody;
use crate::app::App;
use crate::oauth::{Introspection, TokenError};
use crate::time::Timestamp;
use crate::tokens::Claims;

/// What is known of a token (RFC 7662 section 2.2). Inactive ones show nothing else.
#[derive(Serialize, ToSchema)]
pub struct IntrospectionBody {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// The claims of an access token, as they stand in it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    claims: Option<Box<Claims>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<RefreshTokenBody>,
}

/// What is known of a refresh token.
#[derive(Serialize, ToSchema)]
pub struct RefreshTokenBody {
    iss: String,
    sub: String,
    client_id: String,
    scope: String,
    #[schema(value_type = i64)]
    iat: Timestamp,
    #[schema(value_type = i64)]
    exp: Timestamp,
}

/// Ask what a token is worth now
///
/// For siblings that cannot wait for a token to end. Confidential clients only.
#[utoipa::path(
    post, path = "/oauth2/introspect", tag = "OAuth 2.0",
    request_body(
        content = inline(TokenQuestion), content_type = "application/x-www-form-urlencoded"
    ),
    responses(
        (status = 200, body = IntrospectionBody),
        (status = 400, description = "RFC 6749 section 5.2", body = ErrorBody),
        (status = 401, description = "`invalid_client`", body = ErrorBody),
    ),
    security(("client" = []))
)]
pub async fn introspect(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let form = Form::read(&request, payload).await?;
    let (now, origin) = (app.clock.now(), extract::origin(&request, &app));
    let Some(credentials) = form.credentials(&request)? else {
        return Err(TokenError::InvalidClient { basic: false }.into());
    };
    let method = credentials.method;
    let server = &app.authorization_server;
    let client = server.authenticate(Some(credentials), &origin, now).await?;
    let found = server.introspect(&client, method, form.required("token")?, now).await?;
    let mut body = IntrospectionBody {
        active: !matches!(found, Introspection::Inactive),
        token_type: None,
        claims: None,
        refresh_token: None,
    };
    match found {
        Introspection::Inactive => {}
        Introspection::AccessToken(claims) => {
            body.token_type = Some("Bearer");
            body.claims = Some(claims);
        }
        Introspection::RefreshToken { sub, client_id, scope, iat, exp } => {
            let iss = app.config.issuer.clone();
            body.refresh_token = Some(RefreshTokenBody { iss, sub, client_id, scope, iat, exp });
        }
    }
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}
