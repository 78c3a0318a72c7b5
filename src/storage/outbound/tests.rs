//! Addresses of clients that must not be asked, and bounds of the answers.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn client(allow: &[&str]) -> Outbound {
    client_within(1, allow)
}

fn client_within(seconds: u64, allow: &[&str]) -> Outbound {
    let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    let policy = OutboundPolicy::new(Duration::from_secs(seconds), None, allow).unwrap();
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
    let url = Url::parse("ftp://8.8.8.8/").unwrap();
    for (target, schemes) in [
        (Target::of_operator(&url), "https:// or http://"),
        (Target::of_client(&url), "https://"),
        (Target::of_client_in_development(&url), "https://, or with http:// and lead to loopback"),
    ] {
        let refused = outbound.resolve(target).await.unwrap_err().to_string();
        assert_eq!(refused, format!("the address must begin with {schemes}"));
    }
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
    let to = format!("http://127.0.0.1/{}", "a".repeat(9000));
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let error = fetch(&redirect).await.unwrap_err();
    assert!(matches!(error, OutboundError::Redirect(..)) && error.to_string().len() < 250);
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

#[tokio::test]
async fn a_host_is_fetched_from_by_one_call_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let outbound = client_within(10, &[]);
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let fetch = || outbound.fetch(Target::of_operator(&url), Request::default(), 2);
    let server = async {
        let answer = async |mut stream: tokio::net::TcpStream| {
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0, "or its end is a reset");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        };
        let (first, _) = listener.accept().await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(next.is_err(), "the other call waits");
        answer(first).await;
        answer(listener.accept().await.unwrap().0).await;
    };
    let (one, other, ()) = tokio::join!(fetch(), fetch(), server);
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
}

#[test]
fn settings_are_checked() {
    let new = |seconds, file: Option<&Path>| {
        let policy = OutboundPolicy::new(Duration::from_secs(seconds), file, Vec::new());
        policy.map(drop).map_err(|(setting, _)| setting)
    };
    assert_eq!([new(0, None), new(61, None)], [Err("timeout"); 2]);
    assert_eq!(new(5, Some(Path::new("/nowhere"))), Err("ca_file"));
    let block = |text| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    for (text, problem) in [
        (String::new(), "holds no certificate in PEM form"),
        (block("AAAA"), "holds something that is no certificate"),
        (block("?"), "is not PEM"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let policy = OutboundPolicy::new(Duration::from_secs(5), Some(file.path()), Vec::new());
        assert!(policy.unwrap_err().1.ends_with(problem), "{problem}");
    }
    assert_eq!(new(5, None), Ok(()));
}
