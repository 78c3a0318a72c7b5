//! `POST /oauth2/introspect` (RFC 7662).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::revoke::TokenQuestion;
use crate::app::Issuer;
use crate::domain::tokens::claims::has_value;
use crate::http::error::OAuthError;
use crate::http::extract::{self, read_form};
use crate::services::oauth::Introspection;
use crate::storage::StorageError;

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
    let by = &extract::caller(&request, &app);
    let credentials = form.credentials(&request)?;
    let token = form.token.as_deref();
    let found = app.authorization_server.introspect(credentials, token, by).await?;
    let mut body = match found {
        Introspection::Inactive => json!({ "active": false }),
        Introspection::AccessToken(claims) => {
            let claims = serde_json::to_value(claims)
                .map_err(|error| StorageError::Internal(error.into()))?;
            let mut body = json!({ "active": true, "token_type": "Bearer" });
            if let (Value::Object(body), Value::Object(claims)) = (&mut body, claims) {
                body.extend(claims);
            }
            body
        }
        Introspection::RefreshToken { sub, client_id, scope, iat, exp } => {
            let iss = &app.config.issuer;
            json!({
                "active": true, "iss": iss, "sub": sub, "client_id": client_id, "scope": scope,
                "iat": iat, "exp": exp,
            })
        }
    };
    // A token of an earlier version or of another issuer may have empty claims.
    if let Value::Object(members) = &mut body {
        members.retain(|_, value| has_value(value));
    }
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}
