//! All that still matters, as one signed statement that is made once per change and not per request.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::entry::Entry;
use crate::time::Timestamp;
use crate::tokens::{SignError, Signer};

/// The media type in the header.
const TYPE: &str = "revocations+jwt";
/// How long somebody who can reach nobody may hold it for the whole truth.
const LIFETIME: Duration = Duration::from_secs(300);
/// After so long it is signed anew, though nothing has changed.
const RENEWED_AFTER: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Claims {
    iss: String,
    iat: Timestamp,
    exp: Timestamp,
    jti: String,
    epoch: String,
    seq: i64,
    revocations: Vec<Entry>,
}

/// A snapshot, ready to send.
#[derive(Debug)]
pub struct Snapshot {
    /// The compact JWS.
    pub body: Bytes,
    /// A weak entity tag, with its quotes: the same for whoever knows as much.
    pub etag: String,
    gzip: OnceLock<Bytes>,
    pub(super) epoch: String,
    pub(super) seq: i64,
    pub(super) kid: String,
    /// When it was all that was known.
    pub(super) made_at: Instant,
    /// How long it took to make.
    pub(super) took: Duration,
}

impl Snapshot {
    /// Signs `entries`, which are all up to number `seq` of the history `epoch`.
    pub(super) async fn sign(
        epoch: String,
        seq: i64,
        entries: Vec<Entry>,
        jti: String,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Self, SignError> {
        let made_at = Instant::now();
        let etag = format!("W/\"{epoch}-{seq}\"");
        let claims = Claims {
            iss: signer.issuer().to_owned(),
            iat: now,
            exp: now.plus(LIFETIME),
            jti,
            epoch: epoch.clone(),
            seq,
            revocations: entries,
        };
        let signed = signer.sign(TYPE, claims, now).await?;
        let (body, kid, gzip) = (signed.jws.into(), signed.kid, OnceLock::new());
        Ok(Self { body, etag, gzip, epoch, seq, kid, made_at, took: made_at.elapsed() })
    }

    /// Whether it is too old to be given out, with nothing changed.
    pub(super) fn is_old(&self) -> bool {
        self.made_at.elapsed() > RENEWED_AFTER
    }

    /// The body compressed (RFC 1952). Made when it is first asked for; that may take a while, so ask
    /// on a thread where nobody waits.
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // Writing to memory does not fail.
            let _ = encoder.write_all(&self.body);
            encoder.finish().unwrap_or_default().into()
        })
    }

    /// The same, if it was made already.
    pub fn gzip_if_made(&self) -> Option<&Bytes> {
        self.gzip.get()
    }
}
