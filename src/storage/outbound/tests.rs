//! Addresses of clients that must not be asked, and bounds of the answers.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn client(allow: &[&str]) -> Outbound {
    let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    let policy = OutboundPolicy::new(Duration::from_secs(1), None, allow).unwrap();
    Outbound::new(policy, "test").unwrap()
}

/// A server on loopback that answers one request with `answer`, and its address.
async fn serve(answer: impl Into<Vec<u8>>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.into();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request[..read]).to_ascii_lowercase();
        assert!(!text.contains("cookie") && !text.contains("forwarded"), "{text}");
        stream.write_all(&answer).await.unwrap();
        // What is not closed is not read to its end.
        std::future::pending::<()>().await;
    });
    Url::parse(&format!("http://localhost:{port}/path?a=b")).unwrap()
}

#[tokio::test]
async fn the_scheme_of_a_clients_address_is_https() {
    let outbound = client(&["localhost", "127.0.0.0/8", "::1"]);
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let url = serve(ok).await;
    let refused = outbound.fetch(Target::of_client(&url), Request::default(), 2).await;
    assert!(matches!(refused, Err(OutboundError::Address(_))), "{refused:?}");
    let target = Target::of_client_in_development(&url);
    assert_eq!(outbound.fetch(target, Request::default(), 2).await.unwrap().body, b"ok");
    // Development does not make other networks reachable.
    let refused = client(&[]).fetch(target, Request::default(), 2).await;
    assert!(matches!(refused, Err(OutboundError::Network(_))), "{refused:?}");
    let url = serve(ok).await;
    let answer = client(&[]).fetch(Target::of_operator(&url), Request::default(), 2).await;
    assert_eq!(answer.unwrap().success().unwrap().status, StatusCode::OK);
    for url in ["ftp://8.8.8.8/", "file:///etc/passwd", "https://user:password@8.8.8.8/"] {
        let url = Url::parse(url).unwrap();
        let refused = outbound.resolve(Target::of_client(&url)).await;
        assert!(matches!(refused, Err(OutboundError::Address(_))), "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn a_clients_address_on_this_machine_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["localhost", "127.1", "[::ffff:127.0.0.1]"] {
        let url = Url::parse(&format!("https://{host}:{port}/")).unwrap();
        let refused = client(&[]).fetch(Target::of_client(&url), Request::default(), 1).await;
        assert!(matches!(refused, Err(OutboundError::Network(_))), "{host}: {refused:?}");
    }
    let accept = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accept.is_err(), "something connected");
}

#[tokio::test]
async fn redirects_are_not_followed_and_answers_are_bounded_in_size_and_time() {
    let fetch = async |answer: &str| {
        let url = serve(answer).await;
        let outbound = client(&[]);
        let fetched = outbound.fetch(Target::of_operator(&url), Request::default(), 8);
        fetched.await.and_then(Answer::success)
    };
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(fetch(redirect).await, Err(OutboundError::Redirect(..))));
    for long in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n",
    ] {
        assert!(matches!(fetch(long).await, Err(OutboundError::TooLong(8))));
    }
    for slow in ["", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n1234"] {
        assert!(matches!(fetch(slow).await, Err(OutboundError::Slow(_))), "{slow:?}");
    }
}

#[test]
fn settings_are_checked() {
    let new = |seconds, file: Option<&Path>| {
        let policy = OutboundPolicy::new(Duration::from_secs(seconds), file, Vec::new());
        policy.map(drop).map_err(|(setting, _)| setting)
    };
    assert_eq!([new(0, None), new(61, None)], [Err("timeout"); 2]);
    assert_eq!(new(5, Some(Path::new("/nowhere"))), Err("ca_file"));
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(new(5, Some(file.path())), Err("ca_file"), "it holds no certificate");
    assert_eq!(new(5, None), Ok(()));
}
