//! `POST /oauth2/revoke` (RFC 7009).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::ToSchema;

use super::error::OAuthError;
use super::extract::{self, Form};
use super::token::ErrorBody;
use crate::app::App;

/// The form of revocation and introspection.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form for the documentation")]
pub struct TokenQuestion {
    /// The access or refresh token.
    token: String,
    /// `access_token` or `refresh_token`; not needed.
    token_type_hint: Option<String>,
    /// The client, unless it authenticates by the header.
    client_id: Option<String>,
    /// The secret of a confidential client, unless it authenticates by the header.
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// Revoke a token
///
/// A refresh token's session ends; of an access token, it alone.
#[utoipa::path(
    post, path = "/oauth2/revoke", tag = "OAuth 2.0",
    request_body(
        content = inline(TokenQuestion), content_type = "application/x-www-form-urlencoded"
    ),
    responses(
        (status = 200, description = "The token is not usable, whatever it was"),
        (status = 400, description = "RFC 6749 section 5.2", body = ErrorBody),
        (status = 401, description = "`invalid_client`", body = ErrorBody),
    ),
    security((), ("client" = []))
)]
pub async fn revoke(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let form = Form::read(&request, payload).await?;
    let (now, origin) = (app.clock.now(), extract::origin(&request, &app));
    let credentials = form.credentials(&request)?;
    let server = &app.authorization_server;
    let client = server.authenticate(credentials, &origin, now).await?;
    server.revoke(&client, form.required("token")?, &origin, now).await?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).finish())
}
