//! The extractor for axum.

use std::ops::Deref;

use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::bearer::bearer;
use crate::error::Error;
use crate::token::Token;
use crate::verifier::Verifier;

/// The request's access token, verified by the [`Verifier`] in the router's state. Without a good
/// one the request is answered before it reaches the handler.
#[derive(Clone, Debug)]
pub struct AccessToken(pub Token);

impl Deref for AccessToken {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.0
    }
}

impl<S> FromRequestParts<S> for AccessToken
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let headers = parts.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = bearer(headers)?;
        Verifier::from_ref(state).verify(token).await.map(Self)
    }
}

/// So that a handler may write `token.require_scope("…")?`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status());
        let mut response = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        let challenge = self.www_authenticate().map(HeaderValue::try_from);
        if let Some(Ok(challenge)) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
