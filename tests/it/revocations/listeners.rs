//! `GET /revocations/stream`: what listeners hear, how they resume, and how many there may be.

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
        assert_eq!((first.event.as_str(), first.id.as_deref()), ("snapshot", Some("0")));
        assert_eq!(parsed(&first.data), json!({ "epoch": epoch, "seq": 0 }));
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
            assert_eq!(claims["iss"], signet.issuer());
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
    let mut again = listen(&client, Some("1")).await;
    for (number, token) in [(2, &tokens[1]), (3, &tokens[2])] {
        let event = again.try_next().await.expect("an event");
        assert_eq!(event.event, "revocation");
        let claims = change(&client, &event).await;
        assert_eq!(claims["seq"], number);
        assert!(refuses(&claims, token));
    }
    let mut current = listen(&client, Some("3")).await;
    assert_eq!(current.try_next().await.expect("an event").event, "heartbeat");
    // Ahead of this instance, or no number at all.
    for odd in ["4", "999999999999999999999999", "-1", "x"] {
        let mut listener = listen(&client, Some(odd)).await;
        let event = listener.try_next().await.expect("an event");
        assert_eq!((event.event.as_str(), event.id.as_deref()), ("snapshot", Some("3")), "{odd}");
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

#[tokio::test]
async fn there_are_so_many_places_and_no_more() {
    let signet = Signet::builder().set("revocations.max_listeners", "2").start();
    let client = Client::new(signet.base());
    let first = listen(&client, None).await;
    let _second = listen(&client, None).await;
    let refused = client.get("/revocations/stream").answer().await.expect_problem(503);
    assert!(refused.header("retry-after").is_some());
    drop(first);
    let mut third = None;
    for _ in 0..100 {
        if client.get("/revocations/stream").send().await.unwrap().status() == 200 {
            third = Some(());
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(third.is_some(), "the place of who has gone is free again");
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
