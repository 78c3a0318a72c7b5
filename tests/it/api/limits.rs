//! How long and how large a request may be before it is cut off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::signet::Signet;

/// Sends the beginning of a request and waits for the service to give up on the rest; returns what
/// it answered until it closed the connection.
fn begin(request: &str) -> String {
    let mut stream = TcpStream::connect(Signet::shared().address()).expect("it listens");
    // Far above any sensible limit: without one, this runs out.
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the connection is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_slow_header_is_given_up() {
    let answer = begin("GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn a_slow_body_is_given_up() {
    let answer = begin(
        "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\ngrant",
    );
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn huge_headers_are_refused() {
    let header = "x".repeat(300_000);
    let address = Signet::shared().address();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    let request =
        format!("GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-huge: {header}\r\n\r\n");
    // It may hang up before all is sent.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}
