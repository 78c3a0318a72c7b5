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
