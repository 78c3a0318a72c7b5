//! Reads a stream of server-sent events (`text/event-stream`, as the HTML standard defines it),
//! in pieces as they come and within bounds.

use std::collections::VecDeque;
use std::time::Duration;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its type; empty where none was named.
    pub event: String,
    /// Its data.
    pub data: String,
}

/// The event is larger than the limit.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The part of the stream that was not dispatched yet.
pub struct Parser {
    longest: usize,
    line: Vec<u8>,
    after_return: bool,
    begun: bool,
    event: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    retry: Option<Duration>,
}

impl Parser {
    /// Reads events of at most `longest` bytes, whether in one line or many.
    pub fn new(longest: usize) -> Self {
        Self {
            longest,
            line: Vec::new(),
            after_return: false,
            begun: false,
            event: Vec::new(),
            data: Vec::new(),
            has_data: false,
            retry: None,
        }
    }

    /// Reads on, and adds the events that are whole to `messages`.
    #[allow(clippy::indexing_slicing, reason = "the text is not empty there")]
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        messages: &mut VecDeque<Message>,
    ) -> Result<(), TooLarge> {
        while let Some(first) = bytes.first() {
            // The second half of a line's end.
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len() + self.data.len() + part.len() > self.longest {
                return Err(TooLarge);
            }
            self.line.extend_from_slice(part);
            bytes = rest;
            if let Some((end, rest)) = rest.split_first() {
                self.after_return = *end == b'\r';
                bytes = rest;
                messages.extend(self.end_line());
            }
        }
        Ok(())
    }

    /// The reconnection delay that the server requested, if it did since the last call.
    pub fn take_retry(&mut self) -> Option<Duration> {
        self.retry.take()
    }

    fn end_line(&mut self) -> Option<Message> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.event = value.to_vec(),
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"retry" => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.retry = number.map(Duration::from_millis).or(self.retry);
            }
            // Comments, ids (changes carry their numbers signed) and unknown fields.
            _ => {}
        }
        // The buffer is kept for the next line.
        line.clear();
        self.line = line;
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let whole = std::mem::take(&mut self.has_data);
        whole.then(|| Message { event: text(event), data: text(data) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &str, piece: usize) -> Vec<(String, String)> {
        let mut parser = Parser::new(1000);
        let mut messages = VecDeque::new();
        for bytes in stream.as_bytes().chunks(piece) {
            parser.push(bytes, &mut messages).unwrap();
        }
        messages.into_iter().map(|message| (message.event, message.data)).collect()
    }

    fn expect(stream: &str, expected: &[(&str, &str)]) {
        for piece in [1, 2, 3, 7, 1000] {
            let messages = read(stream, piece);
            let messages: Vec<_> =
                messages.iter().map(|(event, data)| (event.as_str(), data.as_str())).collect();
            assert_eq!(messages, expected, "{stream:?} in pieces of {piece}");
        }
    }

    #[test]
    fn events_are_read_in_any_pieces() {
        expect("event: a\ndata: 1\n\n", &[("a", "1")]);
        expect(
            "event: a\r\ndata: 1\r\nid: 7\r\n\r\ndata:2\r\rdata:  3\n\n",
            &[("a", "1"), ("", "2"), ("", " 3")],
        );
        expect("\u{feff}data: é\n\n", &[("", "é")]);
        expect("data: 1\ndata\ndata: 3\n\n", &[("", "1\n\n3")]);
        expect(
            ": comment\n:\n\nevent: nothing\n\nunknown: x\ndata: {\"a\":\"b: c\"}\n\n",
            &[("", "{\"a\":\"b: c\"}")],
        );
        // An event that was cut off is none.
        expect("data: 1\n\nevent: a\ndata: 2\n", &[("", "1")]);
        expect("", &[]);
    }

    #[test]
    fn the_server_says_how_long_to_wait() {
        let mut parser = Parser::new(1000);
        let mut messages = VecDeque::new();
        parser.push(b"retry: 1500\nretry: soon\n\n", &mut messages).unwrap();
        assert_eq!(parser.take_retry(), Some(Duration::from_millis(1500)));
        assert!(parser.take_retry().is_none() && messages.is_empty());
    }

    #[test]
    fn lines_and_events_without_an_end_are_cut_off() {
        let mut messages = VecDeque::new();
        let mut parser = Parser::new(1000);
        let endless = (0..100).try_for_each(|_| parser.push(&[b'x'; 64], &mut messages));
        assert_eq!(endless, Err(TooLarge));
        let mut parser = Parser::new(1000);
        let endless = (0..100).try_for_each(|_| parser.push(b"data: 0123456789\n", &mut messages));
        assert_eq!(endless, Err(TooLarge));
        // Comments do not add up.
        let mut parser = Parser::new(1000);
        assert!((0..100).try_for_each(|_| parser.push(b": 0123456789\n", &mut messages)).is_ok());
        assert!(messages.is_empty());
    }
}
