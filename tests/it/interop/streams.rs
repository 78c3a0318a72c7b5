//! Long-running verifiers in five languages, eight in all, each with a caching JWKS client at its
//! defaults and nothing known but the issuer's address. A stream takes tokens and tells at its end
//! what became of them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use signet::base::time::Clock;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{folder, installed, jwks_client, python};
use crate::support::client::Client;
use crate::support::fixtures::API;
use crate::support::jwt::Jwt;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, poll, program};
use crate::support::signet::Signet;

/// How many tokens may wait for one verifier.
const QUEUE: usize = 4096;

/// What a verifier says at its end.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Library and language, with their versions.
    pub client: String,
    pub verified: usize,
    pub failed: usize,
    pub first_failures: Vec<String>,
    /// The keys that verified something, sorted.
    pub kids: Vec<String>,
    pub jwks_fetches: usize,
}

/// A verifier at work.
pub struct Stream {
    pub language: &'static str,
    /// How many tokens it was given.
    pub given: usize,
    /// How many tokens found its queue full, and were not given.
    pub refused: usize,
    /// The most that ever waited.
    pub longest_queue: usize,
    tokens: Sender<Arc<str>>,
    thread: JoinHandle<Report>,
}

impl Stream {
    /// Starts all of them, and returns when each has found its issuer.
    pub fn start_all(issuer: &str, audience: &str) -> Vec<Self> {
        installed("node_modules/jose");
        let mut python = Command::new(python());
        python.arg(folder().join("verify_stream.py"));
        let mut node = Command::new(program("node", Vec::new()));
        node.arg(folder().join("verify_stream.mjs"));
        let go = |client: &str| {
            let mut go = Command::new(installed(".go/verify_stream"));
            go.arg(client);
            go
        };
        let mut java = Command::new(program("java", Vec::new()));
        java.arg(folder().join("VerifyStream.java"));
        let library = |client: &str| {
            let mut java = Command::new(program("java", Vec::new()));
            java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
            java.arg("-cp").arg(installed(".java/lib").join("*"));
            java.arg(folder().join("VerifyLibraries.java")).arg(client);
            java
        };
        let commands = [
            ("Python", python),
            ("JavaScript", node),
            ("Go", go("go-oidc")),
            ("Go, zitadel", go("zitadel")),
            ("Java", java),
            ("Java, Nimbus", library("nimbus")),
            ("Java, Spring", library("spring")),
        ];
        let addresses = [issuer, audience];
        let mut streams: Vec<_> = commands
            .map(|(language, mut command)| {
                command.args(addresses).stdin(Stdio::piped()).stdout(Stdio::piped());
                let process = Process::spawn(&mut command, "KILL");
                Self::start(language, move |ready, tokens| feed(language, process, ready, tokens))
            })
            .into();
        let [issuer, audience] = addresses.map(str::to_owned);
        streams.push(Self::start("Rust", move |ready, tokens| {
            jwks_client::verify_stream(&issuer, &audience, ready, tokens)
        }));
        for (stream, ready) in &streams {
            let started = ready.recv_timeout(Duration::from_secs(180));
            started.unwrap_or_else(|_| panic!("the {} verifier does not start", stream.language));
        }
        streams.into_iter().map(|(stream, _)| stream).collect()
    }

    fn start(
        language: &'static str,
        run: impl FnOnce(Ready, Receiver<Arc<str>>) -> Report + Send + 'static,
    ) -> (Self, std::sync::mpsc::Receiver<()>) {
        let (tokens, received) = channel(QUEUE);
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || run(ready, received));
        (Self { language, given: 0, refused: 0, longest_queue: 0, tokens, thread }, started)
    }

    /// Gives it a token, without ever waiting for it.
    pub fn give(&mut self, token: &Arc<str>) {
        match self.tokens.try_send(token.clone()) {
            Ok(()) => self.given += 1,
            Err(_) => self.refused += 1,
        }
        self.longest_queue = self.longest_queue.max(QUEUE - self.tokens.capacity());
    }

    /// Ends its input and waits for what it says. What is in the queue is verified first.
    pub fn finish(self) -> Report {
        drop(self.tokens);
        self.thread.join().unwrap_or_else(|_| panic!("the {} verifier failed", self.language))
    }
}

/// Tells that a verifier has found its issuer.
pub type Ready = std::sync::mpsc::Sender<()>;

/// Passes tokens on to a verifier that is a process, and returns its report.
fn feed(
    language: &str,
    mut process: Process,
    ready: Ready,
    mut tokens: Receiver<Arc<str>>,
) -> Report {
    let mut input = process.child().stdin.take().expect("a pipe");
    let mut output = BufReader::new(process.child().stdout.take().expect("a pipe")).lines();
    let mut line = || output.next().and_then(Result::ok).unwrap_or_default();
    assert_eq!(line(), "ready", "the {language} verifier did not find its issuer");
    ready.send(()).expect("it is waited for");
    while let Some(token) = tokens.blocking_recv() {
        let written = writeln!(input, "{token}");
        written.unwrap_or_else(|error| panic!("the {language} verifier takes no token: {error}"));
    }
    drop(input);
    let report = line();
    serde_json::from_str(&report).unwrap_or_else(|error| panic!("{language}: {error}: {report}"))
}

#[tokio::test]
async fn every_stream_refuses_what_is_wrong() {
    let database = Postgres::shared().fresh_database();
    // The same keys in two issuers.
    let builder = || {
        let key = STANDARD.encode([7; 32]);
        Signet::builder().postgres(&database).set("keys.encryption_key", &key)
    };
    let signet = builder().start();
    let other = builder().start();
    let grants = ["--grants", "client_credentials", "--audiences", API];
    let secret = signet.add_confidential("shop", &grants);
    let briefly = [&grants[..], &["--access-token-lifetime", "1s"]].concat();
    let brief_secret = signet.add_confidential("brief", &briefly);
    let client = Client::new(signet.base());

    let expired = client.client_token(("brief", &brief_secret)).await;
    let good = client.client_token(("shop", &secret)).await;
    let second = client.client_token(("shop", &secret)).await;
    let [(signed, _), (_, signature)] =
        [&good, &second].map(|token| token.rsplit_once('.').expect("a signature"));
    let forged = format!("{signed}.{signature}");
    let kid = Jwt::decode(&good).header["kid"].clone();
    let none = json!({"alg": "none", "typ": "at+jwt", "kid": kid}).to_string();
    let none = URL_SAFE_NO_PAD.encode(none);
    let (_, claims) = signed.split_once('.').expect("claims");
    let unsigned = format!("{none}.{claims}.");
    let resource = [("grant_type", "client_credentials"), ("resource", API)];
    let for_another = client.token_as(("shop", &secret), &resource).await.expect(200).json();
    let for_another = for_another["access_token"].as_str().expect("a token").to_owned();
    let from_another = Client::new(other.base()).client_token(("shop", &secret)).await;
    assert_eq!(Jwt::decode(&from_another).header, Jwt::decode(&good).header);
    let wrong = [&forged, &unsigned, &for_another, &from_another, &expired];

    let streams = Stream::start_all(signet.issuer(), signet.issuer());
    let exp = Jwt::decode(&expired).claims["exp"].as_i64().expect("a time");
    let over = || (Clock::system().now().as_unix() > exp).then_some(());
    assert!(poll(Duration::from_secs(10), over).is_some(), "it expires");
    for mut stream in streams {
        for token in wrong.into_iter().chain([&good]) {
            stream.give(&token.as_str().into());
        }
        let language = stream.language;
        let report = stream.finish();
        assert_eq!((report.verified, report.failed), (1, wrong.len()), "{language}: {report:?}");
        assert_eq!(json!(report.kids), json!([kid]), "{language}");
    }
}
