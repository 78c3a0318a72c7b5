//! The requests of the checks: by the service's own client, to the addresses that the command line
//! and the issuer's metadata name, until the time of the whole run is over.

use std::future::Future;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::fault::Fault;
use crate::base::time::Clock;
use crate::storage::outbound::{
    Answer, Connection, HeaderValue, Outbound, OutboundError, OutboundPolicy, Request, Target,
};

pub(super) struct Http {
    /// The clock that the issuer's is compared with.
    pub clock: Clock,
    deadline: Instant,
    pub outbound: Outbound,
}

impl Http {
    /// A client that asks until `deadline` and trusts the system's authorities.
    pub(super) fn new(deadline: Instant) -> Result<Self, rustls::Error> {
        let agent = concat!("signet-doctor/", env!("CARGO_PKG_VERSION"));
        let outbound = Outbound::new(OutboundPolicy::DEFAULT, agent)?;
        Ok(Self { clock: Clock::system(), deadline, outbound })
    }

    /// Waits for `work`, at most for `limit` and never beyond the deadline.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let left = self.deadline.saturating_duration_since(Instant::now()).min(limit);
        match tokio::time::timeout(left, work).await {
            Ok(done) => done,
            Err(_) if left < limit => Err(Fault::TimeUp),
            Err(_) => Err(Fault::Slow(limit)),
        }
    }

    /// Waits until the deadline for a step of a request, which has a limit of its own.
    pub(super) async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, OutboundError>>,
    ) -> Result<T, Fault> {
        self.within(Duration::MAX, async { Ok(step.await?) }).await
    }

    /// Connects to the host of `url` by the first of its addresses that answers.
    pub(super) async fn connect(&self, url: &Url) -> Result<Connection, Fault> {
        self.in_time(self.outbound.connect(Target::of_operator(url))).await
    }

    /// Asks `url` on a connection of its own. A body above `max_bytes` is not read.
    pub(super) async fn ask(
        &self,
        url: &Url,
        request: Request,
        max_bytes: usize,
    ) -> Result<Answer, Fault> {
        let mut connection = self.connect(url).await?;
        self.in_time(connection.fetch(url, request, max_bytes)).await
    }

    pub(super) async fn get(
        &self,
        url: &Url,
        request: Request,
        max_bytes: usize,
    ) -> Result<Answer, Fault> {
        Ok(self.ask(url, request, max_bytes).await?.success()?)
    }
}

/// The value of `Authorization` for a client (RFC 6749 section 2.3.1).
pub(super) fn basic(client_id: &str, secret: &str) -> HeaderValue {
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = zeroize::Zeroizing::new(format!("{}:{}", encode(client_id), encode(secret)));
    sensitive(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// The value of `Authorization` for a token (RFC 6750 section 2.1).
pub(super) fn bearer(token: &str) -> HeaderValue {
    sensitive(&format!("Bearer {token}"))
}

fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
