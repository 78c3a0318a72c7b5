//! What the caller has seen (RFC 9110 section 13): it is not sent again, and changes are made to it and
//! to nothing else, so every change names the `ETag` of what it is made to (RFC 6585 section 3).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ETag, EntityTag, Header, IfMatch};
use actix_web::{HttpRequest, HttpResponse};

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

/// RFC 9110 section 13.1.2: weak comparison against a list, or `*`.
pub fn is_known(request: &HttpRequest, etag: &str) -> bool {
    let values = request.headers().get_all(header::IF_NONE_MATCH);
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
        tag == "*" || opaque(tag) == opaque(etag)
    })
}

/// What `shown` makes of a thing, or 304 where the caller has just that.
pub fn unless_known(
    request: &HttpRequest,
    etag: &EntityTag,
    shown: impl FnOnce() -> HttpResponse,
) -> HttpResponse {
    if !is_known(request, &etag.to_string()) {
        return shown();
    }
    HttpResponse::NotModified()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(ETag(etag.clone()))
        .finish()
}
