//! The Rust verifier: the `jsonwebtoken` crate over a small caching JWKS client. It holds keys for
//! as long as the answer's `max-age` says, and asks earlier for an unknown `kid`, but not more often
//! than every 30 seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::streams::{Ready, Report};
use crate::support::client::{Client, Send};

const BETWEEN_FETCHES: Duration = Duration::from_secs(30);

/// The issuer's keys, as far as they are known.
struct KeySet {
    client: Client,
    path: String,
    keys: JwkSet,
    fetched_at: Instant,
    max_age: Duration,
    fetches: usize,
}

impl KeySet {
    /// Finds the address of the keys in the issuer's metadata.
    async fn discover(issuer: &str) -> Self {
        let client = Client::new(issuer);
        let metadata = client.get("/.well-known/oauth-authorization-server").answer().await;
        let metadata = metadata.expect(200).json();
        assert_eq!(metadata["issuer"], issuer);
        let path = metadata["jwks_uri"].as_str().and_then(|address| address.strip_prefix(issuer));
        let path = path.expect("below the issuer").to_owned();
        let (keys, max_age) = (JwkSet { keys: Vec::new() }, Duration::ZERO);
        Self { client, path, keys, fetched_at: Instant::now(), max_age, fetches: 0 }
    }

    async fn fetch(&mut self) -> Result<(), String> {
        self.fetches += 1;
        let answer = self.client.get(&self.path).try_answer().await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("the key set's status is {}", answer.status));
        }
        self.keys = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        let directives = answer.header("cache-control").unwrap_or_default().split(',');
        let max_age = directives.filter_map(|one| one.trim().strip_prefix("max-age=")).next();
        let seconds = max_age.and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        (self.max_age, self.fetched_at) = (Duration::from_secs(seconds), Instant::now());
        Ok(())
    }

    async fn find(&mut self, kid: &str) -> Result<DecodingKey, String> {
        if self.fetched_at.elapsed() >= self.max_age {
            self.fetch().await?;
        }
        if self.keys.find(kid).is_none() && self.fetched_at.elapsed() >= BETWEEN_FETCHES {
            self.fetch().await?;
        }
        let key = self.keys.find(kid).ok_or_else(|| format!("no key is called {kid}"))?;
        DecodingKey::from_jwk(key).map_err(|error| error.to_string())
    }

    /// Returns the `kid` of a good token.
    async fn verify(&mut self, token: &str, validation: &Validation) -> Result<String, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
        let kid = header.kid.ok_or("no kid")?;
        let key = self.find(&kid).await?;
        let verified = jsonwebtoken::decode::<Value>(token, &key, validation);
        verified.map(|_| kid).map_err(|error| format!("{error:?}"))
    }
}

/// Verifies tokens until no more come.
#[tokio::main(flavor = "current_thread")]
pub async fn verify_stream(
    issuer: &str,
    audience: &str,
    ready: Ready,
    mut tokens: Receiver<Arc<str>>,
) -> Report {
    let mut keys = KeySet::discover(issuer).await;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.leeway = 0;
    ready.send(()).expect("it is waited for");
    let (mut verified, mut failures, mut kids) = (0, Vec::new(), BTreeSet::new());
    while let Some(token) = tokens.recv().await {
        match keys.verify(&token, &validation).await {
            Ok(kid) => {
                verified += 1;
                kids.insert(kid);
            }
            Err(error) => failures.push(error),
        }
    }
    let lock = include_str!("../../../Cargo.lock");
    let version = lock.split("name = \"jsonwebtoken\"\nversion = \"").nth(1).expect("a dependency");
    let version = version.split('"').next().unwrap_or_default();
    Report {
        client: format!("jsonwebtoken {version} and a small caching client"),
        verified,
        failed: failures.len(),
        first_failures: failures.into_iter().take(5).collect(),
        kids: kids.into_iter().collect(),
        jwks_fetches: keys.fetches,
    }
}
