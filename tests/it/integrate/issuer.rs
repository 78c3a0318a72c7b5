//! An issuer that signs whatever a test wants and can misbehave: metadata, keys, and the feed of
//! revocations over plain sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use signet::base::time::Clock;

use super::AUDIENCE;
use crate::support::keys::foreign_key;

const HEARTBEAT: Duration = Duration::from_millis(200);

/// A key of the issuer.
pub struct Key {
    pub kid: String,
    pub private: EncodingKey,
    jwk: Value,
}

impl Key {
    pub fn new() -> Self {
        let (private, kid) = foreign_key();
        let number = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
        let jwk = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": number(private.n()), "e": number(private.e()),
        });
        let pem = private.to_pkcs8_pem(LineEnding::LF).expect("PKCS#8");
        let private = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
        Self { kid, private, jwk }
    }

    /// A compact JWS with this header, to which algorithm and kid are added where they are missing.
    pub fn sign(&self, mut header: Value, claims: &Value) -> String {
        let members = header.as_object_mut().expect("an object");
        members.entry("alg").or_insert(json!("RS256"));
        members.entry("kid").or_insert(json!(self.kid));
        self.sign_as_is(header, claims)
    }

    /// A compact JWS with exactly this header.
    pub fn sign_as_is(&self, header: Value, claims: &Value) -> String {
        let algorithm: Algorithm =
            serde_json::from_value(header["alg"].clone()).unwrap_or(Algorithm::RS256);
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, algorithm);
        format!("{message}.{}", signature.expect("a signature"))
    }
}

/// What the issuer says, and what it was asked.
pub struct State {
    pub epoch: String,
    pub entries: Vec<Value>,
    /// The changes that can still be resumed from, by number.
    pub events: Vec<(i64, String)>,
    pub seq: i64,
    /// What the snapshot is, where it is not the truth.
    pub snapshot: Option<String>,
    /// Whether heartbeats are sent.
    pub beats: bool,
    /// Whether the feed has a name and lanes, as it has now. A Signet of before signs it in the
    /// issuer's name, and knows one history.
    pub names_lanes: bool,
    /// Another lane, where there is one: its name, epoch, number and entries.
    pub other_lane: Option<(String, String, i64, Vec<Value>)>,
    /// The status of the stream.
    pub stream_status: u16,
    pub snapshots: usize,
    pub not_modified: usize,
    /// The `Last-Event-ID` of each connection to the stream.
    pub resumed_after: Vec<Option<String>>,
    /// How often the keys were asked for.
    pub key_fetches: usize,
    /// Those who asked for the keys and get no answer, where nobody is to get one.
    pub waiting: Option<Vec<TcpStream>>,
    listeners: Vec<TcpStream>,
}

pub struct Issuer {
    pub base: String,
    pub keys: [Key; 2],
    state: Arc<Mutex<State>>,
}

pub fn now() -> i64 {
    Clock::system().now().as_unix()
}

impl Issuer {
    pub fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let state = State {
            epoch: "one".into(),
            entries: Vec::new(),
            events: Vec::new(),
            seq: 0,
            snapshot: None,
            beats: true,
            names_lanes: true,
            other_lane: None,
            stream_status: 200,
            snapshots: 0,
            not_modified: 0,
            resumed_after: Vec::new(),
            key_fetches: 0,
            waiting: None,
            listeners: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let issuer = Arc::new(Self { base, keys: [Key::new(), Key::new()], state });
        let serving = Arc::downgrade(&issuer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Some(issuer), Ok(stream)) = (serving.upgrade(), stream) else { return };
                std::thread::spawn(move || issuer.serve(stream));
            }
        });
        let beating = Arc::downgrade(&issuer);
        std::thread::spawn(move || {
            while let Some(issuer) = beating.upgrade() {
                let mut state = issuer.state();
                let mut data = json!({ "epoch": state.epoch, "seq": state.seq, "age": 0.01 });
                if state.names_lanes {
                    data["lane"] = json!("0");
                }
                if state.beats {
                    state.send(&format!("event: heartbeat\ndata: {data}\n\n"));
                    if let Some((lane, epoch, seq, _)) = &state.other_lane {
                        let data = json!({ "lane": lane, "epoch": epoch, "seq": seq, "age": 0.01 });
                        state.send(&format!("event: heartbeat\ndata: {data}\n\n"));
                    }
                }
                drop(state);
                drop(issuer);
                std::thread::sleep(HEARTBEAT);
            }
        });
        issuer
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The claims of a good token, with these changed; null takes one away.
    pub fn claims(&self, changes: Value) -> Value {
        let id = signet::base::random::Random::system().uuid().to_string();
        let mut claims = json!({
            "iss": self.base, "aud": AUDIENCE, "sub": "u", "client_id": "shop", "jti": id, "sid": id,
            "iat": now() - 5, "exp": now() + 600, "scope": "orders:read", "roles": [],
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        claims
    }

    /// A token with the claims of a good one, with these changed.
    pub fn token(&self, changes: Value) -> String {
        self.keys[0].sign(json!({ "typ": "at+jwt" }), &self.claims(changes))
    }

    /// Signs changes of this lane, one for each entry, of which the last has the number `seq`. `None`
    /// stands for the previous version of Signet, which names no lane.
    pub fn change_of(
        &self,
        lane: Option<&str>,
        seq: i64,
        epoch: &str,
        entries: &[Value],
    ) -> String {
        let mut claims = json!({
            "iss": self.base, "iat": now(), "jti": format!("{epoch}-{seq}"), "epoch": epoch, "seq": seq,
            "events": {}, "revocations": entries,
        });
        self.name(&mut claims, lane);
        if lane.is_some() {
            let before = i64::try_from(entries.len()).expect("a number") - 1;
            claims["first_seq"] = json!(seq - before);
        }
        self.keys[0].sign(json!({ "typ": "secevent+jwt" }), &claims)
    }

    /// A snapshot of `entries` as it is signed.
    pub fn snapshot(&self, typ: &str, seq: i64, epoch: &str, entries: &[Value]) -> String {
        self.snapshot_of(Some("0"), typ, seq, epoch, entries)
    }

    fn snapshot_of(
        &self,
        lane: Option<&str>,
        typ: &str,
        seq: i64,
        epoch: &str,
        entries: &[Value],
    ) -> String {
        let mut claims = json!({
            "iss": self.base, "iat": now(), "exp": now() + 300, "jti": "s", "epoch": epoch, "seq": seq,
            "revocations": entries,
        });
        self.name(&mut claims, lane);
        self.keys[0].sign(json!({ "typ": typ }), &claims)
    }

    fn name(&self, claims: &mut Value, lane: Option<&str>) {
        if let Some(lane) = lane {
            let feed = format!("{}/revocations", self.base);
            claims["iss"] = json!(feed);
            claims["aud"] = json!(feed);
            claims["lane"] = json!(lane);
        }
    }

    /// Sends a change to all listeners.
    pub fn revoke(&self, entry: Value) {
        self.revoke_together(vec![entry]);
    }

    /// Sends several changes to all listeners, in one event.
    pub fn revoke_together(&self, mut entries: Vec<Value>) {
        let mut state = self.state();
        for entry in &mut entries {
            entry["exp"] = json!(now() + 700);
            state.seq += 1;
            state.entries.push(entry.clone());
        }
        let (seq, epoch) = (state.seq, state.epoch.clone());
        let lane = state.names_lanes.then_some("0");
        let id = lane.map_or_else(|| seq.to_string(), |lane| format!("{lane}:{seq}"));
        let text = event(&id, &self.change_of(lane, seq, &epoch, &entries));
        state.events.push((seq, text.clone()));
        state.send(&text);
    }

    /// Makes a change that no listener hears of.
    pub fn revoke_unheard(&self, mut entry: Value) {
        let mut state = self.state();
        entry["exp"] = json!(now() + 700);
        state.seq += 1;
        state.entries.push(entry);
        state.events.clear();
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
        let lines: Vec<_> =
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let header = |name: &str| {
            let named = |line: &&String| line.to_lowercase().starts_with(name);
            lines.iter().find(named).and_then(|line| Some(line.split_once(": ")?.1.to_owned()))
        };
        let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let json = "application/json";
        let answer = match path {
            "/revocations/stream" => return self.listen(stream, header("last-event-id")),
            "/revocations" => self.answer_snapshot(header("if-none-match")),
            other if other.starts_with("/revocations?lane=") => self.answer_other(other),
            "/jwks.json" => {
                let mut state = self.state();
                state.key_fetches += 1;
                if let Some(waiting) = &mut state.waiting {
                    return waiting.push(stream);
                }
                let keys: Vec<_> = self.keys.iter().map(|key| &key.jwk).collect();
                response(200, json, &json!({ "keys": keys }).to_string())
            }
            _ => response(
                200,
                json,
                &json!({
                    "issuer": self.base,
                    "jwks_uri": format!("{}/jwks.json", self.base),
                    "introspection_endpoint": format!("{}/introspect", self.base),
                    "revocations_uri": format!("{}/revocations", self.base),
                    "revocations_stream_uri": format!("{}/revocations/stream", self.base),
                })
                .to_string(),
            ),
        };
        // Whoever has gone does not mind.
        let _ = stream.write_all(answer.as_bytes());
    }

    /// The snapshot of the other lane, 404 where that is none.
    fn answer_other(&self, path: &str) -> String {
        let state = self.state();
        let asked = path.trim_start_matches("/revocations?lane=");
        match state.other_lane.as_ref().filter(|lane| lane.0 == asked) {
            None => response(404, "application/problem+json", "{}"),
            Some((lane, epoch, seq, entries)) => {
                let body = self.snapshot_of(Some(lane), "revocations+jwt", *seq, epoch, entries);
                let head = "\r\nage: 0\r\n";
                response(200, "application/jwt", &body).replacen("\r\n", head, 1)
            }
        }
    }

    fn answer_snapshot(&self, known: Option<String>) -> String {
        let mut state = self.state();
        let etag = format!("W/\"{}-{}\"", state.epoch, state.seq);
        if state.snapshot.is_none() && known.as_deref() == Some(etag.as_str()) {
            state.not_modified += 1;
            return response(304, "application/jwt", "").replacen(
                "\r\n",
                &format!("\r\netag: {etag}\r\nage: 0\r\n"),
                1,
            );
        }
        state.snapshots += 1;
        let body = state.snapshot.clone().unwrap_or_else(|| {
            let lane = state.names_lanes.then_some("0");
            let (seq, epoch) = (state.seq, &state.epoch);
            self.snapshot_of(lane, "revocations+jwt", seq, epoch, &state.entries)
        });
        let head = format!("\r\netag: {etag}\r\nage: 0\r\n");
        response(200, "application/jwt", &body).replacen("\r\n", &head, 1)
    }

    fn listen(&self, mut stream: TcpStream, after: Option<String>) {
        let mut state = self.state();
        state.resumed_after.push(after.clone());
        let after: Option<i64> =
            after.and_then(|after| after.trim_start_matches("0:").parse().ok());
        if state.stream_status != 200 {
            let _ = stream.write_all(response(state.stream_status, "text/plain", "").as_bytes());
            return;
        }
        let mut text =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
                        retry: 1000\n\n: hello\n\n"
                .to_owned();
        let first = state.events.first().map_or(state.seq + 1, |(seq, _)| *seq);
        match after {
            Some(after) if after <= state.seq && first <= after + 1 => {
                let missed = state.events.iter().filter(|(seq, _)| *seq > after);
                missed.for_each(|(_, event)| text.push_str(event));
            }
            _ => {
                let mut data = json!({ "epoch": state.epoch, "seq": state.seq });
                if state.names_lanes {
                    data["lane"] = json!("0");
                }
                text.push_str(&format!("event: snapshot\ndata: {data}\n\n"));
            }
        }
        if stream.write_all(text.as_bytes()).is_ok() {
            state.listeners.push(stream);
        }
    }
}

impl State {
    /// Sends this to all listeners.
    pub fn send(&mut self, text: &str) {
        self.listeners.retain_mut(|stream| stream.write_all(text.as_bytes()).is_ok());
    }

    pub fn cut(&mut self) {
        for stream in self.listeners.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// The event of a signed change, with this id.
pub fn event(id: &str, jws: &str) -> String {
    format!("id: {id}\nevent: revocation\ndata: {jws}\n\n")
}

fn response(status: u16, media_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: {media_type}\r\nconnection: close\r\n\
         cache-control: max-age=600\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
