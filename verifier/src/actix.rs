//! The extractor for actix-web.

use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::ErrorInternalServerError;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};

use crate::bearer::bearer;
use crate::error::Error;
use crate::token::Token;
use crate::verifier::Verifier;

/// The request's access token, verified by the [`Verifier`] in the app's data
/// (`App::new().app_data(web::Data::new(verifier))`). Without a good one the request is answered
/// before it reaches the handler.
#[derive(Clone, Debug)]
pub struct AccessToken(pub Token);

impl Deref for AccessToken {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.0
    }
}

impl FromRequest for AccessToken {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = actix_web::Result<Self>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let verifier = request.app_data::<web::Data<Verifier>>().cloned();
        let headers = request.headers().get_all(AUTHORIZATION).map(|value| value.as_bytes());
        let token = bearer(headers).map(str::to_owned);
        Box::pin(async move {
            let missing = || ErrorInternalServerError("the app's data has no Verifier");
            let verifier = verifier.ok_or_else(missing)?;
            Ok(Self(verifier.verify(&token?).await?))
        })
    }
}

/// So that a handler may write `token.require_scope("…")?`.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(challenge) = self.www_authenticate() {
            response.insert_header((WWW_AUTHENTICATE, challenge));
        }
        response.finish()
    }
}
