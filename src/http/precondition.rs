//! Changes to what the caller has seen, and to nothing else (RFC 9110 section 13.1.1, RFC 6585
//! section 3): every change names the `ETag` of what it is made to.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, EntityTag, Header, IfMatch};

use super::error::Problem;

/// Whether `request` is made to what `etag` stands for.
pub fn check(request: &HttpRequest, etag: &EntityTag) -> Result<(), Problem> {
    if !request.headers().contains_key(header::IF_MATCH) {
        let detail = "a change needs If-Match with the ETag of what is to be changed";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, detail));
    }
    let matches = match IfMatch::parse(request) {
        Ok(IfMatch::Any) => true,
        Ok(IfMatch::Items(given)) => given.iter().any(|given| given.strong_eq(etag)),
        Err(_) => false,
    };
    if matches { Ok(()) } else { Err(changed()) }
}

fn changed() -> Problem {
    let detail = "it was changed meanwhile: read it again, and make the change to what it is now";
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
}
