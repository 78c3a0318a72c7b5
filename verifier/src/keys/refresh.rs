//! The background task that keeps the keys: it fetches them before they expire, and immediately
//! when a verification needs a missing one. Verification continues with the present keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::source::{Keys, Round};
use super::{KeySet, freshness};
use crate::algorithm::Algorithm;
use crate::backoff::{Backoff, jittered};
use crate::http::FetchError;
use crate::metadata::Issuer;
use crate::observer::{Event, Observer};

/// The maximum size of a JWK Set in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The minimum lifetime of fetched keys, however short the one that the server and the caller give.
const MIN_LIFETIME: Duration = Duration::from_millis(50);

/// The task's keys, source and settings.
pub struct Refresh {
    /// Where the keys are held.
    pub keys: Arc<Keys>,
    /// Notifies the verifications that wait for a fetch.
    pub rounds: watch::Sender<Round>,
    /// The issuer of the keys.
    pub issuer: Arc<Issuer>,
    /// The accepted algorithms; keys for others are left out.
    pub allowed: Vec<Algorithm>,
    /// The minimum time between two scheduled fetches.
    pub interval: Duration,
    /// How long keys that are no longer fresh are used while fetches fail.
    pub stale_if_error: Duration,
    /// Receives an event for every fetch.
    pub observer: Observer,
}

/// The latest answer: if the next one is the same, its parsed keys are used again.
struct Latest {
    body: Vec<u8>,
    set: Arc<KeySet>,
}

/// Keeps the keys up to date; never returns.
pub async fn run(refresh: Refresh) {
    let mut latest = None;
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    loop {
        refresh.keys.begin();
        let began = Instant::now();
        let fetched = refresh.fetch(&mut latest).await;
        let wait = match &fetched {
            Ok(fresh_for) => {
                backoff.reset();
                jittered(*fresh_for)
            }
            Err(error) => {
                // The addresses in the metadata may have changed, so the next fetch reads it again.
                refresh.issuer.forget().await;
                backoff.next().max(error.retry_after())
            }
        };
        let failure = fetched.err();
        let keys = latest.as_ref().map_or(0, |latest: &Latest| latest.set.len());
        match &failure {
            None => refresh.observer.notify(&Event::KeysFetched { keys, took: began.elapsed() }),
            Some(error) => refresh.observer.notify(&Event::KeysFailed { error }),
        }
        refresh.keys.finish(&refresh.rounds, failure);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = refresh.keys.wished() => {}
        }
    }
}

impl Refresh {
    /// Fetches the keys, holds them and returns for how long they are fresh.
    async fn fetch(&self, latest: &mut Option<Latest>) -> Result<Duration, FetchError> {
        let metadata = self.issuer.metadata().await?;
        let answer = self.issuer.http().get(&metadata.jwks_uri, MAX_BYTES).await?;
        let set = match latest {
            Some(latest) if latest.body == answer.body => Arc::clone(&latest.set),
            _ => {
                let set = KeySet::read(&answer.body, &self.allowed);
                Arc::new(set.map_err(|_| FetchError::Invalid("the JWK Set"))?)
            }
        };
        *latest = Some(Latest { body: answer.body, set: Arc::clone(&set) });
        let fresh_for = freshness::lifetime(&answer.headers).max(self.interval).max(MIN_LIFETIME);
        self.keys.hold(set, answer.asked_at + fresh_for + self.stale_if_error);
        Ok(fresh_for)
    }
}
