//! What the caller has seen (RFC 9110 section 13): it is not sent again, and changes are made to it and
//! to nothing else, so every change names the `ETag` of what it is made to (RFC 6585 section 3).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ETag, EntityTag, Header, IfMatch};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use super::error::Problem;

/// `Cache-Control` of answers with an `ETag` for `If-Match`. A proxy that compresses them would make
/// the tag weak (RFC 9110 section 8.8.1), so none may (RFC 9111 section 5.2.2.6).
const CACHE_CONTROL: &str = "no-store, no-transform";

/// The most bytes of the caller's `If-Match` that an error repeats.
const MAX_SENT: usize = 200;

/// Whether `request` is made to what `etag` stands for. RFC 9110 section 13.1.1 compares strongly; the
/// weak spelling is accepted all the same, since proxies that compress weaken the tag, and a tag here
/// stands for one state whatever its encoding.
pub(super) fn check(request: &HttpRequest, etag: &EntityTag) -> Result<(), Problem> {
    if !request.headers().contains_key(header::IF_MATCH) {
        let detail = "a change needs If-Match with the ETag of what is to be changed";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, detail));
    }
    let matches = match IfMatch::parse(request) {
        Ok(IfMatch::Any) => true,
        Ok(IfMatch::Items(given)) => given.iter().any(|given| given.weak_eq(etag)),
        Err(_) => false,
    };
    if matches { Ok(()) } else { Err(changed(request, Some(etag))) }
}

/// The answer to a request whose `If-Match` is not `now`, which is `None` where there is nothing now.
pub(super) fn changed(request: &HttpRequest, now: Option<&EntityTag>) -> Problem {
    let sent = request.headers().get_all(header::IF_MATCH).filter_map(|value| value.to_str().ok());
    let sent = sent.collect::<Vec<_>>().join(", ");
    let sent = match sent.trim() {
        "" => "empty",
        sent => &sent[..sent.floor_char_boundary(MAX_SENT)],
    };
    let detail = match now {
        Some(now) => format!(
            "If-Match was {sent}, and the ETag is {now} now: read it again, and make the change to \
             what it is now"
        ),
        None => format!("If-Match was {sent}, and there is nothing to change now"),
    };
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
}

/// RFC 9110 section 13.1.2: weak comparison against a list, or `*`.
pub(super) fn is_known(request: &HttpRequest, etag: &str) -> bool {
    let values = request.headers().get_all(header::IF_NONE_MATCH);
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
        tag == "*" || opaque(tag) == opaque(etag)
    })
}

/// An answer that shows `body`, which `etag` stands for.
pub(super) fn tagged(
    mut response: HttpResponseBuilder,
    etag: EntityTag,
    body: impl Serialize,
) -> HttpResponse {
    response.insert_header((header::CACHE_CONTROL, CACHE_CONTROL)).insert_header(ETag(etag));
    response.json(body)
}

/// 200 with `body`, which `etag` stands for, or 304 where the caller has just that.
pub(super) fn unless_known(
    request: &HttpRequest,
    etag: EntityTag,
    body: impl Serialize,
) -> HttpResponse {
    if !is_known(request, &etag.to_string()) {
        return tagged(HttpResponse::Ok(), etag, body);
    }
    HttpResponse::NotModified()
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
        .insert_header(ETag(etag))
        .finish()
}
