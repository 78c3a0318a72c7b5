//! HTTP by hand over a socket, for what no HTTP client would send or show.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl RawAnswer {
    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One connection; requests and answers are up to the test.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `address`, host and port.
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        // A test that waits for an answer that never comes must end too.
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
        stream.set_nodelay(true).expect("small packets");
        Self { reader: BufReader::new(stream) }
    }

    pub fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).expect("it reads");
    }

    /// Reads one answer and not a byte more, by the rules of RFC 9112 section 6.3.
    pub fn answer(&mut self) -> RawAnswer {
        let start = self.line();
        let status = match start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
            Some(status) => status.parse().expect("a status"),
            None => panic!("no answer starts so: {start:?}"),
        };
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').expect("a header");
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = RawAnswer { status, headers, body: String::new() };
        if ![204, 304].contains(&status) {
            let length = answer.header("content-length").expect("a length");
            let mut body = vec![0; length.parse().expect("a number")];
            self.reader.read_exact(&mut body).expect("the whole body");
            answer.body = String::from_utf8(body).expect("text");
        }
        answer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }
}
