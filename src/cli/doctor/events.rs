//! Server-sent events (WHATWG HTML section 9.2), each bounded in size.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::http::Http;
use super::snapshot::Feed;
use crate::storage::outbound::{Incoming, OutboundError, Request, check_status, header};

const MAX_EVENT_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub name: String,
    pub data: String,
}

impl Event {
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(&self.data).ok()
    }
}

pub(super) struct Events {
    body: Incoming,
    parser: Parser,
    pub since: Instant,
}

impl Events {
    pub(super) async fn open(http: &Http, feed: &Feed) -> Result<Self, Fault> {
        let since = Instant::now();
        let mut connection = http.connect(&feed.stream).await?;
        let request = Request { accept: Some("text/event-stream"), ..feed.request() };
        let answer = http.in_time(connection.open(&feed.stream, request)).await?;
        let (head, body) = answer.into_parts();
        check_status(head.status, &head.headers)?;
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.and_then(|kind| kind.split(';').next()).map(str::trim) != Some("text/event-stream")
        {
            return Err(Fault::Content("its content type is not text/event-stream"));
        }
        Ok(Self { body, parser: Parser::default(), since })
    }

    /// The next event; `None` where the stream has ended.
    pub(super) async fn next(
        &mut self,
        http: &Http,
        limit: Duration,
    ) -> Result<Option<Event>, Fault> {
        let next = async {
            loop {
                if let Some(event) = self.parser.event() {
                    return Ok(Some(event));
                }
                if self.parser.unread.len() > MAX_EVENT_BYTES {
                    return Err(OutboundError::TooLong(MAX_EVENT_BYTES).into());
                }
                let Some(frame) = self.body.frame().await else { return Ok(None) };
                if let Ok(data) = frame.map_err(OutboundError::Http)?.into_data() {
                    self.parser.unread.extend_from_slice(&data);
                }
            }
        };
        http.within(limit, next).await
    }

    /// Returns the next event called `name`, and skips all others.
    pub(super) async fn named(
        &mut self,
        http: &Http,
        name: &str,
        limit: Duration,
    ) -> Result<Option<Event>, Fault> {
        let find = async {
            loop {
                match self.next(http, limit).await? {
                    Some(event) if event.name != name => {}
                    found => return Ok(found),
                }
            }
        };
        http.within(limit, find).await
    }
}

#[derive(Default)]
struct Parser {
    unread: Vec<u8>,
    /// The number of unread bytes that are known to contain no line break.
    searched: usize,
    event: Event,
}

impl Parser {
    /// Returns the next complete event; a comment alone is not an event.
    #[allow(clippy::indexing_slicing, reason = "both places were found in the text")]
    fn event(&mut self) -> Option<Event> {
        let mut read = 0;
        let mut whole = None;
        while let Some(length) =
            self.unread[self.searched.max(read)..].iter().position(|byte| *byte == b'\n')
        {
            let end = self.searched.max(read) + length;
            let line = String::from_utf8_lossy(&self.unread[read..end]).into_owned();
            (read, self.searched) = (end + 1, end + 1);
            let line = line.trim_end_matches('\r');
            if !line.is_empty() {
                self.field(line);
                continue;
            }
            let event = std::mem::take(&mut self.event);
            if !event.data.is_empty() {
                whole = Some(event);
                break;
            }
        }
        self.unread.drain(..read);
        self.searched = if whole.is_some() { 0 } else { self.unread.len() };
        whole
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event.name = value.to_owned(),
            "data" if self.event.data.len() <= MAX_EVENT_BYTES => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&str]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for chunk in chunks {
            parser.unread.extend_from_slice(chunk.as_bytes());
            while let Some(event) = parser.event() {
                found.push((event.name, event.data));
            }
        }
        assert!(parser.searched <= parser.unread.len());
        found
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = "retry: 1000\n\n: hello\n\nid: 7\nevent: a\ndata: 1\ndata:2\r\n\r\nevent: none\n\n\
                    data: 3\n\n";
        let expected = [("a".to_owned(), "1\n2".to_owned()), (String::new(), "3".to_owned())];
        assert_eq!(events(&[text]), expected);
        let letters: Vec<_> = text.chars().map(String::from).collect();
        let letters: Vec<_> = letters.iter().map(String::as_str).collect();
        assert_eq!(events(&letters), expected);
        for cut in 1..text.len() {
            assert_eq!(events(&[&text[..cut], &text[cut..]]), expected, "{cut}");
        }
    }
}
