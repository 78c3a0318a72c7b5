//! The answers to failures, in two forms (RFC 6749 section 5.2 under `/oauth2/` and at `/login`; RFC 9457
//! elsewhere); `conversions` makes them of every error. A cause goes to the one log line of the request,
//! and never into the answer.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;

use crate::domain::login_limits::Limited;

mod conversions;

/// Seconds after which a caller who met a temporary failure may try again.
const RETRY_AFTER: u32 = 1;
const LIMITED: &str = "too many attempts: try again later";
const INTERNAL: &str =
    "unexpected error: the server's log has its cause under the x-request-id of this answer";
const UNAVAILABLE: &str = "temporarily unable to answer: try again";

/// What both forms have in common.
#[derive(Clone, Debug)]
struct Headers {
    www_authenticate: Option<&'static str>,
    /// Seconds.
    retry_after: Option<u32>,
    allow: Option<&'static str>,
}

impl Headers {
    const NONE: Self = Self { www_authenticate: None, retry_after: None, allow: None };
    const RETRY: Self = Self { retry_after: Some(RETRY_AFTER), ..Self::NONE };

    fn after(limited: Limited) -> Self {
        let seconds = u32::try_from(limited.retry_after).unwrap_or(u32::MAX);
        Self { retry_after: Some(seconds), ..Self::NONE }
    }

    fn put_on(&self, response: &mut HttpResponseBuilder) {
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(challenge) = self.www_authenticate {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if let Some(methods) = self.allow {
            response.insert_header((header::ALLOW, methods));
        }
    }
}

/// The form in which a route answers failures: a column of the route table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorForm {
    /// RFC 6749 section 5.2.
    OAuth,
    /// The same with its description once more as `detail`, which `/login` promises.
    OAuthWithDetail,
    /// RFC 9457.
    Problem,
}

impl ErrorForm {
    /// 405 with the methods that are allowed.
    pub(super) fn method_not_allowed(self, allow: &'static str) -> HttpResponse {
        let description = format!("the method is not allowed here; use {allow}");
        let headers = Headers { allow: Some(allow), ..Headers::NONE };
        self.answer(StatusCode::METHOD_NOT_ALLOWED, description, headers)
    }

    /// 404 where there is no route.
    pub(super) fn not_found(self) -> HttpResponse {
        self.answer(StatusCode::NOT_FOUND, "no endpoint has this path".into(), Headers::NONE)
    }

    pub(super) fn of_framework(self, status: StatusCode, description: String) -> HttpResponse {
        self.answer(status, description, Headers::NONE)
    }

    fn answer(self, status: StatusCode, description: String, headers: Headers) -> HttpResponse {
        if self == Self::Problem {
            return Problem { headers, ..Problem::new(status, description) }.error_response();
        }
        let error = OAuthError::new(status, "invalid_request", description);
        let with_detail = self == Self::OAuthWithDetail;
        OAuthError { headers, with_detail, ..error }.error_response()
    }
}

#[derive(Clone, Debug)]
pub(super) struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    headers: Headers,
    with_detail: bool,
    cause: Option<String>,
}

impl OAuthError {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self { status, error, description, headers: Headers::NONE, with_detail: false, cause: None }
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// An error with its challenge (RFC 9110 section 11.6.1).
    pub(super) fn challenging(
        status: StatusCode,
        error: &'static str,
        description: &str,
        challenge: &'static str,
    ) -> Self {
        let headers = Headers { www_authenticate: Some(challenge), ..Headers::NONE };
        Self { headers, ..Self::new(status, error, description) }
    }

    pub(super) fn unsupported_grant_type(description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", description)
    }

    /// The same with its description once more as `detail`, which `/login` promises.
    pub(super) fn with_detail(self) -> Self {
        Self { with_detail: true, ..self }
    }

    fn unavailable(description: &str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let error = Self::new(status, "temporarily_unavailable", description);
        Self { headers: Headers::RETRY, ..error }
    }

    /// The code is the one of RFC 6749 section 4.1.2.1 for what passes: its section 5.2 has none.
    fn limited(limited: Limited) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", LIMITED);
        Self { headers: Headers::after(limited), ..error }
    }

    fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", INTERNAL)
    }

    /// Adds the cause, for the log line of the request.
    fn because(self, error: &dyn Error) -> Self {
        Self { cause: Some(describe(error)), ..self }
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

#[derive(Serialize)]
struct OAuthBody<'a> {
    error: &'a str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.description)
    }
}

impl ResponseError for OAuthError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        self.headers.put_on(&mut response);
        response.json(OAuthBody {
            error: self.error,
            error_description: &self.description,
            detail: self.with_detail.then_some(&self.description),
        })
    }
}

/// One wrong field of a request body.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FieldError {
    /// The field.
    pub field: Cow<'static, str>,
    /// What is wrong with it, for people.
    pub message: String,
}

/// What a handler returns whose failures are problems.
pub(super) type Answer = Result<HttpResponse, Problem>;

/// An error in the form of RFC 9457.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    headers: Headers,
    cause: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Headers::NONE,
            cause: None,
        }
    }

    /// A problem with its challenge (RFC 9110 section 11.6.1).
    pub(super) fn challenging(status: StatusCode, detail: &str, challenge: &'static str) -> Self {
        let headers = Headers { www_authenticate: Some(challenge), ..Headers::NONE };
        Self { headers, ..Self::new(status, detail) }
    }

    /// 400 with what is wrong in each field.
    pub(super) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let described: Vec<_> =
            errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, described.join("; ")) }
    }

    /// 404; `detail` says which kind of resource was not found.
    pub(super) fn missing(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503 with `Retry-After`.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Self { headers: Headers::RETRY, ..problem }
    }

    fn limited(limited: Limited) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, LIMITED);
        Self { headers: Headers::after(limited), ..problem }
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL)
    }

    /// Adds the cause, for the log line of the request.
    pub(super) fn because(self, error: &dyn Error) -> Self {
        Self { cause: Some(describe(error)), ..self }
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        self.headers.put_on(&mut response);
        response.content_type("application/problem+json").body(
            serde_json::to_vec(&ProblemBody {
                r#type: "about:blank",
                title: self.status.canonical_reason().unwrap_or("Error"),
                status: self.status.as_u16(),
                detail: &self.detail,
                errors: &self.errors,
            })
            .unwrap_or_default(),
        )
    }
}

/// A failure with everything that caused it, in one line for the log. Libraries often repeat their
/// source in their own text, which is then not repeated.
fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
