//! RFC 7517 and RFC 7638: the published keys, and how they are cached.

use reqwest::Method;
use rsa::traits::PublicKeyParts;

use crate::support::client::{Client, Send};
use crate::support::jwt::{Jwt, public_key, thumbprint};
use crate::support::keys::{key, kids};
use crate::support::raw::Connection;
use crate::support::signet::Signet;

const JWKS: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn every_key_is_a_public_rsa_key_named_by_its_thumbprint() {
    let answer = Client::shared().get(JWKS).answer().await.expect(200);
    assert!(
        ["application/json", "application/jwk-set+json"].contains(&answer.media_type()),
        "{answer:?}"
    );
    let document = answer.json();
    let keys = document["keys"].as_array().expect("keys");
    assert!(!keys.is_empty());
    for key in keys {
        let mut members: Vec<_> = key.as_object().expect("a key").keys().collect();
        members.sort();
        // Above all none of d, p, q, dp, dq, qi.
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!(
            (&key["kty"], &key["use"], &key["alg"]),
            (&"RSA".into(), &"sig".into(), &"RS256".into())
        );
        assert_eq!(key["kid"], thumbprint(key));
        assert_eq!(public_key(key).size() * 8, 2048);
    }
}

#[tokio::test]
async fn a_larger_key_is_made_when_asked_for() {
    let signet = Signet::builder().set("keys.rsa_bits", "3072").start();
    let jwks = Client::new(signet.base()).jwks().await;
    assert_eq!(public_key(&jwks["keys"][0]).size() * 8, 3072);
}

#[tokio::test]
async fn answers_may_be_cached_as_long_as_configured() {
    let answer = Client::shared().get(JWKS).answer().await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=600"));
    let signet = Signet::builder().set("keys.jwks_max_age", "60s").start();
    let answer = Client::new(signet.base()).get(JWKS).answer().await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
}

#[tokio::test]
async fn a_strong_etag_saves_the_body() {
    let client = Client::shared();
    let full = client.get(JWKS).answer().await.expect(200);
    let etag = full.header("etag").expect("an ETag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    // RFC 9110 section 13.1.2: a list, `*`, and weak comparison.
    for condition in
        [etag.clone(), format!("\"other\", {etag}"), "*".to_owned(), format!("W/{etag}")]
    {
        let answer = client.get(JWKS).header("if-none-match", &condition).answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{condition}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()), "{condition}");
        assert_eq!(answer.header("cache-control"), full.header("cache-control"), "{condition}");
    }
    for condition in ["\"other\"", "W/\"other\"", "nonsense"] {
        let answer = client.get(JWKS).header("if-none-match", condition).answer().await;
        assert_eq!((answer.status, &answer.body), (200, &full.body), "{condition}");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let client = Client::shared();
    let get = client.get(JWKS).answer().await.expect(200);
    let head = client.request(Method::HEAD, JWKS).answer().await.expect(200);
    assert_eq!(head.body, "");
    for header in ["etag", "cache-control", "content-type", "content-length"] {
        assert_eq!(head.header(header), get.header(header), "{header}");
    }
}

#[test]
fn an_answer_without_a_body_leaves_the_connection_in_order() {
    let signet = Signet::shared();
    let mut connection = Connection::open(signet.address());
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{more}\r\n", signet.address())
    };
    connection.send(&get(JWKS, ""));
    let full = connection.answer();
    let etag = full.header("etag").expect("an ETag").to_owned();
    assert_eq!(full.status, 200);
    // Both at once: a single byte of content would be taken for the start of the second answer.
    let conditional = get(JWKS, &format!("if-none-match: {etag}\r\n"));
    connection.send(&(conditional.clone() + &get("/health/live", "")));
    let saved = connection.answer();
    assert_eq!((saved.status, saved.header("etag")), (304, Some(etag.as_str())), "{saved:?}");
    // RFC 9112 section 6.1: a message without content has no coding of it either.
    assert_eq!(saved.header("transfer-encoding"), None, "{saved:?}");
    assert_eq!(connection.answer().status, 200);
    // And one after the other.
    connection.send(&conditional);
    assert_eq!(connection.answer().status, 304);
    connection.send(&get(JWKS, ""));
    let again = connection.answer();
    assert_eq!((again.status, again.body), (200, full.body));
}

#[tokio::test]
async fn the_schedule_publishes_a_further_key_by_itself() {
    let mut signet = Signet::builder()
        .set("keys.jwks_max_age", "5s")
        .set("keys.publish_ahead", "30s")
        .set("keys.rotate_every", "36s")
        .start();
    let client = Client::new(signet.base());
    let keys = async || client.jwks().await["keys"].as_array().expect("keys").clone();
    // The one that signs, and its spare.
    let first = keys().await;
    assert_eq!(first.len(), 2);
    // The next key is due this long before the turn of the spare.
    signet.advance(6);
    let start = std::time::Instant::now();
    let all = loop {
        let published = keys().await;
        if published.len() > 2 {
            break published;
        }
        assert!(start.elapsed().as_secs() < 30, "no third key: {}", signet.output());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(all.len(), 3);
    assert!(first.iter().all(|key| all.contains(key)));
    // The spare's turn is planned, and until then the first one signs.
    let [spare] = kids(&signet, "pending")
        .into_iter()
        .filter(|kid| first.iter().any(|key| key["kid"] == kid.as_str()))
        .collect::<Vec<_>>()
        .try_into()
        .expect("one");
    assert!(key(&signet, &spare)["activates_at"].is_string());
    // The turn may come at any moment: the token is of the key before or of the key after it.
    let mut active = kids(&signet, "active");
    let token = client.new_user().await.tokens.access_token;
    active.extend(kids(&signet, "active"));
    let kid = Jwt::decode(&token).header["kid"].clone();
    assert!(active.iter().any(|active| kid == active.as_str()), "{kid} of {active:?}");
}
