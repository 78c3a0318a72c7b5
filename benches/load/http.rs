//! As much HTTP/1.1 as the driver needs, and no more: the driver shares a machine with what it
//! measures, so a request must cost it little. Keep-alive, answers with a Content-Length.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A GET request.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// A form post; `authorization` is the whole header value, or empty for none.
pub fn post_form(path: &str, authorization: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, value) in fields {
        let separator = if body.is_empty() { "" } else { "&" };
        body.extend([separator, name, "="]);
        push_encoded(&mut body, value);
    }
    post(path, "application/x-www-form-urlencoded", authorization, &body)
}

/// A post of a JSON text.
pub fn post_json(path: &str, body: &str) -> Vec<u8> {
    post(path, "application/json", "", body)
}

fn post(path: &str, media_type: &str, authorization: &str, body: &str) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    if !authorization.is_empty() {
        request.extend(["Authorization: ", authorization, "\r\n"]);
    }
    request.extend(["\r\n", body]);
    request.into_bytes()
}

fn push_encoded(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// An answer, and the buffer that it is read into.
#[derive(Debug, Default)]
pub struct Answer {
    buffer: Vec<u8>,
    head_end: usize,
    end: usize,
}

impl Answer {
    pub fn status(&self) -> u16 {
        let digits = self.buffer.get(9..12).unwrap_or_default();
        digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0')))
    }

    pub fn body(&self) -> &[u8] {
        self.buffer.get(self.head_end..self.end).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }

    /// The headers in the order sent, names as sent.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let head = str::from_utf8(&self.buffer[..self.head_end]).unwrap_or_default();
        head.lines().skip(1).filter_map(|line| line.split_once(": "))
    }

    /// A string member of a JSON body, read without parsing the whole: what Signet's answers carry
    /// in such members never needs escaping.
    pub fn member(&self, name: &str) -> Option<&str> {
        let body = str::from_utf8(self.body()).ok()?;
        let mut rest = body;
        loop {
            let (_, after) = rest.split_once('"')?;
            let (found, after) = after.split_once('"')?;
            if found == name && after.starts_with(":\"") {
                return after[2..].split('"').next();
            }
            rest = after;
        }
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.head_end = 0;
        self.end = 0;
    }

    /// Looks at what has come in; true when the answer is complete.
    fn is_complete(&mut self) -> io::Result<bool> {
        if self.head_end == 0 {
            let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(false);
            };
            self.head_end = at + 4;
            self.end = self.head_end + self.content_length()?;
        }
        Ok(self.buffer.len() >= self.end)
    }

    fn content_length(&self) -> io::Result<usize> {
        const NAME: &[u8] = b"content-length: ";
        let head = &self.buffer[..self.head_end];
        let mut lines = head.split(|byte| *byte == b'\n');
        let length = lines.find_map(|line| {
            let name = line.get(..NAME.len())?;
            let value = line.get(NAME.len()..line.len() - 1)?;
            name.eq_ignore_ascii_case(NAME).then(|| str::from_utf8(value).ok()?.parse().ok())?
        });
        // Nothing here is chunked; if it ever is, the figures must not pretend to count it.
        length.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no Content-Length"))
    }
}

/// A connection for the closed-loop rows: many of them share one thread.
pub struct Connection {
    stream: tokio::net::TcpStream,
    answer: Answer,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Answer::default() })
    }

    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<&Answer> {
        self.answer.clear();
        self.stream.write_all(request).await?;
        while !self.answer.is_complete()? {
            self.answer.buffer.reserve(4096);
            if self.stream.read_buf(&mut self.answer.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(&self.answer)
    }
}

/// A connection with a thread of its own: for preparing, and where the sending must be on time.
pub struct BlockingConnection {
    address: SocketAddr,
    stream: TcpStream,
    answer: Answer,
}

impl BlockingConnection {
    /// Beyond this the benchmark is broken, not slow.
    const TIMEOUT: Duration = Duration::from_secs(30);

    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect(address)?;
        Ok(Self { address, stream, answer: Answer::default() })
    }

    fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&address, Self::TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Self::TIMEOUT))?;
        Ok(stream)
    }

    /// Connects anew, after the other side has closed or failed.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.stream = Self::connect(self.address)?;
        Ok(())
    }

    pub fn exchange(&mut self, request: &[u8]) -> io::Result<&Answer> {
        self.answer.clear();
        self.stream.write_all(request)?;
        let mut chunk = [0; 4096];
        while !self.answer.is_complete()? {
            match self.stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                length => self.answer.buffer.extend_from_slice(&chunk[..length]),
            }
        }
        Ok(&self.answer)
    }
}
