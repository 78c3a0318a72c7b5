//! The feed of an issuer, by the contract, and ways to break it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signet_verifier::{Beyond, Error, Reason, Verifier};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::issuer::{Issuer, now};
use super::server::{Reply, Request};
use super::until;

pub const SNAPSHOT: &str = "/revocations";
pub const STREAM: &str = "/revocations/stream";
const HEARTBEAT: Duration = Duration::from_millis(50);

/// The feed of one issuer.
#[derive(Clone)]
pub struct Feed {
    issuer: Issuer,
    state: Arc<Mutex<State>>,
}

struct State {
    epoch: String,
    /// The entries of each change, from 1 on.
    changes: Vec<Vec<Value>>,
    streams: Vec<UnboundedSender<Vec<u8>>>,
}

/// An event as it stands in the stream.
pub fn event(name: &str, id: Option<u64>, data: &str) -> Vec<u8> {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n").into_bytes()
}

impl Feed {
    /// Opens the feed of `issuer`.
    pub fn open(issuer: &Issuer) -> Self {
        let state = State { epoch: "one".into(), changes: Vec::new(), streams: Vec::new() };
        let feed = Self { issuer: issuer.clone(), state: Arc::new(Mutex::new(state)) };
        feed.open_snapshot();
        feed.open_stream();
        let beating = feed.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                beating.beat();
            }
        });
        feed
    }

    /// Answers those who want the snapshot.
    pub fn open_snapshot(&self) {
        let feed = self.clone();
        self.issuer.on(SNAPSHOT, move |request| feed.snapshot(request));
    }

    /// Answers those who want the stream.
    pub fn open_stream(&self) {
        let feed = self.clone();
        self.issuer.on(STREAM, move |request| feed.stream(request));
    }

    /// Refuses them and cuts the streams that are open.
    pub fn close_stream(&self) {
        self.issuer.on(STREAM, |_| Reply::status(404));
        self.cut();
    }

    /// Cuts the streams that are open.
    pub fn cut(&self) {
        self.state().streams.clear();
    }

    /// Revokes something, and tells of it.
    pub fn revoke(&self, entry: Value) {
        let seq = self.lose(entry);
        self.tell(seq);
    }

    /// Revokes something of which the streams do not hear.
    pub fn lose(&self, entry: Value) -> u64 {
        let mut state = self.state();
        state.changes.push(vec![entry]);
        state.changes.len() as u64
    }

    /// Tells the streams of a change.
    pub fn tell(&self, seq: u64) {
        let token = self.change(seq);
        self.send(event("revocation", Some(seq), &token));
    }

    /// Sends anything.
    pub fn send(&self, bytes: Vec<u8>) {
        self.state().streams.retain(|stream| stream.send(bytes.clone()).is_ok());
    }

    /// Forgets it all and begins another history.
    pub fn begin_anew(&self) {
        let mut state = self.state();
        state.epoch.push('+');
        state.changes.clear();
    }

    /// A change as a Security Event Token.
    pub fn change(&self, seq: u64) -> String {
        let state = self.state();
        let key = self.issuer.key();
        let claims = json!({
            "iss": self.issuer.name, "iat": now(), "jti": format!("change-{seq}"),
            "epoch": state.epoch, "seq": seq, "events": {},
            "revocations": state.changes[seq as usize - 1],
        });
        key.sign(&key.header("secevent+jwt").to_string(), &claims.to_string())
    }

    /// The claims of a snapshot.
    pub fn snapshot_claims(&self) -> Value {
        let state = self.state();
        json!({
            "iss": self.issuer.name, "iat": now(), "exp": now() + 300, "jti": "snapshot",
            "epoch": state.epoch, "seq": state.changes.len(),
            "revocations": state.changes.concat(),
        })
    }

    /// A verifier that follows the feed and has its first snapshot.
    pub async fn verifier(&self) -> Verifier {
        let feed = signet_verifier::Feed::new(Duration::from_secs(5), Beyond::Refuse);
        self.following(feed.poll_interval(Duration::from_secs(1))).await
    }

    /// One that follows it like this.
    pub async fn following(&self, feed: signet_verifier::Feed) -> Verifier {
        let verifier = self.issuer.builder().feed(feed).build().expect("a verifier");
        verifier.ready().await.expect("keys and a snapshot");
        verifier
    }

    /// Waits until somebody listens to the stream.
    pub async fn heard(&self) {
        until("somebody listens", || {
            let mut state = self.state();
            state.streams.retain(|stream| !stream.is_closed());
            !state.streams.is_empty()
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn beat(&self) {
        let data = {
            let state = self.state();
            json!({ "epoch": state.epoch, "seq": state.changes.len(), "age": 0.001 }).to_string()
        };
        self.send(event("heartbeat", None, &data));
    }

    fn snapshot(&self, request: &Request) -> Reply {
        let claims = self.snapshot_claims();
        let etag = format!("W/\"{}.{}\"", claims["epoch"].as_str().unwrap(), claims["seq"]);
        let headers = vec![("ETag", etag.clone()), ("Age", "0".to_owned())];
        if request.headers.get("if-none-match") == Some(&etag) {
            return Reply::Whole(304, headers, Vec::new());
        }
        let key = self.issuer.key();
        let token = key.sign(&key.header("revocations+jwt").to_string(), &claims.to_string());
        Reply::Whole(200, headers, token.into_bytes())
    }

    fn stream(&self, request: &Request) -> Reply {
        let (sender, receiver) = unbounded_channel();
        let last = request.headers.get("last-event-id").and_then(|id| id.parse::<u64>().ok());
        let (epoch, seq) = {
            let mut state = self.state();
            let seq = state.changes.len() as u64;
            state.streams.push(sender.clone());
            (state.epoch.clone(), seq)
        };
        let send = |bytes| sender.send(bytes).expect("a reader");
        send(b"retry: 100\n\n: welcome\n\n".to_vec());
        match last {
            Some(last) if last <= seq => {
                for seq in last + 1..=seq {
                    send(event("revocation", Some(seq), &self.change(seq)));
                }
            }
            _ => {
                let place = json!({ "epoch": epoch, "seq": seq }).to_string();
                send(event("snapshot", Some(seq), &place));
            }
        }
        Reply::Pieces("text/event-stream", receiver)
    }
}

/// Waits until `verifier` refuses `token` as revoked, and for no other reason, and returns how long
/// that takes.
pub async fn refused(verifier: &Verifier, token: &str) -> Duration {
    let began = Instant::now();
    loop {
        let verified = verifier.verify(token).await;
        if verified == Err(Error::Invalid(Reason::Revoked)) {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{verified:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
