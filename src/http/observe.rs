//! The layer around every route: it puts an id into the answer and the log line, counts and times
//! the request, and sets the headers that every answer carries. Each route has a layer of its own,
//! so that the handles of its metrics are looked up once and not per request.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::HttpMessage;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{Error, ResponseError};

use super::error::{ErrorForm, OAuthError, Problem};
use super::proxies::Proxies;
use crate::app::Issuer;
use crate::base::metrics::RouteMetrics;

#[derive(Clone)]
pub(super) struct RequestId(String);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A source of request ids: a random prefix makes them unique across instances, a counter cheap.
pub(super) struct RequestIds {
    prefix: String,
    next: AtomicU64,
    proxies: Proxies,
}

impl RequestIds {
    /// Creates a source whose ids begin with `prefix`, and which uses the ids that `proxies` send.
    pub(super) fn new(prefix: u64, proxies: Proxies) -> Self {
        Self { prefix: format!("{prefix:016x}"), next: AtomicU64::new(0), proxies }
    }

    /// Returns the id that a trusted proxy gave the request, if it is well-formed, else a fresh
    /// one. An id from any other caller is ignored: it could be that of another request in the log
    /// or the audit trail.
    fn assign(&self, request: &ServiceRequest) -> RequestId {
        let by_proxy = self.proxies.sent(request);
        let given = request.headers().get(NAME).filter(|_| by_proxy);
        let given = given.and_then(|value| value.to_str().ok());
        let harmless = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match given.filter(harmless) {
            Some(given) => RequestId(given.to_owned()),
            None => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                RequestId(format!("{}-{number:x}", self.prefix))
            }
        }
    }
}

const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// The headers that OWASP Secure Headers recommends: a browser must not guess the type of an
/// answer, frame it, or send its address as a referrer.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Which answers of a route are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// One line for each answer.
    Each,
    /// One line for each failure; other answers at the level debug. For routes that are polled.
    Failures,
}

#[derive(Clone)]
pub(super) struct Observe {
    /// The route's pattern, logged in place of the path: paths and queries may contain secrets.
    pub route: &'static str,
    pub metrics: RouteMetrics,
    pub verbosity: Verbosity,
    pub form: ErrorForm,
    pub ids: std::sync::Arc<RequestIds>,
    /// The issuer, whose process reports whether it is draining.
    pub app: Data<Issuer>,
}

impl<S, B> Transform<S, ServiceRequest> for Observe
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, BoxBody>>;
    type Error = Error;
    type Transform = Observed<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Observed { service, around: Rc::new(self.clone()) }))
    }
}

pub(super) struct Observed<S> {
    service: S,
    around: Rc<Observe>,
}

impl<S, B> Service<ServiceRequest> for Observed<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, BoxBody>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let start = Instant::now();
        let around = self.around.clone();
        let id = around.ids.assign(&request);
        request.extensions_mut().insert(id.clone());
        let answer = self.service.call(request);
        Box::pin(async move {
            let response = answer.await?;
            // An error that the framework answers with its own text gets the form of this API.
            let mut response = match foreign_error(&response, &around) {
                Some(dressed) => response.into_response(dressed).map_into_right_body(),
                None => response.map_into_left_body(),
            };
            around.finish(&mut response, &id, start);
            Ok(response)
        })
    }
}

fn foreign_error<B>(
    response: &ServiceResponse<B>,
    around: &Observe,
) -> Option<actix_web::HttpResponse> {
    let error = response.response().error()?;
    if error.as_error::<OAuthError>().is_some() || error.as_error::<Problem>().is_some() {
        return None;
    }
    let (status, detail) = (response.status(), error.to_string());
    if status.is_server_error() {
        tracing::error!(route = around.route, error = detail, "the framework failed");
        return Some(Problem::internal().error_response());
    }
    Some(around.form.answer(status, detail))
}

fn cause<B>(response: &ServiceResponse<B>) -> Option<String> {
    let error = response.response().error()?;
    let oauth = error.as_error::<OAuthError>().and_then(OAuthError::cause);
    let problem = || error.as_error::<Problem>().and_then(Problem::cause);
    oauth.or_else(problem).map(str::to_owned)
}

impl Observe {
    fn finish<B>(&self, response: &mut ServiceResponse<B>, id: &RequestId, start: Instant) {
        let status = response.status();
        if self.app.is_draining() {
            // A proxy that kept the connection would send its next request to an instance that is
            // stopping.
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        let headers = response.headers_mut();
        for (name, value) in &ALWAYS {
            // The docs page sets a `Content-Security-Policy` of its own.
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            headers.insert(NAME, value);
        }
        let elapsed = start.elapsed().as_secs_f64();
        self.metrics.observe(status.as_u16(), elapsed);
        let method = response.request().method();
        let (status, ms) = (status.as_u16(), (elapsed * 1e5).round() / 1e2);
        if status >= 500 {
            let error = cause(response);
            tracing::warn!(%method, route = self.route, status, ms, request_id = %id.0, error, "request");
        } else if self.verbosity == Verbosity::Each {
            tracing::info!(%method, route = self.route, status, ms, request_id = %id.0, "request");
        } else {
            tracing::debug!(%method, route = self.route, status, ms, request_id = %id.0, "request");
        }
    }
}
