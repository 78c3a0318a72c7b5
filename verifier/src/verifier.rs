//! Verifies tokens: without waiting and without a request, while the keys are there.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::builder::Builder;
use crate::claims::Rules;
use crate::clock::Now;
use crate::error::{Error, Reason, Unavailable};
use crate::feed::{Live, Names, Status};
use crate::jws::{BadHeader, Compact, Header, decode};
use crate::keys::{Asker, Key, KeySet, Keys, Lookup, NotFetched};
use crate::observer::{Event, Observer};
use crate::token::Token;

/// The media type of an access token (RFC 9068 section 2.1).
const TYPE: &str = "at+jwt";

/// Verifies the access tokens of one issuer. Cheap to clone; when the last clone is dropped, its
/// background tasks end.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) rules: Rules,
    pub(crate) longest_token: usize,
    pub(crate) keys: Arc<Keys>,
    pub(crate) live: Option<Arc<Live>>,
    pub(crate) observer: Observer,
    pub(crate) tasks: Vec<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What is in the way of an answer.
enum Obstacle {
    /// Nothing: this is the answer.
    Refused(Error),
    /// There are no keys.
    NoKeys,
    /// There is no such key.
    NoKey(String),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Reason> for Obstacle {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

impl Verifier {
    /// Begins a verifier of the tokens of `issuer`, exactly as it stands in their `iss`.
    pub fn builder(issuer: impl Into<String>) -> Builder {
        Builder::new(issuer.into())
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Verifies `token`. Nothing is awaited while there are keys and the token's is among them;
    /// otherwise this waits for one fetch that all who wait share, if the budget allows it.
    pub async fn verify(&self, token: &str) -> Result<Token, Error> {
        let verified = match self.inner.attempt(token) {
            Ok(token) => Ok(token),
            Err(Obstacle::Refused(error)) => Err(error),
            Err(Obstacle::NoKeys) => self.inner.with_keys(None, token).await,
            Err(Obstacle::NoKey(kid)) => self.inner.with_keys(Some(&kid), token).await,
        };
        match &verified {
            Err(Error::Invalid(reason)) => {
                self.inner.observer.notify(&Event::Refused { reason: *reason });
            }
            Err(Error::Unavailable(_)) => self.inner.observer.notify(&Event::Unavailable),
            _ => {}
        }
        verified
    }

    /// Waits until tokens can be verified: there are keys, and with a feed, the first snapshot is
    /// in effect. Fails as soon as one of them failed; both are tried again in the background, and
    /// this may be asked again. A service that calls it before it listens refuses nothing at its
    /// start.
    pub async fn ready(&self) -> Result<(), Unavailable> {
        self.inner.any_keys().await?;
        match &self.inner.live {
            Some(live) => live.first().await.map_err(Unavailable::Feed),
            None => Ok(()),
        }
    }

    /// How old what is known of revocations is. None without a feed, and while nothing is known.
    pub fn staleness(&self) -> Option<Duration> {
        self.inner.live.as_ref()?.staleness(Now::read())
    }

    /// How the feed is followed. None without one.
    pub fn status(&self) -> Option<Status> {
        Some(self.inner.live.as_ref()?.status())
    }

    /// How many entries of the feed are held. None without one.
    pub fn revocations(&self) -> Option<usize> {
        Some(self.inner.live.as_ref()?.len())
    }
}

impl Inner {
    /// Verifies with what is there now.
    fn attempt(&self, token: &str) -> Result<Token, Obstacle> {
        if token.len() > self.longest_token {
            return Err(Reason::TooLong.into());
        }
        let jws = Compact::split(token).ok_or(Reason::Malformed)?;
        let now = Now::read();
        let held = self.keys.load();
        let keys =
            held.as_ref().and_then(|held| held.usable(now.instant)).ok_or(Obstacle::NoKeys)?;
        let recognised = keys.recognise(jws.header);
        let key = match recognised {
            Some(key) => key,
            None => key_of(keys, jws.header)?,
        };
        if !key.has_signed(jws.signed.as_bytes(), jws.signature) {
            return Err(Reason::Signature.into());
        }
        if recognised.is_none() {
            key.remember(jws.header);
        }
        let payload = decode(jws.payload).ok_or(Reason::Malformed)?;
        let claims = self.rules.read(&payload, now.unix)?;
        if let Some(live) = &self.live {
            let names = Names {
                session: claims.sid.as_deref(),
                token: &claims.jti,
                subject: &claims.sub,
                client: &claims.client_id,
                key: key.kid(),
                issued_at: claims.iat,
            };
            live.check(&names, now)?;
        }
        Ok(Token::new(claims, payload))
    }

    /// Waits for the keys, then verifies with what came of it.
    async fn with_keys(&self, kid: Option<&str>, token: &str) -> Result<Token, Error> {
        let missed_at = Instant::now();
        match kid {
            None => self.any_keys().await.map_err(Error::Unavailable)?,
            Some(_) => match self.keys.refetch(Asker::Token, kid, missed_at).await {
                Ok(()) => {}
                // While the issuer is down, it is unknown whether it has such a key.
                Err(NotFetched::Failed(error) | NotFetched::Refused(Some(error))) => {
                    return Err(Error::Unavailable(Unavailable::Keys(error)));
                }
                Err(NotFetched::Absent | NotFetched::Refused(None)) => {
                    return Err(Reason::UnknownKey.into());
                }
            },
        }
        self.attempt(token).map_err(|obstacle| match obstacle {
            Obstacle::Refused(error) => error,
            Obstacle::NoKeys => Error::Unavailable(Unavailable::Keys(self.keys.failure())),
            Obstacle::NoKey(kid) => {
                self.keys.note_absent(&kid, missed_at);
                Reason::UnknownKey.into()
            }
        })
    }

    async fn any_keys(&self) -> Result<(), Unavailable> {
        if self.keys.are_usable(Instant::now()) {
            return Ok(());
        }
        match self.keys.refetch(Asker::Token, None, Instant::now()).await {
            Ok(()) => Ok(()),
            Err(NotFetched::Failed(error)) => Err(Unavailable::Keys(error)),
            Err(_) => Err(Unavailable::Keys(self.keys.failure())),
        }
    }
}

/// The key of a header that has to be read first.
fn key_of<'a>(keys: &'a KeySet, segment: &str) -> Result<&'a Key, Obstacle> {
    let header = Header::read(segment, TYPE).map_err(|bad| match bad {
        BadHeader::Malformed => Reason::Malformed,
        BadHeader::Type => Reason::Type,
        BadHeader::Algorithm => Reason::Algorithm,
        BadHeader::Critical => Reason::Critical,
    })?;
    match keys.find(&header) {
        Lookup::Found(key) => Ok(key),
        Lookup::OtherAlgorithm => Err(Reason::Algorithm.into()),
        Lookup::Absent => Err(Obstacle::NoKey(header.kid)),
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut verifier = formatter.debug_struct("Verifier");
        verifier.field("issuer", &self.inner.rules.issuer);
        verifier.field("audiences", &self.inner.rules.audiences);
        verifier.finish_non_exhaustive()
    }
}
