//! The snapshot: all valid entries as one signed JWT, made once for each change and not for each
//! request.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::task::{JoinError, spawn_blocking};

use super::entry::Entry;
use super::store::Head;
use super::{LANE, name_of_feed};
use crate::base::time::Timestamp;
use crate::domain::tokens::{SignError, Signer};

const TYPE: &str = "revocations+jwt";
const LIFETIME: Duration = Duration::from_secs(300);
/// The age at which an unchanged snapshot is signed again.
const RENEWED_AFTER: Duration = Duration::from_secs(60);
/// The time in seconds for which the entity tag of an unchanged snapshot stays the same. A cache
/// keeps its copy while it does, and must replace it before the copy expires.
const ONE_TAG: i64 = 120;
/// The size in bytes below which a body is compressed on the calling thread; a longer one is
/// compressed on a thread of its own.
const SHORT: usize = 64 * 1024;

#[derive(Serialize)]
struct Claims {
    /// The feed and not the issuer, so that no verifier of access tokens accepts the snapshot as
    /// one (RFC 8725 sections 3.8 and 3.12).
    iss: String,
    aud: String,
    iat: Timestamp,
    exp: Timestamp,
    jti: String,
    lane: &'static str,
    epoch: String,
    seq: i64,
    revocations: Vec<Entry>,
}

#[derive(Debug)]
pub struct Snapshot {
    /// The compact JWS.
    pub body: Bytes,
    /// A weak entity tag, with its quotes, the same for some time on every instance.
    pub etag: String,
    gzip: OnceCell<(Bytes, Duration)>,
    pub(super) epoch: String,
    pub(super) seq: i64,
    pub(super) kid: String,
    pub(super) made_at: Instant,
    pub(super) known_at: Instant,
    took: Duration,
}

impl Snapshot {
    /// Signs the `entries` up to `head`, complete at `known_at`, in work begun at `made_at`.
    pub(super) async fn sign(
        Head { epoch, seq }: Head,
        entries: Vec<Entry>,
        (made_at, known_at): (Instant, Instant),
        jti: String,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Self, SignError> {
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

    pub(super) fn is_old(&self) -> bool {
        self.made_at.elapsed() > RENEWED_AFTER
    }

    /// How long it took to make, including the compression if there was one.
    pub(super) fn took(&self) -> Duration {
        self.took + self.gzip.get().map_or(Duration::ZERO, |(_, took)| *took)
    }

    /// The compressed body (RFC 1952), made once; concurrent requests wait without a thread.
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
    fn a_cache_that_gets_304_holds_nothing_that_has_ended() {
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
