//! `POST /oauth2/introspect` (RFC 7662).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::revoke::TokenQuestion;
use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::tokens::Claims;
use crate::domain::tokens::claims::has_value;
use crate::http::error::OAuthError;
use crate::http::extract::{self, read_form};
use crate::services::oauth::Introspection;
use crate::storage::StorageError;

/// The answer.
#[derive(Serialize)]
struct Answer {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// The claims of an access token, as the token has them.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    claims: Option<Box<Claims>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<RefreshToken>,
}

/// The state of a refresh token.
#[derive(Serialize)]
struct RefreshToken {
    iss: String,
    sub: String,
    client_id: String,
    scope: String,
    iat: Timestamp,
    exp: Timestamp,
}

/// The members of `body` that have a value. A token of an earlier version or of another issuer may
/// have empty claims.
fn without_empty(mut body: Value) -> Value {
    if let Value::Object(members) = &mut body {
        members.retain(|_, value| has_value(value));
    }
    body
}

/// The state of a token (RFC 7662 section 2.2). For a token that is not active, `active` is the only
/// member. An access token shows all its claims, also those that its client adds.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the answer for the documentation")]
pub(crate) struct IntrospectionBody {
    /// Whether the token is valid now.
    active: bool,
    /// `Bearer` for an access token.
    #[schema(nullable = false)]
    token_type: Option<String>,
    /// The issuer.
    #[schema(nullable = false)]
    iss: Option<String>,
    /// The user, or the client of a token that was issued to no user.
    #[schema(nullable = false)]
    sub: Option<String>,
    /// The audience of an access token: one text or a list.
    #[schema(value_type = Option<Value>, nullable = false)]
    aud: Option<Value>,
    /// The client that it was issued to.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// The scope; absent where it is empty.
    #[schema(nullable = false)]
    scope: Option<String>,
    /// When it was issued, in seconds since 1970.
    #[schema(nullable = false)]
    iat: Option<i64>,
    /// When it ends, in seconds since 1970.
    #[schema(nullable = false)]
    exp: Option<i64>,
    /// The id of an access token.
    #[schema(nullable = false)]
    jti: Option<String>,
    /// The session that an access token belongs to.
    #[schema(nullable = false)]
    sid: Option<String>,
    /// When the user last gave a password, in seconds since 1970.
    #[schema(nullable = false)]
    auth_time: Option<i64>,
    /// The user's roles; absent where there are none.
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
}

/// Introspect a token
///
/// For resource servers that cannot wait for a token to expire. Only confidential clients may introspect.
#[utoipa::path(
    post, path = "/oauth2/introspect", tag = "OAuth 2.0",
    request_body(
        content = inline(TokenQuestion), content_type = "application/x-www-form-urlencoded"
    ),
    responses(
        (status = 200, description = "The state of the token", body = IntrospectionBody),
        (status = 400, description = "RFC 6749 section 5.2"),
    ),
    security(("client" = []))
)]
pub(crate) async fn introspect(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let form: TokenQuestion = read_form(&request, payload).await?;
    let (now, origin) = (app.clock.now(), extract::origin(&request, &app));
    let credentials = form.credentials(&request)?;
    let token = form.token.as_deref();
    let found = app.authorization_server.introspect(credentials, token, &origin, now).await?;
    let mut body = Answer {
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
            body.refresh_token = Some(RefreshToken { iss, sub, client_id, scope, iat, exp });
        }
    }
    let body = serde_json::to_value(body).map(without_empty);
    let body = body.map_err(|error| StorageError::Internal(error.into()))?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}
