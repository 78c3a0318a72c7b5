//! A small HTTP/1.1 server that does what it is told, against the protocol if need be.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsAcceptor;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// What is answered.
pub enum Reply {
    /// A whole answer: status, headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A body that comes piece by piece, until the sender is dropped.
    Pieces(&'static str, UnboundedReceiver<Vec<u8>>),
    /// Nothing, ever.
    Silence,
}

impl Reply {
    /// 200 with a JSON document.
    pub fn json(value: &serde_json::Value) -> Self {
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Self::Whole(200, headers, value.to_string().into_bytes())
    }

    /// A status and nothing else.
    pub fn status(code: u16) -> Self {
        Self::Whole(code, Vec::new(), Vec::new())
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server. It ends with the runtime of its test.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    handlers: Mutex<HashMap<String, Arc<Handler>>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<usize>,
}

impl Server {
    /// Listens on a port of its own.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// Listens, over TLS where there is an acceptor.
    pub async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let server = Self { address, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    *shared.connections.lock().unwrap() += 1;
                    let _ = match tls {
                        None => serve(connection, &shared).await,
                        Some(tls) => match tls.accept(connection).await {
                            Ok(connection) => serve(connection, &shared).await,
                            Err(error) => Err(error),
                        },
                    };
                    *shared.connections.lock().unwrap() -= 1;
                });
            }
        });
        server
    }

    /// Answers `path` by `handler` from now on.
    pub fn on(&self, path: &str, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        self.shared.handlers.lock().unwrap().insert(path.to_owned(), Arc::new(handler));
    }

    /// The requests for `path` so far.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// How many there were.
    pub fn count(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    /// The connections that are open.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

async fn serve(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut connection, &mut buffer).await? {
        shared.requests.lock().unwrap().push(request.clone());
        let handler = shared.handlers.lock().unwrap().get(&request.path).cloned();
        match handler.map_or_else(|| Reply::status(404), |handler| handler(&request)) {
            Reply::Whole(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} X\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                if status != 304 {
                    head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                }
                head.push_str("\r\n");
                connection.write_all(&[head.as_bytes(), &body].concat()).await?;
            }
            Reply::Pieces(content_type, mut pieces) => {
                // Without a length, the body ends with the connection.
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n");
                connection.write_all(head.as_bytes()).await?;
                let mut nothing = [0; 1];
                loop {
                    tokio::select! {
                        piece = pieces.recv() => match piece {
                            Some(piece) => connection.write_all(&piece).await?,
                            None => return Ok(()),
                        },
                        _ = connection.read(&mut nothing) => return Ok(()),
                    }
                }
            }
            Reply::Silence => {
                let mut nothing = [0; 1];
                let _ = connection.read(&mut nothing).await;
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn read(
    connection: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Request>> {
    let mut wanted = None;
    loop {
        if wanted.is_none() {
            wanted = head(buffer);
        }
        if let Some((length, request)) = &wanted
            && buffer.len() >= *length
        {
            let mut request = Request::clone(request);
            let whole: Vec<u8> = buffer.drain(..*length).collect();
            let body = whole.split_at(whole.len() - body_length(&request)).1;
            request.body = String::from_utf8_lossy(body).into_owned();
            return Ok(Some(request));
        }
        let mut piece = [0; 4096];
        let length = connection.read(&mut piece).await?;
        if length == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&piece[..length]);
    }
}

fn body_length(request: &Request) -> usize {
    request.headers.get("content-length").map_or(0, |length| length.parse().expect("a number"))
}

/// The request in front of `buffer` without its body, and how long the two are.
fn head(buffer: &[u8]) -> Option<(usize, Request)> {
    let end = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.filter_map(header).collect();
    let request = Request { method, path, headers, body: String::new() };
    Some((end + body_length(&request), request))
}
