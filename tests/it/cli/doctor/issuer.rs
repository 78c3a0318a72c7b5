//! An issuer made for the test: sound in all that `doctor` looks at, until the test spoils something.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use signet::domain::keys::jwks::Jwks;
use signet::domain::keys::{Algorithm, SigningKey};

/// What came over the wire.
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What comes after the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    End,
    /// Nothing, and the connection stays.
    Silence,
    /// Heartbeats, and a change where something is revoked.
    Beats,
    /// The body again and again.
    Endless,
}

#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub then: Then,
}

impl Reply {
    pub fn new(status: u16, kind: &str, body: impl Into<String>) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.into(), then: Then::End }
    }

    pub fn json(body: &Value) -> Self {
        Self::new(200, "application/json", body.to_string())
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// The body as JSON, changed.
    pub fn changed(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut body: Value = serde_json::from_str(&self.body).expect("JSON");
        change(&mut body);
        self.body = body.to_string();
        self
    }
}

type Spoil = dyn Fn(&Facts, &Request, Reply) -> Reply + Send + Sync;
type Wrap = dyn Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync;

pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// What it knows.
pub struct Facts {
    pub base: String,
    /// Two that are published, and one that is not.
    pub keys: [SigningKey; 3],
    /// The ids of tokens that were revoked.
    pub revoked: Mutex<Vec<String>>,
    /// Every request so far.
    pub asked: Mutex<Vec<Request>>,
}

impl Facts {
    /// `claims` as a JWT, signed by one of the keys.
    pub fn sign(&self, key: usize, typ: &str, claims: &Value) -> String {
        let key = &self.keys[key];
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
        (header.typ, header.kid) = (Some(typ.to_owned()), Some(key.public.kid.clone()));
        let document = key.to_pkcs8().expect("PKCS#8");
        let key = jsonwebtoken::EncodingKey::from_ed_der(document.expose());
        jsonwebtoken::encode(&header, claims, &key).expect("it signs")
    }

    pub fn statement(&self) -> Value {
        let revoked = self.revoked.lock().expect("no panic");
        let entry = |jti: &String| json!({ "jti": jti, "exp": now() + 600 });
        let entries: Vec<_> = revoked.iter().map(entry).collect();
        json!({
            "iss": self.base, "iat": now(), "exp": now() + 300, "jti": "a", "epoch": "e",
            "seq": entries.len(), "revocations": entries,
        })
    }

    /// What a token says.
    pub fn claims(&self, jti: &str) -> Value {
        json!({
            "iss": self.base, "sub": "c", "client_id": "c", "aud": "api", "jti": jti,
            "iat": now(), "exp": now() + 600,
        })
    }

    fn answer(&self, request: &Request) -> Reply {
        let at = |path: &str| format!("{}{path}", self.base);
        match request.path.as_str() {
            "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
                Reply::json(&json!({
                    "issuer": self.base, "jwks_uri": at("/jwks"), "token_endpoint": at("/token"),
                    "revocation_endpoint": at("/revoke"),
                    "introspection_endpoint": at("/introspect"),
                    "revocations_uri": at("/revocations"),
                    "revocations_stream_uri": at("/revocations/stream"),
                }))
            }
            "/jwks" => {
                let jwks = Jwks::new(self.keys[..2].iter().map(|key| &key.public));
                let body = String::from_utf8(jwks.body.to_vec()).expect("JSON");
                let reply = Reply::new(200, "application/json", body);
                reply.with("cache-control", "public, max-age=300").with("etag", &jwks.etag)
            }
            "/revocations" => {
                let statement = self.statement();
                let jws = self.sign(0, "revocations+jwt", &statement);
                let reply = Reply::new(200, "application/jwt", jws).with("age", "0");
                reply.with("etag", &format!("W/\"e-{}\"", statement["seq"]))
            }
            "/revocations/stream" => {
                let first = "id: 0\nevent: snapshot\ndata: {\"epoch\":\"e\",\"seq\":0}\n\n";
                let reply = Reply::new(200, "text/event-stream", first);
                Reply { then: Then::Beats, ..reply }
            }
            "/token" => {
                let token = self.sign(0, "at+jwt", &self.claims("j"));
                Reply::json(&json!({ "access_token": token, "token_type": "Bearer" }))
            }
            "/revoke" => {
                self.revoked.lock().expect("no panic").push("j".to_owned());
                Reply::new(200, "text/plain", "")
            }
            "/introspect" => {
                let active = self.revoked.lock().expect("no panic").is_empty();
                Reply::json(&json!({ "active": active }))
            }
            _ => Reply::new(404, "text/plain", "not found"),
        }
    }

    /// Events until nobody reads them any more.
    fn beat(&self, stream: &mut dyn Stream) -> std::io::Result<()> {
        let mut told = 0;
        loop {
            let statement = self.statement();
            let entries = statement["revocations"].as_array().expect("entries");
            let event = if entries.len() > told {
                told = entries.len();
                let change = self.sign(0, "secevent+jwt", &statement);
                format!("id: {told}\nevent: revocation\ndata: {change}\n\n")
            } else {
                let data = json!({ "epoch": "e", "seq": told, "age": 0.1 });
                format!("event: heartbeat\ndata: {data}\n\n")
            };
            stream.write_all(event.as_bytes())?;
            stream.flush()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

pub fn now() -> i64 {
    #[allow(clippy::disallowed_methods, reason = "the test's own clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

/// One that runs until the tests end.
pub struct Issuer {
    pub facts: Arc<Facts>,
}

impl Issuer {
    /// A sound one.
    pub fn sound() -> Self {
        Self::spoilt(|_, _, reply| reply)
    }

    /// One whose answers are spoilt.
    pub fn spoilt(
        spoil: impl Fn(&Facts, &Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let plain = |stream| Some(Box::new(stream) as Box<dyn Stream>);
        Self::over("http", Box::new(plain), Box::new(spoil))
    }

    /// One whose answer at this path is spoilt.
    pub fn spoilt_at(
        path: &'static str,
        spoil: impl Fn(&Facts, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::spoilt(
            move |facts, request, reply| {
                if request.path == path { spoil(facts, reply) } else { reply }
            },
        )
    }

    /// One that is spoken to through `wrap`.
    pub fn over(scheme: &str, wrap: Box<Wrap>, spoil: Box<Spoil>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let key = || SigningKey::generate(Algorithm::EdDsa, 0).expect("a key");
        let (revoked, asked) = (Mutex::default(), Mutex::default());
        let keys = [key(), key(), key()];
        let facts = Arc::new(Facts { base, keys, revoked, asked });
        let shared = (facts.clone(), Arc::new(wrap), Arc::new(spoil));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (facts, wrap, spoil) = shared.clone();
                // Who hangs up early is no matter.
                std::thread::spawn(move || {
                    wrap(stream).map(|stream| serve(&facts, &**spoil, stream))
                });
            }
        });
        Self { facts }
    }

    /// Its name.
    pub fn base(&self) -> &str {
        &self.facts.base
    }

    /// The paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.facts.asked.lock().expect("no panic");
        asked.iter().map(|request| request.path.clone()).collect()
    }
}

fn serve(facts: &Facts, spoil: &Spoil, stream: Box<dyn Stream>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let request = read(&mut reader)?;
    let stream = reader.get_mut();
    let mut reply = spoil(facts, &request, facts.answer(&request));
    let etag = reply.headers.iter().find(|(name, _)| name == "etag").map(|(_, etag)| etag);
    if etag.is_some() && request.header("if-none-match") == etag.map(String::as_str) {
        reply = Reply { status: 304, body: String::new(), ..reply };
    }
    facts.asked.lock().expect("no panic").push(request);
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now() as u64));
    let mut head = format!("HTTP/1.1 {} Whatever\r\nconnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(name, _)| name == "date") {
        head.push_str(&format!("date: {date}\r\n"));
    }
    if reply.then == Then::End {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{}", reply.body).as_bytes())?;
    stream.flush()?;
    match reply.then {
        Then::End => Ok(()),
        Then::Silence => stream.read(&mut [0]).map(drop),
        Then::Beats => facts.beat(stream),
        Then::Endless => loop {
            stream.write_all(reply.body.as_bytes())?;
        },
    }
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { path, headers, body: String::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(request)
}
