//! The answers to failures, in two forms (RFC 6749 section 5.2 under `/oauth2/` and at `/login`; RFC 9457
//! elsewhere); `conversions` makes them of every error. A cause goes to the one log line of the request,
//! and never into the answer.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::login_limits::Limited;

mod conversions;

/// Seconds after which a caller who met a temporary failure may try again.
const RETRY_AFTER: u32 = 1;
const LIMITED: &str = "too many attempts: try again later";
const INTERNAL: &str =
    "unexpected error: the server's log has its cause under the x-request-id of this answer";
const UNAVAILABLE: &str = "temporarily unable to answer: try again";

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
    pub(super) fn method_not_allowed(self, allow: &'static str) -> HttpResponse {
        let description = format!("the method is not allowed here; use {allow}");
        let mut response = self.answer(StatusCode::METHOD_NOT_ALLOWED, description);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        response
    }

    pub(super) fn not_found(self) -> HttpResponse {
        self.answer(StatusCode::NOT_FOUND, "no endpoint has this path".into())
    }

    pub(super) fn answer(self, status: StatusCode, description: String) -> HttpResponse {
        match self {
            Self::OAuth => OAuthError::new(status, description).error_response(),
            Self::OAuthWithDetail => {
                OAuthError::new(status, description).with_detail().error_response()
            }
            Self::Problem => Problem::new(status, description).error_response(),
        }
    }
}

pub(super) trait Form: fmt::Debug + Sized + 'static {
    /// What it is for `status`, unless more is known.
    fn usual(status: StatusCode) -> Self;

    /// The same with this code, where the form has codes.
    fn coded(self, _code: &'static str) -> Self {
        self
    }

    /// Completes the answer to `failure`.
    fn write(failure: &Failure<Self>, response: HttpResponseBuilder) -> HttpResponse;
}

#[derive(Debug)]
pub(super) struct Failure<F> {
    status: StatusCode,
    description: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
    form: F,
}

/// An error in the form of RFC 6749 section 5.2.
pub(super) type OAuthError = Failure<OAuthForm>;
/// An error in the form of RFC 9457.
pub(super) type Problem = Failure<ProblemForm>;
pub(super) type Answer = Result<HttpResponse, Problem>;

impl<F: Form> Failure<F> {
    pub(super) fn new(status: StatusCode, description: impl Into<String>) -> Self {
        let (description, form) = (description.into(), F::usual(status));
        Self { status, description, headers: Vec::new(), cause: None, form }
    }

    /// 503 with `Retry-After`.
    pub(super) fn unavailable(description: impl Into<String>) -> Self {
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, description);
        failure.with(header::RETRY_AFTER, RETRY_AFTER)
    }

    fn limited(limited: Limited) -> Self {
        let failure = Self::new(StatusCode::TOO_MANY_REQUESTS, LIMITED);
        failure.with(header::RETRY_AFTER, limited.retry_after)
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL)
    }

    /// The same with this code, where the form has codes.
    fn coded(self, code: &'static str) -> Self {
        Self { form: self.form.coded(code), ..self }
    }

    fn challenging(self, challenge: impl TryInto<HeaderValue>) -> Self {
        self.with(header::WWW_AUTHENTICATE, challenge)
    }

    fn with(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.headers.extend(value.try_into().ok().map(|value| (name, value)));
        self
    }

    pub(super) fn because(self, error: &(dyn Error + 'static)) -> Self {
        Self { cause: Some(describe(error)), ..self }
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl<F> fmt::Display for Failure<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description)
    }
}

impl<F: Form> ResponseError for Failure<F> {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        F::write(self, response)
    }
}

#[derive(Debug)]
pub(super) struct OAuthForm {
    code: &'static str,
    with_detail: bool,
}

/// An error (RFC 6749 section 5.2).
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// The code.
    #[schema(example = "invalid_grant")]
    error: String,
    /// A sentence for developers.
    error_description: String,
    /// The same sentence, at `/login` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

impl Form for OAuthForm {
    fn usual(status: StatusCode) -> Self {
        let code = match status {
            // The code is the one of RFC 6749 section 4.1.2.1 for what passes: its section 5.2 has none.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                "temporarily_unavailable"
            }
            StatusCode::INTERNAL_SERVER_ERROR => "server_error",
            _ => "invalid_request",
        };
        Self { code, with_detail: false }
    }

    fn coded(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    fn write(failure: &OAuthError, mut response: HttpResponseBuilder) -> HttpResponse {
        response.json(ErrorBody {
            error: failure.form.code.to_owned(),
            error_description: failure.description.clone(),
            detail: failure.form.with_detail.then(|| failure.description.clone()),
        })
    }
}

impl OAuthError {
    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, description)
    }

    pub(super) fn unsupported_grant_type(description: &'static str) -> Self {
        Self::invalid_request(description).coded("unsupported_grant_type")
    }

    /// The same with its description once more as `detail`, which `/login` promises.
    pub(super) fn with_detail(self) -> Self {
        Self { form: OAuthForm { with_detail: true, ..self.form }, ..self }
    }
}

/// One wrong field of a request body.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The field.
    pub field: Cow<'static, str>,
    /// What is wrong with it, for people.
    pub message: String,
}

#[derive(Debug)]
pub(super) struct ProblemForm {
    errors: Option<Vec<FieldError>>,
}

/// A problem (RFC 9457), `application/problem+json`.
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemBody {
    #[schema(example = "about:blank")]
    r#type: String,
    #[schema(example = "Bad Request")]
    title: String,
    #[schema(example = 400)]
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// What is wrong in each field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
}

impl Form for ProblemForm {
    fn usual(_: StatusCode) -> Self {
        Self { errors: None }
    }

    fn write(failure: &Problem, mut response: HttpResponseBuilder) -> HttpResponse {
        let body = serde_json::to_vec(&ProblemBody {
            r#type: "about:blank".to_owned(),
            title: failure.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: failure.status.as_u16(),
            detail: failure.description.clone(),
            errors: failure.form.errors.clone(),
        });
        response.content_type("application/problem+json").body(body.unwrap_or_default())
    }
}

impl Problem {
    pub(super) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let described: Vec<_> =
            errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        let problem = Self::new(StatusCode::BAD_REQUEST, described.join("; "));
        Self { form: ProblemForm { errors: Some(errors) }, ..problem }
    }

    /// 404; `detail` says which kind of resource was not found.
    pub(super) fn missing(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }
}

/// A failure with everything that caused it, in one line for the log. Libraries often repeat their
/// source in their own text, which is then not repeated.
fn describe(error: &(dyn Error + 'static)) -> String {
    let add = |text: String, cause: String| match text.contains(&cause) {
        true => text,
        false => format!("{text}: {cause}"),
    };
    anyhow::Chain::new(error).map(ToString::to_string).reduce(add).unwrap_or_default()
}
