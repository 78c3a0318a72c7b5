//! Faults of the key set.

use serde_json::json;

use super::Found;
use super::issuer::{Issuer, Reply};

fn with_keys(change: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Found {
    let issuer = Issuer::spoilt_at("/jwks", move |_, reply| change(reply));
    Found::at(issuer.base(), &[])
}

/// A key set with this key besides.
fn with_key(members: serde_json::Value) -> Found {
    with_keys(move |reply| {
        reply.changed(|jwks| {
            let mut key = json!({ "kid": "added", "use": "sig", "alg": "RS256", "kty": "RSA" });
            for (name, value) in members.as_object().expect("members") {
                key[name] = value.clone();
            }
            let keys = jwks["keys"].as_array_mut().expect("keys");
            keys.push(key.clone());
            // So that it is not alone of its algorithm.
            key["kid"] = json!("another");
            keys.push(key);
        })
    })
}

/// An RSA modulus of so many bits.
fn modulus(bits: usize) -> String {
    // Its first byte and all others are 0xff.
    let text = "_".repeat(bits / 6);
    match bits % 6 {
        0 => text,
        2 => text + "w",
        _ => text + "8",
    }
}

#[test]
fn a_weak_key() {
    let found = with_key(json!({ "n": modulus(1024), "e": "AQAB" }));
    found.assert_failed("key strength", "added: RSA below 2048 bits", "rotate to a key");
    let found = with_key(json!({ "n": modulus(2048), "e": "AQ" }));
    found.assert_failed("key strength", "exponent is below 3", "rotate to a key");
    let found = with_key(json!({ "n": modulus(2048), "e": "Aw" }));
    found.assert_warned("key strength", "exponent is below 65537", "65537");
    let found = with_key(json!({ "n": modulus(2048), "e": "AQAB" }));
    assert!(found.names("failed").is_empty() && found.names("warning").is_empty(), "{found:?}");
}

#[test]
fn a_private_or_symmetric_key() {
    let found = with_key(json!({ "n": modulus(2048), "e": "AQAB", "d": "AQAB" }));
    found.assert_failed("key strength", "private part is published", "take this one out");
    let found = with_key(json!({ "kty": "oct", "k": "AQAB", "alg": "HS256" }));
    found.assert_failed("key strength", "published", "take this one out");
}

#[test]
fn kids_that_are_double_or_missing() {
    let found = with_keys(|reply| {
        reply.changed(|jwks| jwks["keys"][1]["kid"] = jwks["keys"][0]["kid"].clone())
    });
    found.assert_tells("kids", "failed", "one kid for several keys", "a kid of its own");
    let found = with_keys(|reply| {
        reply.changed(|jwks| drop(jwks["keys"][1].as_object_mut().expect("a key").remove("kid")))
    });
    found.assert_failed("kids", "a key has no kid", "RFC 7638");
}

#[test]
fn a_key_that_does_not_say_what_it_is_for() {
    let found = with_keys(|reply| {
        reply.changed(|jwks| drop(jwks["keys"][1].as_object_mut().expect("a key").remove("use")))
    });
    found.assert_warned("use and alg", "not said by", "publish use and alg");
}

#[test]
fn no_spare() {
    let found =
        with_keys(|reply| reply.changed(|jwks| drop(jwks["keys"].as_array_mut().unwrap().pop())));
    found.assert_warned("spare key", "only one key for EdDSA", "ahead of its use");
}

#[test]
fn caching_that_is_not_said_or_not_sensible() {
    let found = with_keys(|reply| reply.without("cache-control"));
    found.assert_failed("jwks caching", "does not say", "max-age");
    for (value, seen) in [("max-age=5", "5.0 s"), ("max-age=604800", "604800 s"), ("no-store", "")]
    {
        let found = with_keys(move |reply| reply.with("cache-control", value));
        found.assert_warned("jwks caching", seen, "allow");
    }
}

#[test]
fn an_etag_that_is_missing_or_not_known_again() {
    let found = with_keys(|reply| reply.without("etag"));
    found.assert_warned("jwks etag", "no ETag", "pass ETag on");
    // The same in other letters, so that the server does not know it.
    let found = with_keys(|reply| reply.without("etag").with("ETag", "\"a\""));
    found.assert_warned("jwks etag", "status 200", "If-None-Match");
}

#[test]
fn what_is_no_key_set() {
    for body in ["<html>", "{}", r#"{"keys":[]}"#] {
        let found = with_keys(move |reply| Reply { body: body.to_owned(), ..reply });
        found.assert_failed("jwks", "no key set", "proxy");
    }
}
