//! Asks over HTTP the way a careful sibling does: the system's roots, no redirects, and a bound on every
//! wait and every answer. Each step of a connection is open to be measured.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use super::fault::Fault;
use crate::base::time::Clock;

/// A single answer that is not there by then is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// One of a name's addresses that has not answered by then is passed over.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// The head of an answer.
const LONGEST_HEAD: usize = 64 * 1024;
/// More addresses of one name are not tried.
const MOST_ADDRESSES: usize = 8;

/// What asks.
pub struct Http {
    /// The clock that the issuer's is compared with.
    pub clock: Clock,
    /// When all has to be done.
    deadline: Instant,
    tls: Arc<ClientConfig>,
    /// How many certificates are trusted here.
    pub roots: usize,
}

/// A connection that is open; requests go one after the other.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The time of day when it was asked for.
    pub asked_at: Duration,
    /// How long it took until its head was here.
    pub head_after: Duration,
}

/// What is asked.
#[derive(Clone, Default)]
pub struct Question {
    /// For these members of a form, a POST.
    pub form: Option<String>,
    /// The value of `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// The value of `If-None-Match`.
    pub known: Option<HeaderValue>,
    /// The value of `Accept`.
    pub accept: Option<&'static str>,
}

impl Http {
    /// Asks until `deadline`, and trusts what the system trusts.
    pub fn new(deadline: Instant) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (count, _) = roots.add_parsable_certificates(found.certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for every version that is built in")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { clock: Clock::system(), deadline, tls: Arc::new(tls), roots: count }
    }

    /// How much of `wanted` there is still time for.
    pub fn left(&self, wanted: Duration) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).min(wanted)
    }

    /// Waits for `work`, at most for `limit` and never beyond the deadline.
    pub async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let left = self.left(limit);
        match tokio::time::timeout(left, work).await {
            Ok(done) => done,
            Err(_) if left < limit => Err(Fault::TimeUp),
            Err(_) => Err(Fault::Slow(limit)),
        }
    }

    /// The addresses of the host of `url`.
    pub async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, Fault> {
        let port = url.port_or_known_default().unwrap_or(443);
        let name = match url.host() {
            Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Domain(name)) => name,
            None => return Err(Fault::NoAddress),
        };
        let look_up = async { tokio::net::lookup_host((name, port)).await.map_err(Fault::Name) };
        let found = self.within(ANSWER_WITHIN, look_up).await?;
        let addresses: Vec<_> = found.take(MOST_ADDRESSES).collect();
        if addresses.is_empty() { Err(Fault::NoAddress) } else { Ok(addresses) }
    }

    /// Connects to `address`.
    pub async fn dial(&self, address: SocketAddr) -> Result<TcpStream, Fault> {
        let dial = async {
            let stream = TcpStream::connect(address).await;
            let stream = stream.map_err(|error| Fault::Connect(address, error))?;
            // Small requests should not wait for each other.
            stream.set_nodelay(true).map_err(|error| Fault::Connect(address, error))?;
            Ok(stream)
        };
        self.within(CONNECT_WITHIN, dial).await
    }

    /// Speaks TLS on `stream`, with who has a certificate for the host of `url`.
    pub async fn secure(
        &self,
        url: &Url,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Fault> {
        let name = match url.host() {
            Some(Host::Ipv4(address)) => ServerName::from(std::net::IpAddr::from(address)),
            Some(Host::Ipv6(address)) => ServerName::from(std::net::IpAddr::from(address)),
            Some(Host::Domain(name)) => {
                ServerName::try_from(name.to_owned()).map_err(|_| Fault::NoAddress)?
            }
            None => return Err(Fault::NoAddress),
        };
        let connector = TlsConnector::from(self.tls.clone());
        let shake = async { connector.connect(name, stream).await.map_err(Fault::Tls) };
        self.within(ANSWER_WITHIN, shake).await
    }

    /// Connects to the host of `url` by the first of its addresses that answers.
    pub async fn connect(&self, url: &Url) -> Result<Connection, Fault> {
        let mut failed = Fault::NoAddress;
        for address in self.resolve(url).await? {
            match self.dial(address).await {
                Ok(stream) if url.scheme() == "https" => {
                    return self.begin(url, self.secure(url, stream).await?).await;
                }
                Ok(stream) => return self.begin(url, stream).await,
                Err(fault) => failed = fault,
            }
        }
        Err(failed)
    }

    async fn begin<S>(&self, url: &Url, stream: S) -> Result<Connection, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(LONGEST_HEAD);
        let handshake =
            async { builder.handshake(TokioIo::new(stream)).await.map_err(Fault::Http) };
        let (sender, connection) = self.within(ANSWER_WITHIN, handshake).await?;
        // Ends with the sender and the last body; what goes wrong with it is told there.
        tokio::spawn(connection);
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let host = HeaderValue::from_str(authority).map_err(|_| Fault::NoAddress)?;
        Ok(Connection { sender, host })
    }

    /// Asks `url` on a connection of its own. A body above `longest` bytes is not read.
    pub async fn ask(&self, url: &Url, what: Question, longest: usize) -> Result<Answer, Fault> {
        self.connect(url).await?.ask(self, url, what, longest).await
    }
}

impl Connection {
    /// Whether another request can be sent.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Asks, and takes the head of the answer; the body is the caller's to read.
    pub async fn open(
        &mut self,
        http: &Http,
        url: &Url,
        what: Question,
    ) -> Result<Response<Incoming>, Fault> {
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let method = if what.form.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.host.clone())
            .header(header::USER_AGENT, concat!("signet-doctor/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, what.accept.unwrap_or("*/*"));
        if what.form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let optional =
            [(header::AUTHORIZATION, what.authorization), (header::IF_NONE_MATCH, what.known)];
        for (name, value) in optional {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let body = Full::new(Bytes::from(what.form.unwrap_or_default()));
        let request = request.body(body).map_err(|_| Fault::NoAddress)?;
        let send = async {
            self.sender.ready().await.map_err(Fault::Http)?;
            self.sender.send_request(request).await.map_err(Fault::Http)
        };
        http.within(ANSWER_WITHIN, send).await
    }

    /// Asks, and reads the answer whole.
    pub async fn ask(
        &mut self,
        http: &Http,
        url: &Url,
        what: Question,
        longest: usize,
    ) -> Result<Answer, Fault> {
        let (asked_at, start) = (http.clock.since_epoch(), Instant::now());
        let response = self.open(http, url, what).await?;
        let head_after = start.elapsed();
        let (head, mut rest) = response.into_parts();
        let read = async {
            let mut body = Vec::new();
            while let Some(frame) = rest.frame().await {
                let Ok(data) = frame.map_err(Fault::Http)?.into_data() else { continue };
                if body.len() + data.len() > longest {
                    return Err(Fault::TooLong(longest));
                }
                body.extend_from_slice(&data);
            }
            Ok(body)
        };
        let body = http.within(ANSWER_WITHIN, read).await?;
        Ok(Answer { status: head.status, headers: head.headers, body, asked_at, head_after })
    }
}

impl Answer {
    /// The same, if it is a success.
    pub fn success(self) -> Result<Self, Fault> {
        Fault::of_status(self.status, &self.headers)?;
        Ok(self)
    }

    /// A header, as text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        text(&self.headers, name)
    }
}

/// A header, as text.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The value of `Authorization` for a client (RFC 6749 section 2.3.1).
pub fn basic(client_id: &str, secret: &str) -> HeaderValue {
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = zeroize::Zeroizing::new(format!("{}:{}", encode(client_id), encode(secret)));
    sensitive(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// The value of `Authorization` for a token (RFC 6750 section 2.1).
pub fn bearer(token: &str) -> HeaderValue {
    sensitive(&format!("Bearer {token}"))
}

fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
