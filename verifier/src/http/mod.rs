//! A small HTTP client: HTTPS by rustls on aws-lc-rs with the system's root certificates, bounds on
//! everything that is read, and no redirect to anybody else.

mod body;
mod error;
mod url;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

pub use error::FetchError;
pub use url::{AllowHttp, Url};

/// Redirects within a server that are followed.
const MAX_REDIRECTS: usize = 3;
/// An idle connection is kept for the next poll, and no longer.
const IDLE: Duration = Duration::from_secs(60);
/// The maximum of `Retry-After`; a later time is treated as this one.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The client. Connections are kept between requests.
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    allow: AllowHttp,
    timeout: Duration,
}

/// An answer that was read whole.
pub struct Answer {
    /// Whether it is 304: nothing is new.
    pub unchanged: bool,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, decoded.
    pub body: Vec<u8>,
    /// When the request was begun.
    pub asked_at: Instant,
}

impl Http {
    /// A client that gives a small answer this long.
    pub fn new(allow: AllowHttp, timeout: Duration) -> Result<Self, rustls::Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { client, allow, timeout })
    }

    /// Reads an address out of a document.
    pub fn url(&self, text: &str) -> Result<Url, FetchError> {
        Url::parse(text, self.allow)
    }

    /// Gets a document of at most `longest` bytes.
    pub async fn get(&self, url: &Url, longest: usize) -> Result<Answer, FetchError> {
        self.get_with(url, HeaderMap::new(), longest, self.timeout).await
    }

    /// Gets a document with headers of one's own and within `timeout`; 304 is an answer too.
    pub async fn get_with(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        longest: usize,
        timeout: Duration,
    ) -> Result<Answer, FetchError> {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let asked_at = Instant::now();
        let whole = async {
            let response = self.send(Method::GET, url, headers, Bytes::new()).await?;
            let (head, body) = response.into_parts();
            if head.status == StatusCode::NOT_MODIFIED {
                let headers = head.headers;
                return Ok(Answer { unchanged: true, headers, body: Vec::new(), asked_at });
            }
            successful(head.status, &head.headers)?;
            let body = body::read(body, &head.headers, longest).await?;
            Ok(Answer { unchanged: false, headers: head.headers, body, asked_at })
        };
        within(timeout, whole).await
    }

    /// Opens a body without an end.
    pub async fn open(
        &self,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, FetchError> {
        let opened = self.send(Method::GET, url, headers, Bytes::new());
        let response = within(self.timeout, opened).await?;
        successful(response.status(), response.headers())?;
        Ok(response)
    }

    /// Posts a form.
    pub async fn post(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        form: String,
        longest: usize,
    ) -> Result<Vec<u8>, FetchError> {
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form_type);
        let whole = async {
            let response = self.send(Method::POST, url, headers, form.into()).await?;
            successful(response.status(), response.headers())?;
            let (head, body) = response.into_parts();
            body::read(body, &head.headers, longest).await
        };
        within(self.timeout, whole).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, FetchError> {
        let agent = concat!("signet-verifier/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = url.uri().clone();
            *request.headers_mut() = headers.clone();
            let response = self.client.request(request).await?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            if method != Method::GET {
                return Err(FetchError::Redirect);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            url =
                location.and_then(|location| url.redirect(location)).ok_or(FetchError::Redirect)?;
        }
        Err(FetchError::Redirect)
    }
}

fn successful(status: StatusCode, headers: &HeaderMap) -> Result<(), FetchError> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let retry_after = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    Err(FetchError::Status { code: status.as_u16(), retry_after })
}

async fn within<T>(
    timeout: Duration,
    whole: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    tokio::time::timeout(timeout, whole).await.unwrap_or(Err(FetchError::Timeout))
}

/// Trusts the system's roots. Without any, HTTPS fails when it is used: a verifier on loopback
/// needs none.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
