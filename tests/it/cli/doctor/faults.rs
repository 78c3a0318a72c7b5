//! Faults of metadata, clock, feed and manners.

use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::json;

use super::issuer::{Facts, Issuer, Reply, Then, now};
use super::{Found, doctor_with};
use crate::support::process::free_port;

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const SECRET: &str = "fourteen-quiet-otters";

/// All checks as a client.
fn as_client(issuer: &Issuer) -> Found {
    let arguments =
        ["--issuer", issuer.base(), "--json", "--client-id", "c", "--client-secret-stdin"];
    let output = doctor_with(&[], &arguments, SECRET);
    assert!(!format!("{output:?}").contains(SECRET), "{output:?}");
    Found::of(&output)
}

/// Metadata that is changed in both documents.
fn with_metadata(
    change: impl Fn(&Facts, &mut serde_json::Value) + Send + Sync + 'static,
) -> Issuer {
    Issuer::spoilt(move |facts, request, reply| match request.path.starts_with("/.well-known/") {
        true => reply.changed(|metadata| change(facts, metadata)),
        false => reply,
    })
}

#[test]
fn what_is_sound_is_found_so() {
    let found = as_client(&Issuer::sound());
    assert!(found.names("failed").is_empty() && found.names("warning").is_empty(), "{found:?}");
    for check in ["statement signature", "heartbeat", "stream latency", "introspection"] {
        found.seen(check, "ok");
    }
}

#[test]
fn nobody_listens() {
    let found = Found::at(&format!("http://127.0.0.1:{}", free_port()), &[]);
    found.assert_failed("tcp", "refused", "start the service");
    let found = Found::at("https://no-such-host.invalid", &[]);
    found.assert_failed("dns", "does not resolve", "resolver");
}

#[test]
fn another_issuer() {
    let issuer = with_metadata(|_, metadata| metadata["issuer"] = json!("https://other.example"));
    let found = as_client(&issuer);
    found.assert_failed("issuer", "https://other.example", "set the service's issuer");
    // Whoever that is does not get the secret.
    assert!(!issuer.asked().contains(&"/token".to_owned()));
    assert!(found.seen("token", "skipped").contains("nothing but the issuer"));

    let issuer = Issuer::sound();
    let found = Found::at(&format!("{}/", issuer.base()), &[]);
    found.assert_tells("issuer", "failed", issuer.base(), "slash or not");
}

#[test]
fn endpoints_that_are_unsafe_or_elsewhere() {
    let issuer = with_metadata(|_, metadata| metadata["jwks_uri"] = json!("http://192.0.2.1/jwks"));
    let found = Found::at(issuer.base(), &[]);
    found.assert_failed("endpoints", "not asked: jwks_uri", "https");
    assert!(found.seen("jwks", "skipped").contains("no key set"));

    let issuer =
        with_metadata(|_, metadata| drop(metadata.as_object_mut().unwrap().remove("jwks_uri")));
    Found::at(issuer.base(), &[]).assert_failed("endpoints", "no jwks_uri", "verify locally");

    let issuer =
        with_metadata(|_, metadata| metadata["token_endpoint"] = json!("https://a.example/"));
    let found = Found::at(issuer.base(), &[]);
    found.assert_warned("endpoints", "token_endpoint at https://a.example", "meant");
}

#[test]
fn metadata_that_is_missing_or_differs() {
    let gone = |_: &Facts, _: Reply| Reply::new(404, "text/plain", "");
    let found = Found::at(Issuer::spoilt_at(OAUTH, gone).base(), &[]);
    found.assert_warned("oauth metadata", "status 404", "libraries");
    let differs = |_: &Facts, reply: Reply| {
        reply.changed(|metadata| metadata["jwks_uri"] = json!("https://a.example/jwks"))
    };
    let found =
        Found::at(Issuer::spoilt_at("/.well-known/openid-configuration", differs).base(), &[]);
    found.assert_failed("issuer", "different places", "both documents");
    let issuer = Issuer::spoilt(|_, _, _| Reply::new(500, "text/plain", ""));
    let found = Found::at(issuer.base(), &[]);
    assert_eq!(found.names("failed"), ["oauth metadata", "openid metadata"]);
}

/// One whose clock is off by so many seconds.
fn off_by(seconds: i64) -> Found {
    let issuer = Issuer::spoilt(move |_, _, reply| {
        let time = UNIX_EPOCH + Duration::from_secs((now() + seconds) as u64);
        reply.with("date", &httpdate::fmt_http_date(time))
    });
    Found::at(issuer.base(), &[])
}

#[test]
fn a_clock_that_is_off() {
    let minute = off_by(60);
    minute.assert_failed("clock", "ahead of", "NTP");
    let apart = minute.check("clock")["milliseconds"].as_f64().expect("it was measured");
    assert!((58_000.0..62_000.0).contains(&apart), "{apart}");
    off_by(-60).assert_failed("clock", "behind", "NTP");
    off_by(-10).assert_warned("clock", "behind", "NTP");
}

#[test]
fn an_answer_from_a_cache_is_no_clock_that_is_off() {
    let issuer = Issuer::spoilt(|_, request, reply| {
        let time = UNIX_EPOCH + Duration::from_secs((now() - 500) as u64);
        match request.path.starts_with("/.well-known/") {
            true => reply.with("date", &httpdate::fmt_http_date(time)).with("age", "500"),
            false => reply,
        }
    });
    assert!(Found::at(issuer.base(), &[]).names("failed").is_empty());
}

#[test]
fn a_stream_that_never_beats() {
    let silent = |_: &Facts, reply: Reply| Reply { then: Then::Silence, ..reply };
    let issuer = Issuer::spoilt_at("/revocations/stream", silent);
    let start = Instant::now();
    let found = Found::at(issuer.base(), &["--timeout", "3s"]);
    found.assert_failed("heartbeat", "none in ", "proxy_buffering off");
    assert!(start.elapsed() < Duration::from_secs(10));
    found.seen("stream", "ok");
}

#[test]
fn a_stream_that_ends_is_held_back_or_is_none() {
    for (spoil, check, seen, mend) in [
        (
            (|reply| Reply { then: Then::End, ..reply }) as fn(Reply) -> Reply,
            "heartbeat",
            "the stream ended",
            "read time-out",
        ),
        (
            |reply| Reply { body: String::new(), then: Then::Silence, ..reply },
            "stream",
            "no first event",
            "unbuffered",
        ),
        (|reply| reply.with("content-type", "text/html"), "stream", "event-stream", "proxy"),
        (|reply| Reply { status: 503, ..reply }, "stream", "503", "max_listeners"),
    ] {
        let issuer = Issuer::spoilt_at("/revocations/stream", move |_, reply| spoil(reply));
        Found::at(issuer.base(), &["--timeout", "7s"]).assert_failed(check, seen, mend);
    }
}

#[test]
fn a_statement_that_is_not_to_be_believed() {
    // Whether by an unknown key, in another's name, too old, or another kind of document.
    let spoilt = |key: usize, typ: &'static str, claim: &'static str, value: serde_json::Value| {
        let issuer = Issuer::spoilt_at("/revocations", move |facts, reply| {
            let mut statement = facts.statement();
            statement[claim] = value.clone();
            Reply { body: facts.sign(key, typ, &statement), ..reply }
        });
        Found::at(issuer.base(), &[])
    };
    let typ = "revocations+jwt";
    let found = spoilt(2, typ, "jti", json!("a"));
    found.assert_failed("statement signature", "the key set has no key", "same keys and database");
    for (typ, claim, value, seen) in [
        (typ, "iss", json!("https://other.example"), "https://other.example"),
        (typ, "exp", json!(now() - 90), "expired 9"),
        (typ, "seq", json!("a"), "lacks"),
        ("at+jwt", "jti", json!("a"), "its typ is \"at+jwt\""),
    ] {
        spoilt(0, typ, claim, value).assert_failed("statement claims", seen, "which service");
    }
    let found = spoilt(0, typ, "epoch", json!("f"));
    found.assert_failed("history", "different ones", "one database");
}

#[test]
fn a_statement_that_is_old() {
    let found = |value: &'static str| {
        let issuer = Issuer::spoilt_at("/revocations", move |_, reply| reply.with("age", value));
        Found::at(issuer.base(), &[])
    };
    found("90").assert_failed("statement age", "90 s", "database");
    found("soon").assert_warned("statement age", "does not say", "pass Age on");
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let other = Issuer::sound();
    let to = format!("{}/jwks", other.base());
    let issuer = Issuer::spoilt_at("/jwks", move |_, reply| {
        Reply { status: 302, ..reply }.without("etag").with("location", &to)
    });
    let found = Found::at(issuer.base(), &[]);
    found.assert_failed("jwks", "302 to", "follow no redirects");
    assert!(found.seen("jwks", "failed").contains(other.base()));
    assert!(other.asked().is_empty());
}

#[test]
fn answers_without_end_are_cut_off() {
    for (path, check) in [("/jwks", "jwks"), (OAUTH, "oauth metadata")] {
        let endless =
            |_: &Facts, reply: Reply| Reply { then: Then::Endless, ..reply }.without("etag");
        let found = Found::at(Issuer::spoilt_at(path, endless).base(), &[]);
        found.assert_failed(check, "longer than 1048576 bytes", "what answers there");
    }
    // Too slow to ever get there.
    let silent = |_: &Facts, reply: Reply| Reply { then: Then::Silence, ..reply };
    let start = Instant::now();
    let found = Found::at(Issuer::spoilt_at("/jwks", silent).base(), &["--timeout", "2s"]);
    found.assert_tells("jwks", "failed", "time was up", "--timeout");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_issuer_without_a_feed_is_none_the_worse() {
    let issuer = with_metadata(|_, metadata| {
        let members = metadata.as_object_mut().expect("an object");
        members.retain(|name, _| !name.starts_with("revocation"));
    });
    let found = as_client(&issuer);
    assert!(found.names("failed").is_empty() && found.names("warning").is_empty(), "{found:?}");
    assert!(found.seen("statement", "skipped").contains("names no feed"));
    assert!(found.seen("revocation", "skipped").contains("names no revocation_endpoint"));
}

#[test]
fn tokens_that_no_sibling_would_believe() {
    let with_token = |make: fn(&Facts) -> String| {
        let issuer = Issuer::spoilt_at("/token", move |facts, _| {
            Reply::json(&json!({ "access_token": make(facts), "token_type": "Bearer" }))
        });
        as_client(&issuer)
    };
    let found = with_token(|_| "a1b2c3d4e5f6".to_owned());
    assert!(found.seen("token signature", "skipped").contains("opaque"));
    assert!(found.names("failed").is_empty(), "{found:?}");
    let found = with_token(|_| "eyJhbGciOiJub25lIn0.e30.".to_owned());
    found.assert_failed("token signature", "no signed JWT", "algorithm");
    let found = with_token(|facts| facts.sign(2, "at+jwt", &facts.claims("j")));
    found.assert_tells("token signature", "failed", "has no key", "before it signs");
    let found = with_token(|facts| facts.sign(0, "JWT", &facts.claims("j")));
    found.assert_warned("token claims", "typ is \"JWT\"", "RFC 9068");
    let found = with_token(|facts| {
        facts.sign(0, "at+jwt", &json!({ "iss": facts.base, "exp": now() + 90, "jti": "j" }))
    });
    found.assert_warned("token claims", "missing: sub,aud,iat,client_id", "RFC 9068");
    let found = with_token(|facts| facts.sign(0, "at+jwt", &json!({ "iss": "a", "jti": "j" })));
    found.assert_tells("token claims", "failed", "its iss is \"a\"", "name");
    let found = with_token(|facts| {
        facts.sign(0, "at+jwt", &json!({ "iss": facts.base, "exp": now() - 90, "jti": "j" }))
    });
    found.assert_tells("token claims", "failed", "over already", "clocks");
}

#[test]
fn a_revocation_that_is_not_told() {
    // What is told is the end of another token.
    let issuer = Issuer::spoilt(|facts, request, reply| match request.path.as_str() {
        "/token" => {
            let token = facts.sign(0, "at+jwt", &facts.claims("k"));
            Reply::json(&json!({ "access_token": token, "token_type": "Bearer" }))
        }
        "/introspect" => Reply::json(&json!({ "active": true })),
        _ => reply,
    });
    let found = as_client(&issuer);
    let failed = ["stream latency", "statement latency", "introspection"];
    assert_eq!(found.names("failed"), failed, "{found:?}");
    found.assert_tells("stream latency", "failed", "not shown within", "one database");
    found.assert_tells("introspection", "failed", "is active", "same store");
}

#[test]
fn a_revocation_that_is_refused() {
    let issuer = Issuer::spoilt_at("/revoke", |_, _| Reply {
        status: 400,
        ..Reply::json(&json!({ "error": "unsupported_token_type" }))
    });
    as_client(&issuer).assert_failed("revocation", "unsupported_token_type", "log");
}

#[test]
fn plain_http_over_a_network() {
    // This very machine, by an address that is not its loopback's.
    let elsewhere = |text: String| text.replace("127.0.0.1", "0.0.0.0");
    let issuer = Issuer::spoilt(move |_, request, reply| match request.path.as_str() {
        path if path.starts_with("/.well-known/") => {
            Reply { body: elsewhere(reply.body.clone()), ..reply }
        }
        _ => reply,
    });
    let name = elsewhere(issuer.base().to_owned());
    let arguments = ["--issuer", &name, "--json", "--client-id", "c", "--client-secret-stdin"];
    let found = Found::of(&doctor_with(&[], &arguments, SECRET));
    found.assert_tells("tls", "failed", "plain HTTP", "by https");
    found.assert_tells("endpoints", "failed", "not asked", "https");
    assert!(!issuer.asked().contains(&"/token".to_owned()));
    found.seen("issuer", "ok");
    found.seen("token", "skipped");
}

#[test]
fn what_a_server_says_neither_steers_the_terminal_nor_tells_the_secret() {
    let issuer = Issuer::spoilt(|_, request, reply| match request.path.as_str() {
        // Says back whatever it was told, as an error and as a place to go to.
        "/token" => {
            let told = request.header("authorization").unwrap_or_default().replace("Basic ", "");
            let body = json!({ "error": told, "error_description": SECRET }).to_string();
            Reply::new(302, "application/json", body)
                .with("location", &format!("https://a.example/{SECRET}"))
        }
        path if path.starts_with("/.well-known/") => {
            reply.changed(|metadata| metadata["userinfo_endpoint"] = json!("\u{1b}[2J\u{202e}"))
        }
        _ => reply,
    });
    let found = as_client(&issuer);
    assert!(found.seen("endpoints", "failed").contains("\u{fffd}[2J") || found.0["ok"] == false);
    found.assert_tells("token", "failed", "[redacted]", "redirects");
    let text = found.0.to_string();
    assert!(!text.contains('\u{1b}') && !text.contains("\\u001b") && !text.contains('\u{202e}'));
}
