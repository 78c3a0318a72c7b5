//! Fetches a snapshot: all entries in one signed document.

use std::sync::Arc;
use std::time::Instant;

use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use super::document::{self, BadDocument, Document};
use super::follow::Context;
use crate::clock::unix_seconds;
use crate::http::{Answer, FetchError};
use crate::keys::{Asker, freshness};

/// The snapshot that was applied last, to detect that the next one is the same.
#[derive(Clone, Debug)]
pub struct Former {
    etag: HeaderValue,
    epoch: String,
    seq: u64,
}

/// A snapshot that was taken.
#[derive(Debug)]
pub struct Taken {
    /// What it says; without entries where it is still the former one.
    pub document: Document,
    /// When the instance that gave it confirmed it.
    pub known: Instant,
    /// By which it is recognised.
    pub former: Option<Former>,
    /// Bytes of the document; none where it is still the former one.
    pub bytes: Option<usize>,
    /// When the answer was here.
    pub arrived_at: Instant,
}

/// Takes the one of `lane`.
pub async fn take(
    context: Arc<Context>,
    lane: String,
    former: Option<Former>,
) -> Result<Taken, FetchError> {
    let metadata = context.issuer.metadata().await?;
    let mut headers = HeaderMap::new();
    context.authorize(&mut headers).await?;
    if let Some(former) = &former {
        headers.insert(IF_NONE_MATCH, former.etag.clone());
    }
    let url = metadata.revocations_uri.as_ref().map_err(Clone::clone)?;
    let of_lane;
    let url = match lane.as_str() {
        // A previous version of the service has no other lane, and no such parameter.
        document::LANE => url,
        _ => {
            of_lane = url.with("lane", &lane)?;
            &of_lane
        }
    };
    let (longest, timeout) = (context.feed.longest_snapshot, context.feed.snapshot_timeout);
    let answer = context.issuer.http().get_with(url, headers, longest, timeout).await;
    let Answer { unchanged, headers, body, asked_at } = context.authorized(answer).await?;
    let known = asked_at.checked_sub(freshness::age(&headers)).ok_or(FetchError::Invalid("Age"))?;
    let arrived_at = Instant::now();
    if unchanged {
        let former = former.ok_or(FetchError::Invalid("a 304 to no condition"))?;
        let entries = Default::default();
        let (epoch, seq) = (former.epoch.clone(), former.seq);
        let document = Document { lane, epoch, first_seq: seq, seq, entries };
        return Ok(Taken { document, known, former: Some(former), bytes: None, arrived_at });
    }
    let bytes = Some(body.len());
    let token = String::from_utf8(body).map_err(|_| FetchError::Invalid("the snapshot"))?;
    let document = open(&context, token, document::SNAPSHOT).await?;
    if document.lane != lane {
        return Err(FetchError::Invalid("the snapshot's lane"));
    }
    let former = headers.get(ETAG).map(|etag| Former {
        etag: etag.clone(),
        epoch: document.epoch.clone(),
        seq: document.seq,
    });
    Ok(Taken { document, known, former, bytes, arrived_at })
}

/// Opens a document of the type `typ`, off the threads that serve others: a large one takes a
/// while. Where its key is unknown, the keys are refetched once.
pub async fn open(
    context: &Arc<Context>,
    token: String,
    typ: &'static str,
) -> Result<Document, FetchError> {
    let invalid = || FetchError::Invalid(typ);
    let token = Arc::new(token);
    let mut last_try = false;
    loop {
        let opened = {
            let (context, token) = (Arc::clone(context), Arc::clone(&token));
            tokio::task::spawn_blocking(move || context.open(&token, typ)).await
        };
        let missing = match opened.map_err(|_| FetchError::Stopped)? {
            Ok(document) => return Ok(document),
            Err(Some(BadDocument::Invalid)) => return Err(invalid()),
            Err(Some(BadDocument::UnknownKey(kid))) => Some(kid),
            Err(None) => None,
        };
        if std::mem::replace(&mut last_try, true) {
            return Err(invalid());
        }
        let now = Instant::now();
        let refetched = context.keys.refetch(Asker::Feed, missing.as_deref(), now).await;
        refetched.map_err(|_| invalid())?;
    }
}

impl Context {
    /// Opens a document with the keys that are held; no reason where there are none.
    fn open(&self, token: &str, typ: &str) -> Result<Document, Option<BadDocument>> {
        let held = self.keys.load();
        let keys = held.as_ref().and_then(|held| held.usable(Instant::now())).ok_or(None)?;
        let ended = |kid: &str| self.live.ends_key(kid);
        document::open(token, typ, keys, self.issuer.name(), unix_seconds(), ended).map_err(Some)
    }
}
