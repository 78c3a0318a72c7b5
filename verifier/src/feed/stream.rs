//! Keeps the stream open: connects, reads, and reconnects after a wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc::Sender;

use super::event_stream::{Message, Parser};
use super::follow::Context;
use crate::backoff::Backoff;
use crate::http::FetchError;

/// The maximum size of an event.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// The first wait, unless the server requests another, and the maximum.
const WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The minimum wait, whatever the server requests.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// The header by which a stream is resumed, as the HTML standard names it.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the stream brings.
pub enum Signal {
    /// It is open.
    Opened,
    /// An event, and when it arrived.
    Message(Message, Instant),
    /// It ended or could not be opened.
    Lost(FetchError),
}

/// Sends what the stream brings to `sender`, as long as it is received.
pub async fn run(context: Arc<Context>, sender: Sender<Signal>) {
    let mut backoff = Backoff::new(WAIT, MAX_WAIT);
    loop {
        let Err(error) = follow(&context, &sender, &mut backoff).await else { return };
        let wait = backoff.next().max(error.retry_after());
        if sender.send(Signal::Lost(error)).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// Reads one connection to its end, which is an error; `None` when nothing receives any longer.
async fn follow(
    context: &Context,
    sender: &Sender<Signal>,
    backoff: &mut Backoff,
) -> Result<(), FetchError> {
    let mut body = open(context).await?;
    if sender.send(Signal::Opened).await.is_err() {
        return Ok(());
    }
    let mut parser = Parser::new(MAX_EVENT_BYTES);
    let mut messages = VecDeque::new();
    loop {
        let frame = tokio::time::timeout(context.feed.silence, body.frame()).await;
        let frame = frame.map_err(|_| FetchError::Timeout)?;
        let ended = || FetchError::Connection("the stream ended".into());
        let Ok(data) = frame.ok_or_else(ended)??.into_data() else { continue };
        let arrived_at = Instant::now();
        parser.push(&data, &mut messages).map_err(|_| FetchError::TooLarge)?;
        if let Some(retry) = parser.take_retry() {
            backoff.set_base(retry.max(MIN_WAIT));
        }
        for message in messages.drain(..) {
            // The stream works: the next wait is the minimum again.
            backoff.reset();
            if sender.send(Signal::Message(message, arrived_at)).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn open(context: &Context) -> Result<Incoming, FetchError> {
    let metadata = context.issuer.metadata().await?;
    let mut headers = HeaderMap::new();
    context.authorize(&mut headers).await?;
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    let position = context.live.position();
    if let Some(id) = position.and_then(|id| HeaderValue::from_str(&id).ok()) {
        headers.insert(LAST_EVENT_ID, id);
    }
    let url = metadata.revocations_stream_uri.as_ref().map_err(Clone::clone)?;
    let opened = context.issuer.http().open(url, headers).await;
    let response = context.authorized(opened).await?;
    let content_type = response.headers().get(http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/event-stream") {
        return Err(FetchError::Invalid("the stream's type"));
    }
    Ok(response.into_body())
}
