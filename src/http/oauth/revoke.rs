//! `POST /oauth2/revoke` (RFC 7009).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::error::OAuthError;
use crate::http::extract::{self, Form};
use crate::http::finish::to_the_end;
use crate::services::oauth::TokenError;

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
/// A refresh token's session ends; of an access token, it alone. The eleventh access token of one
/// session ends the session; the eleventh of a client's own ends all that the client was issued so
/// far. Beyond a hundred tokens of one user that are revoked at once, the next one ends all that the
/// user was issued up to it; sessions go on. A token of another issuer, whose key is published here to
/// verify, ends alone, whatever it says of users and sessions.
#[utoipa::path(
    post, path = "/oauth2/revoke", tag = "OAuth 2.0",
    request_body(
        content = inline(TokenQuestion), content_type = "application/x-www-form-urlencoded"
    ),
    responses(
        (status = 200, description = "The token is not usable, whatever it was"),
        (status = 400, description = "RFC 6749 section 5.2, or another issuer's token whose `jti` or \
            `sub` is too long to be told"),
        (status = 429, description = "Too many revocations of one session, of one client's own \
            tokens, or of tokens of another issuer's key: try again after `Retry-After`"),
    ),
    security(("client" = []))
)]
pub async fn revoke(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let form = Form::read(&request, payload).await?;
    let (now, origin) = (app.clock.now(), extract::origin(&request, &app));
    let token = form.required("token")?.to_owned();
    let credentials = form.credentials(&request)?;
    if credentials.is_none() {
        return Err(TokenError::InvalidClient { basic: false }.into());
    }
    let client = app.authorization_server.authenticate(credentials, &origin, now).await?;
    let revoke =
        async move { app.authorization_server.revoke(&client, &token, &origin, now).await };
    to_the_end(revoke).await?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).finish())
}
