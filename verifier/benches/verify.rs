//! What verifying a token costs beside the signature alone, which nobody can do without:
//! `cargo bench -p signet-verifier`. Both run in turns in one process, so that what else the machine
//! does falls on both. And how long a large snapshot takes to be in effect.

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_verifier::{Beyond, Event, Feed, Verifier};

use support::issuer::{Issuer, now};
use support::server::Reply;
use support::signing::SigningKey;

/// Tokens of one turn, and turns.
const TOKENS: usize = 200;
const TURNS: usize = 60;
/// The least share of the bare rate that is good enough, with an RSA key.
const ENOUGH: f64 = 0.90;
/// Entries of the large snapshot, and how long it may take.
const ENTRIES: usize = 100_000;
const LOADED_WITHIN: Duration = Duration::from_millis(50);
const SNAPSHOTS: usize = 25;

fn main() {
    // cargo says so when it is asked for benchmarks; tests only want to know that this compiles.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing to test; run `cargo bench -p signet-verifier`");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let loaded = runtime.block_on(snapshot());
    println!("\n{:<34}{:>12}{:>12}{:>9}", "", "bare", "verify", "share");
    let mut share = f64::INFINITY;
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        for entries in [None, Some(0), Some(ENTRIES)] {
            let measured = runtime.block_on(prepare(alg, entries)).measure();
            if alg == "RS256" {
                share = share.min(measured);
            }
        }
    }
    println!(
        "\nRS256: at least {:.1} % of the bare rate (wanted: {:.0} %)",
        share * 100.0,
        ENOUGH * 100.0
    );
    println!("a snapshot of {ENTRIES}: {loaded:.1?} (wanted: below {LOADED_WITHIN:?})");
    if share < ENOUGH || loaded > LOADED_WITHIN {
        std::process::exit(1);
    }
}

/// Good tokens and all that is needed to verify them in either way.
struct Prepared {
    name: String,
    verifier: Verifier,
    tokens: Vec<String>,
    public: ParsedPublicKey,
    signatures: Vec<Vec<u8>>,
}

async fn prepare(alg: &'static str, entries: Option<usize>) -> Prepared {
    let issuer = Issuer::start().await;
    let key = match alg {
        "RS256" | "PS256" => SigningKey::shared("key", alg),
        _ => SigningKey::generate("key", alg),
    };
    let public = public(alg, &key.jwk());
    issuer.add_key(key);
    let tokens: Vec<String> = (0..TOKENS).map(|_| issuer.token(json!({}))).collect();
    let mut builder = issuer.builder();
    if let Some(entries) = entries {
        let body = document(&issuer, entries);
        issuer.on(support::feed::SNAPSHOT, move |_| Reply::Whole(200, Vec::new(), body.clone()));
        // A long interval: no snapshot is to be taken while times are.
        let feed = Feed::new(Duration::from_secs(7200), Beyond::Refuse);
        builder = builder.feed(feed.poll_interval(Duration::from_secs(3600)));
    }
    let verifier = builder.build().expect("a verifier");
    verifier.ready().await.expect("keys");
    let name = match entries {
        None => format!("{alg}, no feed"),
        Some(entries) => format!("{alg}, {entries} revocations"),
    };
    let signature = |token: &String| {
        URL_SAFE_NO_PAD.decode(token.rsplit_once('.').expect("a token").1).expect("base64url")
    };
    let signatures = tokens.iter().map(signature).collect();
    Prepared { name, verifier, tokens, public, signatures }
}

impl Prepared {
    /// Prints both rates and returns the share of the bare one that is reached.
    fn measure(&self) -> f64 {
        let (mut bare, mut verify) = (Vec::new(), Vec::new());
        for turn in 0..TURNS + 2 {
            let times = if turn % 2 == 0 {
                let first = self.bare();
                (first, self.verify())
            } else {
                let first = self.verify();
                (self.bare(), first)
            };
            // The first turns fill the caches.
            if turn >= 2 {
                bare.push(times.0);
                verify.push(times.1);
            }
        }
        let mut shares: Vec<f64> =
            bare.iter().zip(&verify).map(|(bare, verify)| bare / verify).collect();
        let (bare, verify, share) = (median(&mut bare), median(&mut verify), median(&mut shares));
        let micros = |seconds: f64| format!("{:.2} us", seconds * 1e6);
        println!(
            "{:<34}{:>12}{:>12}{:>8.1}%",
            self.name,
            micros(bare),
            micros(verify),
            share * 100.0
        );
        share
    }

    /// Seconds a token for the signature alone: its bytes and the parsed key are at hand.
    fn bare(&self) -> f64 {
        let began = Instant::now();
        for (token, signature) in self.tokens.iter().zip(&self.signatures) {
            let signed = token.rsplit_once('.').expect("a token").0;
            let verified = self.public.verify_sig(black_box(signed.as_bytes()), signature);
            verified.expect("a good signature");
        }
        began.elapsed().as_secs_f64() / self.tokens.len() as f64
    }

    /// Seconds a token for all that there is to check.
    fn verify(&self) -> f64 {
        let mut context = Context::from_waker(Waker::noop());
        let began = Instant::now();
        for token in &self.tokens {
            let verified = pin!(self.verifier.verify(black_box(token))).poll(&mut context);
            // Ready at once: nothing was awaited.
            let Poll::Ready(Ok(token)) = verified else { panic!("a good token") };
            black_box(token);
        }
        began.elapsed().as_secs_f64() / self.tokens.len() as f64
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn public(alg: &str, jwk: &Value) -> ParsedPublicKey {
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a member"));
    let member = |name: &str| member(name).expect("base64url");
    let rsa = |parameters| {
        let components = RsaPublicKeyComponents { n: member("n"), e: member("e") };
        components.to_parsed_public_key(parameters)
    };
    match alg {
        "RS256" => rsa(&RSA_PKCS1_2048_8192_SHA256),
        "PS256" => rsa(&RSA_PSS_2048_8192_SHA256),
        "ES256" => {
            let point = [&[4][..], &member("x"), &member("y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        }
        _ => ParsedPublicKey::new(&ED25519, member("x")),
    }
    .expect("a key")
}

/// A snapshot with so many sessions that ended.
fn document(issuer: &Issuer, entries: usize) -> Vec<u8> {
    let entry = |n: usize| {
        let (high, low) = (n as u64 * 0x9e37_79b9, n as u64);
        let sid = format!(
            "{:08x}-{:04x}-7{:03x}-8{:03x}-{low:012x}",
            high as u32,
            n & 0xffff,
            n & 0xfff,
            n & 0xfff
        );
        json!({ "sid": sid, "exp": now() + 600 })
    };
    let entries: Vec<_> = (0..entries).map(entry).collect();
    let claims = json!({
        "iss": issuer.name, "iat": now(), "exp": now() + 300, "jti": "snapshot",
        "epoch": "one", "seq": entries.len(), "revocations": entries,
    });
    let key = issuer.key();
    key.sign(&key.header("revocations+jwt").to_string(), &claims.to_string()).into_bytes()
}

/// Takes the large snapshot often, and returns how long it took from the whole answer to all of it
/// being in effect: the least, which what else the machine does disturbed least.
async fn snapshot() -> Duration {
    let issuer = Issuer::start().await;
    let body = document(&issuer, ENTRIES);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&body).expect("memory");
    let packed = packed.finish().expect("memory");
    println!("a snapshot of {ENTRIES}: {} bytes, {} packed", body.len(), packed.len());
    issuer.on(support::feed::SNAPSHOT, move |_| {
        Reply::Whole(200, vec![("Content-Encoding", "gzip".into())], packed.clone())
    });
    let mut times = Vec::new();
    for _ in 0..SNAPSHOTS {
        let taken = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&taken);
        let feed = Feed::new(Duration::from_secs(7200), Beyond::Refuse);
        let feed = feed.poll_interval(Duration::from_secs(3600));
        let builder = issuer.builder().feed(feed).observer(move |event| {
            if let Event::SnapshotTaken { took, .. } = event {
                *noted.lock().unwrap() = Some(*took);
            }
        });
        let began = Instant::now();
        let verifier = builder.build().expect("a verifier");
        verifier.ready().await.expect("a snapshot");
        assert_eq!(verifier.revocations(), Some(ENTRIES));
        let whole = began.elapsed();
        support::until("it is noted", || taken.lock().unwrap().is_some()).await;
        let took = taken.lock().unwrap().take().expect("a time");
        times.push((took, whole));
    }
    times.sort();
    for (name, at) in [("least", 0), ("median", SNAPSHOTS / 2), ("most", SNAPSHOTS - 1)] {
        let (took, whole) = times[at];
        println!("  {name}: in effect {took:.1?} after it was here, {whole:.1?} after the start");
    }
    times[0].0
}
