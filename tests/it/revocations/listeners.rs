//! `GET /revocations/stream`: what listeners hear, how they resume, and how many there may be.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, change, refuses, snapshot};
use crate::support::client::{Client, FIRST_PARTY, Send, Tokens};
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};
use crate::support::sse::Listener;

on_every_backend!(two_instances_tell_the_same);

async fn listen(client: &Client, after: Option<&str>) -> Listener {
    let request = client.get("/revocations/stream");
    Listener::open(match after {
        Some(after) => request.header("last-event-id", after),
        None => request,
    })
    .await
}

async fn revoke(client: &Client, token: &str) {
    let fields = [("token", token), ("client_id", FIRST_PARTY)];
    client.form("/oauth2/revoke", &fields).await.expect(200);
}

fn parsed(data: &str) -> Value {
    serde_json::from_str(data).expect("JSON")
}

async fn two_instances_tell_the_same(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let mut sibling = signet.sibling();
    sibling.restart();
    let (here, there) = (Client::new(signet.base()), Client::new(sibling.base()));
    let mut listeners = [listen(&here, None).await, listen(&there, None).await];
    let epoch = snapshot(&here).await.claims["epoch"].clone();
    for listener in &mut listeners {
        let first = listener.try_next().await.expect("an event");
        assert_eq!((first.event.as_str(), first.id.as_deref()), ("snapshot", Some("0:0")));
        assert_eq!(parsed(&first.data), json!({ "lane": "0", "epoch": epoch, "seq": 0 }));
    }
    for number in 1..=3 {
        let Tokens { access_token, refresh_token, .. } = here.new_user().await.tokens;
        revoke(&here, &refresh_token).await;
        for listener in &mut listeners {
            let heard = tokio::time::timeout(SOON, listener.next("revocation"));
            let event = heard.await.expect("it is heard within a second");
            let claims = change(&here, &event).await;
            assert_eq!((&claims["seq"], &claims["epoch"]), (&json!(number), &epoch));
            assert!(refuses(&claims, &access_token), "{claims}");
            let feed = json!(format!("{}/revocations", signet.issuer()));
            assert_eq!((&claims["iss"], &claims["aud"]), (&feed, &feed));
            assert_eq!(claims["sub_id"]["user"]["iss"], signet.issuer());
            assert_eq!(claims["jti"], format!("{}-{number}", epoch.as_str().unwrap()));
            let token = Jwt::decode(&access_token).claims;
            let caep = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
            assert!(claims["events"][caep]["event_timestamp"].is_i64(), "{claims}");
            assert_eq!(claims["sub_id"]["session"]["id"], token["sid"]);
            assert_eq!(claims["sub_id"]["user"]["sub"], token["sub"]);
            assert!(claims.get("sub").is_none() && claims.get("exp").is_none(), "{claims}");
        }
        let (one, other) = (snapshot(&here).await.claims, snapshot(&there).await.claims);
        assert_eq!(one["seq"], other["seq"]);
    }
}

#[tokio::test]
async fn who_was_away_is_told_what_was_missed() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let mut first = listen(&client, None).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let user = client.new_user().await.tokens;
        revoke(&client, &user.refresh_token).await;
        tokens.push(user.access_token);
        first.next("revocation").await;
    }
    drop(first);
    // A plain number is what a previous version gave out.
    for after in ["0:1", "1"] {
        let mut again = listen(&client, Some(after)).await;
        for (number, token) in [(2, &tokens[1]), (3, &tokens[2])] {
            let event = again.try_next().await.expect("an event");
            assert_eq!(event.event, "revocation");
            let claims = change(&client, &event).await;
            assert_eq!(claims["seq"], number);
            assert!(refuses(&claims, token));
        }
    }
    let mut current = listen(&client, Some("0:3")).await;
    let beat = current.try_next().await.expect("an event");
    assert_eq!(
        (beat.event.as_str(), parsed(&beat.data)["lane"].clone()),
        ("heartbeat", json!("0"))
    );
    // Ahead of this instance, of another lane, or no number at all.
    for odd in ["4", "0:4", "1:2", ":2", "0:", "0:0:2", "999999999999999999999999", "-1", "x"] {
        let mut listener = listen(&client, Some(odd)).await;
        let event = listener.try_next().await.expect("an event");
        assert_eq!((event.event.as_str(), event.id.as_deref()), ("snapshot", Some("0:3")), "{odd}");
    }
}

#[tokio::test]
async fn heartbeats_say_how_fresh_it_is() {
    let signet = Signet::builder().set("revocations.heartbeat", "1s").start();
    let client = Client::new(signet.base());
    let mut listener = listen(&client, None).await;
    for _ in 0..3 {
        let event = listener.next("heartbeat").await;
        assert_eq!(event.id, None, "it must not move where the listener resumes");
        let data = parsed(&event.data);
        assert_eq!(data["seq"], 0);
        let age = data["age"].as_f64().expect("seconds");
        assert!((0.0..5.0).contains(&age), "{data}");
    }
}

/// Opens a stream once there is a place for it.
async fn wait_for_a_place(client: &Client) -> reqwest::Response {
    for _ in 0..100 {
        let answer = client.get("/revocations/stream").send().await.unwrap();
        if answer.status() == 200 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place of who has gone is not free again");
}

#[tokio::test]
async fn there_are_so_many_places_and_no_more() {
    let signet = Signet::builder()
        .set("revocations.max_listeners", "2")
        .set("revocations.max_listeners_per_address", "2")
        .start();
    let client = Client::new(signet.base());
    let first = listen(&client, None).await;
    let _second = listen(&client, None).await;
    let refused = client.get("/revocations/stream").answer().await.expect_problem(503);
    assert!(refused.header("retry-after").is_some());
    drop(first);
    wait_for_a_place(&client).await;
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let signet = Signet::builder()
        .set("revocations.max_listeners", "8")
        .set("http.trusted_proxies", "127.0.0.1")
        .start();
    let client = Client::new(signet.base());
    let from = |address: &'static str| {
        client.get("/revocations/stream").header("x-forwarded-for", address)
    };
    // Half of them, which is the default.
    let mut here = Vec::new();
    for _ in 0..4 {
        here.push(Listener::open(from("192.0.2.1")).await);
    }
    from("192.0.2.1").answer().await.expect_problem(503);
    // Strangers cannot take what is kept for holders of the scope, wherever they are.
    let _there =
        [Listener::open(from("2001:db8::1")).await, Listener::open(from("192.0.2.2")).await];
    from("192.0.2.3").answer().await.expect_problem(503);
    let narrow = signet.add_confidential("narrow", &["--scopes", "orders:read"]);
    let narrow = client.client_token(("narrow", &narrow)).await;
    from("192.0.2.3").bearer_auth(narrow).answer().await.expect_problem(503);
    from("192.0.2.3").bearer_auth("x.y.z").answer().await.expect_problem(503);
    let secret = signet.add_confidential("orders", &["--scopes", "revocations:read"]);
    let fields = [("grant_type", "client_credentials"), ("scope", "revocations:read")];
    let token = client.token_as(("orders", &secret), &fields).await.expect(200).json();
    let token = token["access_token"].as_str().expect("a token");
    let mut kept = Vec::new();
    for _ in 0..2 {
        kept.push(Listener::open(from("192.0.2.1").bearer_auth(token)).await);
    }
    from("192.0.2.1").bearer_auth(token).answer().await.expect_problem(503);
    drop(here);
    for _ in 0..100 {
        if from("192.0.2.1").send().await.unwrap().status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the places of who has gone are not free again");
}

#[tokio::test]
async fn an_old_client_gets_the_stream_without_chunks() {
    let signet = Signet::builder().set("revocations.heartbeat", "1s").start();
    let read = |version: &str| {
        let mut stream = std::net::TcpStream::connect(signet.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        let request = format!("GET /revocations/stream HTTP/{version}\r\nHost: signet\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains("event: heartbeat") || !text.ends_with("\n\n") {
            let length = stream.read(&mut buffer).expect("something");
            assert!(length > 0, "it goes on: {text}");
            text.push_str(std::str::from_utf8(&buffer[..length]).expect("text"));
            if version == "1.1" && text.contains("event: heartbeat") {
                break;
            }
        }
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        (head.to_lowercase(), body.to_owned())
    };
    let (head, body) = read("1.0");
    assert!(head.contains(" 200 ") && !head.contains("transfer-encoding"), "{head}");
    assert!(!head.contains("content-length") && !head.contains("keep-alive"), "{head}");
    assert!(body.starts_with("retry: 1000\n\nid: 0:0\nevent: snapshot\n"), "{body:?}");
    assert!(!body.contains('\r'), "{body:?}");
    let (head, _) = read("1.1");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
}

#[tokio::test]
async fn streams_end_when_the_service_stops() {
    let mut signet = Signet::start();
    let client = Client::new(signet.base());
    let mut listener = listen(&client, None).await;
    listener.next("snapshot").await;
    let start = std::time::Instant::now();
    assert!(signet.term().success());
    assert!(start.elapsed() < Duration::from_secs(8), "it waited for the listener");
    while listener.try_next().await.is_some() {}
}

#[tokio::test]
async fn who_may_hear_no_more_is_cut_off() {
    let signet =
        Signet::builder().set("revocations.open", "false").set("revocations.heartbeat", "1s");
    let signet = signet.start();
    let client = Client::new(signet.base());
    let open = async |id: &str, options: &[&str]| {
        let options = [&["--scopes", "revocations:read"], options].concat();
        let secret = signet.add_confidential(id, &options);
        let token = client.client_token_for((id, &secret), "revocations:read").await;
        Listener::open(client.get("/revocations/stream").bearer_auth(token)).await
    };
    let mut disabled = open("disabled", &[]).await;
    let mut goes_on = open("goes-on", &[]).await;
    let mut outlives = open("outlives", &["--access-token-lifetime", "2s"]).await;
    outlives.next("heartbeat").await;
    signet.cli_ok(&["clients", "disable", "disabled"], "");
    for listener in [&mut disabled, &mut outlives] {
        let end = async { while listener.try_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(15), end).await.expect("the stream ends");
    }
    goes_on.next("heartbeat").await;
}
