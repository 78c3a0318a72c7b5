//! The client itself: resolves, connects, encrypts and asks, each step open to callers that measure
//! it, and each bounded on its own.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use super::{Answer, Giver, OutboundError, OutboundPolicy, Request, Target, networks};

/// The time for each step of a request but connecting: name, TLS, head, body.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for a connection to one of a name's addresses, at most a quarter of the whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_ADDRESSES: usize = 8;
/// The number of concurrent calls of [`Outbound::fetch`]; further ones wait within their time.
const MAX_CONCURRENT_FETCHES: usize = 8;

/// Hosts that are fetched from, each with the lock that its fetches take one after the other.
type Hosts = std::sync::Mutex<HashMap<String, Arc<Mutex<()>>>>;

/// The client. Each connection is opened for one exchange or kept by the caller.
pub struct Outbound {
    tls: Arc<ClientConfig>,
    has_authorities: bool,
    policy: OutboundPolicy,
    agent: &'static str,
    fetches: Semaphore,
    hosts: Hosts,
}

/// An open connection; its requests follow one another.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    agent: &'static str,
}

impl Outbound {
    /// A client under `policy` that calls itself `agent`.
    pub fn new(policy: OutboundPolicy, agent: &'static str) -> Result<Self, rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(policy.authorities.iter().cloned());
        let has_authorities = !roots.is_empty();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let fetches = Semaphore::new(MAX_CONCURRENT_FETCHES);
        let hosts = Hosts::default();
        Ok(Self { tls: Arc::new(tls), has_authorities, policy, agent, fetches, hosts })
    }

    /// Whether any authority is trusted; without one, HTTPS fails.
    pub fn has_authorities(&self) -> bool {
        self.has_authorities
    }

    /// Sends a request and reads the answer of at most `max_bytes`, whatever its status, within the
    /// policy's timeout, name resolution and the wait for other fetches included. A host is fetched
    /// from by one call at a time.
    pub async fn fetch(
        &self,
        target: Target<'_>,
        request: Request,
        max_bytes: usize,
    ) -> Result<Answer, OutboundError> {
        within(self.policy.timeout, async {
            // Calls that wait for a slow host hold up no other host.
            let _turn = self.host(target.url).lock_owned().await;
            // The semaphore is never closed.
            let _permit = self.fetches.acquire().await.ok();
            self.connect(target).await?.fetch(target.url, request, max_bytes).await
        })
        .await
    }

    fn host(&self, url: &Url) -> Arc<Mutex<()>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, host| Arc::strong_count(host) > 1);
        hosts.entry(url.host_str().unwrap_or_default().to_owned()).or_default().clone()
    }

    /// Connects to the first address of the target's host that answers.
    pub async fn connect(&self, target: Target<'_>) -> Result<Connection, OutboundError> {
        let mut failure = OutboundError::NoAddress;
        for address in self.resolve(target).await? {
            match self.dial(address).await {
                Ok(stream) if target.url.scheme() == "https" => {
                    let stream = self.encrypt(target.url, stream).await?;
                    return self.begin(target.url, stream).await;
                }
                Ok(stream) => return self.begin(target.url, stream).await,
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The addresses of the target's host, checked.
    pub async fn resolve(&self, target: Target<'_>) -> Result<Vec<SocketAddr>, OutboundError> {
        target.check_url()?;
        let port = target.url.port_or_known_default().unwrap_or(443);
        let addresses = match target.url.host().ok_or(OutboundError::NoAddress)? {
            Host::Ipv4(address) => vec![(address, port).into()],
            Host::Ipv6(address) => vec![(address, port).into()],
            Host::Domain(name) => {
                let look_up = async {
                    tokio::net::lookup_host((name, port)).await.map_err(OutboundError::Name)
                };
                within(STEP_TIMEOUT, look_up).await?.take(MAX_ADDRESSES).collect::<Vec<_>>()
            }
        };
        if addresses.is_empty() {
            return Err(OutboundError::NoAddress);
        }
        if target.giver != Giver::Operator {
            networks::check(&self.policy.allow, target.url, &addresses)?;
        }
        Ok(addresses)
    }

    /// Connects to one resolved address.
    pub async fn dial(&self, address: SocketAddr) -> Result<TcpStream, OutboundError> {
        let failed = |error| OutboundError::Connect(address, error);
        within(CONNECT_TIMEOUT.min(self.policy.timeout / 4), async {
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            // Small requests should not wait for each other.
            stream.set_nodelay(true).map_err(failed)?;
            Ok(stream)
        })
        .await
    }

    /// Makes the TLS handshake with the host of `url`.
    pub async fn encrypt(
        &self,
        url: &Url,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, OutboundError> {
        let name = match url.host().ok_or(OutboundError::NoAddress)? {
            Host::Ipv4(address) => ServerName::from(IpAddr::from(address)),
            Host::Ipv6(address) => ServerName::from(IpAddr::from(address)),
            Host::Domain(name) => {
                ServerName::try_from(name.to_owned()).map_err(|_| OutboundError::NoAddress)?
            }
        };
        let connector = TlsConnector::from(self.tls.clone());
        let handshake = async { connector.connect(name, stream).await.map_err(OutboundError::Tls) };
        within(STEP_TIMEOUT, handshake).await
    }

    async fn begin<S>(&self, url: &Url, stream: S) -> Result<Connection, OutboundError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD_BYTES);
        let handshake =
            async { builder.handshake(TokioIo::new(stream)).await.map_err(OutboundError::Http) };
        let (sender, connection) = within(STEP_TIMEOUT, handshake).await?;
        // Ends with the sender and the last body, which also report its errors.
        tokio::spawn(connection);
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let host = HeaderValue::from_str(authority).map_err(|_| OutboundError::NoAddress)?;
        Ok(Connection { sender, host, agent: self.agent })
    }
}

impl Connection {
    /// Whether another request can be sent.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of the answer; the caller reads and bounds the body.
    pub async fn open(
        &mut self,
        url: &Url,
        request: Request,
    ) -> Result<Response<Incoming>, OutboundError> {
        let Request { form, authorization, if_none_match, accept } = request;
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = [
            (header::HOST, Some(self.host.clone())),
            (header::USER_AGENT, Some(HeaderValue::from_static(self.agent))),
            (header::ACCEPT, Some(HeaderValue::from_static(accept.unwrap_or("*/*")))),
            (header::CONTENT_TYPE, form.as_ref().map(|_| form_type)),
            (header::AUTHORIZATION, authorization),
            (header::IF_NONE_MATCH, if_none_match),
        ];
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let mut request = hyper::Request::new(Full::new(Bytes::from(form.unwrap_or_default())));
        *request.method_mut() = method;
        let path = url[url::Position::BeforePath..url::Position::AfterQuery].parse();
        *request.uri_mut() = path.map_err(|_| OutboundError::Address("have a valid path"))?;
        let present = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        request.headers_mut().extend(present);
        within(STEP_TIMEOUT, async {
            self.sender.ready().await.map_err(OutboundError::Http)?;
            self.sender.send_request(request).await.map_err(OutboundError::Http)
        })
        .await
    }

    /// Sends a request and reads the answer of at most `max_bytes`, whatever its status.
    pub async fn fetch(
        &mut self,
        url: &Url,
        request: Request,
        max_bytes: usize,
    ) -> Result<Answer, OutboundError> {
        let asked_at = Instant::now();
        let (head, mut rest) = self.open(url, request).await?.into_parts();
        let head_after = asked_at.elapsed();
        let read = async {
            let mut body = Vec::new();
            while let Some(frame) = rest.frame().await {
                let Ok(data) = frame.map_err(OutboundError::Http)?.into_data() else { continue };
                if body.len() + data.len() > max_bytes {
                    return Err(OutboundError::TooLong(max_bytes));
                }
                body.extend_from_slice(&data);
            }
            Ok(body)
        };
        let body = within(STEP_TIMEOUT, read).await?;
        Ok(Answer { status: head.status, headers: head.headers, body, asked_at, head_after })
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, OutboundError>>,
) -> Result<T, OutboundError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(OutboundError::Slow(limit)))
}
