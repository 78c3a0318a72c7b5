//! A listener of server-sent events (WHATWG HTML section 9.2), as far as Signet's stream needs one.

use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Response};

/// An event as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

/// A stream that is open.
pub struct Listener {
    response: Response,
    unread: String,
}

impl Listener {
    /// Sends the request and takes the answer's head, which must be that of a stream.
    pub async fn open(request: RequestBuilder) -> Self {
        // The client's own limit is for whole answers.
        let response = request.timeout(Duration::from_secs(3600)).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, unread: String::new() }
    }

    /// The next event, comments and bare fields passed over; `None` where the stream has ended.
    pub async fn try_next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let event = parse(block);
                self.unread = rest.to_owned();
                if !event.data.is_empty() {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk());
            let chunk = chunk.await.expect("something within 20 seconds").ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next event of this name.
    pub async fn next(&mut self, name: &str) -> Event {
        let start = Instant::now();
        loop {
            // Heartbeats go on for ever.
            assert!(start.elapsed() < Duration::from_secs(30), "no {name}");
            let event = self.try_next().await.expect("the stream goes on");
            if event.event == name {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("event", name)) => event.event = name.to_owned(),
            Some(("data", data)) => event.data.push_str(data),
            Some(("retry", milliseconds)) => assert!(milliseconds.parse::<u32>().is_ok(), "{line}"),
            _ => assert!(line.starts_with(':'), "no field: {line}"),
        }
    }
    event
}
