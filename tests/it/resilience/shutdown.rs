//! SIGTERM: what is in flight is finished, load balancers are told first, and the exit code is 0.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::client::{Client, PASSWORD, Send};
use crate::support::process::poll;
use crate::support::signet::{Signet, status_of};

#[tokio::test]
async fn requests_in_flight_are_finished() {
    // Hashing that takes long enough to be interrupted.
    let mut signet = Signet::builder()
        .set("passwords.memory_kib", "65536")
        .set("passwords.iterations", "12")
        .start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let login = tokio::spawn(async move { client.login(&user.email, PASSWORD).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!login.is_finished(), "the login was too fast to be interrupted");
    signet.process().signal(Signal::TERM);
    login.await.expect("the login is answered, with tokens");
    let status = signet.process().wait(Duration::from_secs(20)).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", signet.output());
}

#[tokio::test]
async fn an_idle_service_stops_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut signet = Signet::start();
        // An idle kept-alive connection is nothing in flight.
        let client = Client::new(signet.base());
        client.get("/health/live").answer().await.expect(200);
        signet.process().signal(signal);
        let status = signet.process().wait(Duration::from_secs(10)).expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", signet.output());
    }
}

#[tokio::test]
async fn readiness_is_false_while_draining() {
    let mut signet = Signet::builder().set("http.drain_delay", "3s").start();
    let address = signet.address().to_owned();
    signet.process().signal(Signal::TERM);
    let status = |path: &str| status_of(&address, path);
    let unready =
        poll(Duration::from_secs(2), || (status("/health/ready") == Some(503)).then_some(()));
    assert!(unready.is_some(), "readiness stays {:?}", status("/health/ready"));
    // Who has not heard it yet is served.
    assert_eq!(status("/health/live"), Some(200));
    assert_eq!(status("/.well-known/jwks.json"), Some(200));
    let ended = signet.process().wait(Duration::from_secs(20)).expect("it ends");
    assert_eq!(ended.code(), Some(0), "{}", signet.output());
    assert_eq!(status("/health/live"), None);
}

/// Sends a request on a connection that is kept; returns the head of the answer, in lower case.
fn head(stream: &mut std::net::TcpStream, request: &str) -> String {
    use std::io::{Read, Write};
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the connection ended");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

#[tokio::test]
async fn every_answer_of_a_draining_instance_closes_its_connection() {
    let mut signet = Signet::builder().set("http.drain_delay", "4s").start();
    let address = signet.address().to_owned();
    let live = "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n";
    let requests = [
        live,
        "GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n",
        "DELETE /oauth2/token HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /oauth2/token HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        "GET /health/ready HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    let mut kept: Vec<_> = requests
        .iter()
        .map(|request| {
            let mut stream = std::net::TcpStream::connect(&address).unwrap();
            let answer = head(&mut stream, live);
            assert!(!answer.contains("connection: close"), "{answer}");
            // The body, so that the next head is found.
            let mut body = [0; 17];
            std::io::Read::read_exact(&mut stream, &mut body).unwrap();
            assert_eq!(&body, br#"{"status":"live"}"#);
            (stream, *request)
        })
        .collect();
    signet.process().signal(Signal::TERM);
    let draining = || (status_of(&address, "/health/ready") == Some(503)).then_some(());
    poll(Duration::from_secs(2), draining).expect("it drains");
    for (stream, request) in &mut kept {
        let answer = head(stream, request);
        assert!(answer.contains("\r\nconnection: close\r\n"), "{request}: {answer}");
    }
    assert_eq!(signet.process().wait(Duration::from_secs(20)).expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn a_hangup_ends_nothing() {
    let mut signet = Signet::start();
    for count in 1..=3 {
        signet.process().signal(Signal::HUP);
        let logged =
            || (signet.output().matches("SIGHUP changes nothing").count() == count).then_some(());
        poll(Duration::from_secs(10), logged).expect("it says so");
        assert_eq!(status_of(signet.address(), "/health/ready"), Some(200));
    }
    // Also while it waits for a store.
    let url =
        format!("postgres://signet@127.0.0.1:{}/signet", crate::support::process::free_port());
    let mut waiting = Signet::builder().postgres(&url).prepare();
    waiting.spawn();
    let waits = || waiting.output().contains("waiting at most").then_some(());
    poll(Duration::from_secs(10), waits).expect("it waits");
    waiting.process().signal(Signal::HUP);
    let logged = || waiting.output().contains("SIGHUP changes nothing").then_some(());
    poll(Duration::from_secs(10), logged).expect("it says so");
    assert!(waiting.process().ended().is_none());
}
