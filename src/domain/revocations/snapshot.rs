//! All that still matters, as one signed statement that is made once per change and not per request.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::task::{JoinError, spawn_blocking};

use super::entry::Entry;
use super::{LANE, name_of_feed};
use crate::base::time::Timestamp;
use crate::domain::tokens::{SignError, Signer};

/// The media type in the header.
const TYPE: &str = "revocations+jwt";
/// How long somebody who can reach nobody may hold it for the whole truth.
const LIFETIME: Duration = Duration::from_secs(300);
/// After so long it is signed anew, though nothing has changed.
const RENEWED_AFTER: Duration = Duration::from_secs(60);
/// For how many seconds the entity tag stays, with nothing changed. A cache that asks by it keeps its
/// copy, which is to be replaced before it ends.
const ONE_TAG: i64 = 120;
/// A body that is shorter is compressed at once, a longer one on a thread of its own.
const SHORT: usize = 64 * 1024;

#[derive(Serialize)]
struct Claims {
    /// The feed and not the issuer, so that no verifier of access tokens takes it for one (RFC 8725
    /// sections 3.8 and 3.12).
    iss: String,
    aud: String,
    iat: Timestamp,
    exp: Timestamp,
    jti: String,
    /// Which history.
    lane: &'static str,
    epoch: String,
    seq: i64,
    revocations: Vec<Entry>,
}

/// A snapshot, ready to send.
#[derive(Debug)]
pub struct Snapshot {
    /// The compact JWS.
    pub body: Bytes,
    /// A weak entity tag, with its quotes: for a while the same for whoever knows as much.
    pub etag: String,
    /// The body compressed, and how long that took.
    gzip: OnceCell<(Bytes, Duration)>,
    pub(super) epoch: String,
    pub(super) seq: i64,
    pub(super) kid: String,
    /// When it was begun.
    pub(super) made_at: Instant,
    /// When it was known to be all.
    pub(super) known_at: Instant,
    took: Duration,
}

/// What a snapshot is to hold.
pub(super) struct Contents {
    /// The history.
    pub epoch: String,
    /// The last change.
    pub seq: i64,
    /// All entries up to it.
    pub entries: Vec<Entry>,
    /// When its making was begun.
    pub began: Instant,
    /// When it was known to be all.
    pub known_at: Instant,
}

impl Snapshot {
    /// Signs `contents`.
    pub(super) async fn sign(
        contents: Contents,
        jti: String,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Self, SignError> {
        let Contents { epoch, seq, entries, began: made_at, known_at } = contents;
        let etag = etag(&epoch, seq, now);
        let claims = Claims {
            iss: name_of_feed(signer.issuer()),
            aud: name_of_feed(signer.issuer()),
            iat: now,
            exp: now.plus(LIFETIME),
            jti,
            lane: LANE,
            epoch: epoch.clone(),
            seq,
            revocations: entries,
        };
        let signed = signer.sign(TYPE, claims, now).await?;
        let (body, kid, gzip) = (signed.jws.into(), signed.kid, OnceCell::new());
        Ok(Self { body, etag, gzip, epoch, seq, kid, made_at, known_at, took: made_at.elapsed() })
    }

    /// Whether it is too old to be given out, with nothing changed.
    pub(super) fn is_old(&self) -> bool {
        self.made_at.elapsed() > RENEWED_AFTER
    }

    /// How long it took to make, compression included where somebody asked for that.
    pub(super) fn took(&self) -> Duration {
        self.took + self.gzip.get().map_or(Duration::ZERO, |(_, took)| *took)
    }

    /// The body compressed (RFC 1952). Made once, when it is first asked for; who else asks meanwhile
    /// waits without a thread.
    pub async fn gzip(&self) -> Result<Bytes, JoinError> {
        let make = || async {
            let (start, body) = (Instant::now(), self.body.clone());
            let gzip = match body.len() <= SHORT {
                true => compress(&body),
                false => spawn_blocking(move || compress(&body)).await?,
            };
            Ok((gzip, start.elapsed()))
        };
        self.gzip.get_or_try_init(make).await.map(|(gzip, _)| gzip.clone())
    }
}

fn etag(epoch: &str, seq: i64, now: Timestamp) -> String {
    format!("W/\"{epoch}-{seq}-{}\"", now.as_unix().div_euclid(ONE_TAG))
}

fn compress(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_is_told_304_holds_nothing_that_has_ended() {
        let tag = |seconds| etag("e", 7, Timestamp::from_unix(seconds));
        let renewed = RENEWED_AFTER.as_secs() as i64;
        for made in 0..ONE_TAG {
            let ends = made + LIFETIME.as_secs() as i64;
            // What is given out then was made at any moment since the renewal before.
            for current in ends - renewed..=ends {
                assert_ne!(tag(made), tag(current), "made at {made}, asked for at {ends}");
            }
        }
    }
}
