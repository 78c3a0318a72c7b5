//! The whole way: a token is issued, verified and revoked, and the feed says so; the time until then is
//! the feed's latency as a follower has it.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::client::{Client, Token, object};
use super::events::Events;
use super::fault::{Fault, seconds};
use super::http::Http;
use super::issuer::Issuer;
use super::report::Report;
use super::snapshot::{self, Feed};
use crate::cli::output;
use crate::domain::keys::foreign::ForeignKeys;
use crate::domain::tokens::LEEWAY;
use crate::domain::tokens::foreign::{self, ForeignToken, NotVerified};
use crate::domain::tokens::jws::Unreadable;
use crate::storage::outbound::{OutboundError, Request, StatusCode, header};

/// The time within which the feed must show the revocation.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// The service promises one second; a snapshot may be kept for another.
const SOON: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Setting<'a> {
    pub http: &'a Http,
    pub issuer: &'a Issuer,
    pub keys: Option<&'a ForeignKeys>,
    pub feed: Option<&'a Feed>,
    pub client: &'a Client<'a>,
}

pub(super) async fn check(setting: &Setting<'_>, report: &mut Report) {
    let Setting { http, client, .. } = *setting;
    let token = client.token(http, None, report).await;
    let Some(token) = report.accept("token", token) else { return };
    report.ok("token", format!("got one in {}", seconds(token.took))).took(token.took);
    let verified = verify(setting, &token, report);
    let jti = verified.as_ref().and_then(|token| token.text("jti"));
    if client.metadata.revocation.is_none() {
        report.skipped("revocation", "the metadata names no revocation_endpoint");
        return;
    }
    // A client that sees a live token as inactive learns nothing about a revoked one.
    let was_active = introspect(setting, &token).await;
    if !revoke(setting, &token, jti, report).await {
        return;
    }
    match (was_active, introspect(setting, &token).await) {
        (None, _) => {
            report.skipped("introspection", "the metadata names no introspection_endpoint");
        }
        (Some(Ok(true)), Some(Ok(false))) => {
            report.ok("introspection", "active before it was revoked, inactive after");
        }
        (Some(Ok(true)), Some(Ok(true))) => {
            let mend =
                "let introspection and revocation use the same store, and nothing cache the answer";
            report.failed("introspection", "the revoked token is active", mend);
        }
        (Some(Ok(false)), _) => {
            let mend =
                "see whether this client may ask about tokens: it sees a live one as inactive";
            report.failed("introspection", "inactive before it was revoked", mend);
        }
        (Some(Err(fault)), _) | (_, Some(Err(fault))) => report.fault("introspection", &fault),
        (Some(Ok(true)), None) => {}
    }
}

fn verify(setting: &Setting<'_>, token: &Token, report: &mut Report) -> Option<ForeignToken> {
    let Some(keys) = setting.keys else {
        report.skipped("token signature", "there are no keys to verify it with");
        return None;
    };
    let text = token.token.expose();
    let token = match foreign::verify(text, keys) {
        Ok(token) => token,
        Err(NotVerified::Unreadable(Unreadable::Malformed)) if text.split('.').count() != 3 => {
            let why = "it is opaque: only introspection shows whether it is valid";
            report.skipped("token signature", why);
            return None;
        }
        Err(error) => {
            let mend = match error {
                NotVerified::Unreadable(Unreadable::Malformed) => {
                    "sign by an algorithm that verifiers know, such as RS256 or ES256"
                }
                _ => "let every instance use the same keys, and publish each before it signs",
            };
            report.failed("token signature", error.to_string(), mend);
            return None;
        }
    };
    report.ok("token signature", format!("by {}", token.kid));
    let now = setting.http.clock.now().as_unix();
    let leeway = LEEWAY.as_secs() as i64;
    let lacking: Vec<_> = ["sub", "aud", "iat", "jti", "client_id"]
        .into_iter()
        .filter(|claim| !token.claims.contains_key(*claim))
        .collect();
    let iss = token.text("iss").unwrap_or_default();
    if iss != setting.issuer.name {
        let mend = "let the service issue in the name that its metadata has";
        report.failed("token claims", format!("its iss is {iss:?}"), mend);
    } else if token.date("exp").is_none_or(|exp| exp.saturating_add(leeway) <= now) {
        let mend = "set the clocks: a token that was issued just now has to have its exp ahead";
        report.failed("token claims", "it has no exp, or is over already", mend);
    } else if !lacking.is_empty() || !token.is_of_type("at+jwt") {
        let typ = token.typ.as_deref().unwrap_or_default();
        let seen = format!("typ is {typ:?}, missing: {}", output::words(&lacking));
        let mend = "issue tokens by RFC 9068: verifiers distinguish them from other JWTs by typ and these claims";
        report.warning("token claims", seen, mend);
    } else {
        report.ok("token claims", "as RFC 9068 wants them");
    }
    Some(token)
}

/// Whether the token is active; `None` without an endpoint to ask.
async fn introspect(setting: &Setting<'_>, token: &Token) -> Option<Result<bool, Fault>> {
    let url = setting.client.metadata.introspection.as_ref()?;
    let answer = setting.client.post(setting.http, Some(url), &token.form()).await;
    Some(answer.and_then(|answer| {
        let active = object(&answer).and_then(|body| body.get("active")?.as_bool());
        active.ok_or(Fault::Content("the answer does not say whether it is active"))
    }))
}

/// Revokes the token and waits until stream and snapshot show it; returns whether it was revoked.
async fn revoke(
    setting: &Setting<'_>,
    token: &Token,
    jti: Option<&str>,
    report: &mut Report,
) -> bool {
    let Setting { http, feed, client, keys, .. } = *setting;
    // Connected before, so that an immediate event is not missed.
    let watched = match (feed, jti, keys) {
        (Some(feed), Some(jti), Some(keys)) => Some((feed, jti, keys, listening(http, feed).await)),
        _ => None,
    };
    report.progress("revoking a token, and waiting until the feed shows it");
    let start = Instant::now();
    let revoked = client.post(http, client.metadata.revocation.as_ref(), &token.form()).await;
    let Some(answer) = report.accept("revocation", revoked) else { return false };
    let took = answer.head_after;
    report.ok("revocation", format!("done in {}", seconds(took))).took(took);
    let Some((feed, jti, keys, events)) = watched else {
        report.skipped("stream latency", "there is no feed, or the token has no jti to look for");
        return true;
    };
    let stream = async { stream_shows(http, events?, keys, jti).await.map(|()| start.elapsed()) };
    let snapshot = async { snapshot_shows(http, feed, keys, jti).await.map(|()| start.elapsed()) };
    let (stream, snapshot) = tokio::join!(stream, snapshot);
    report_latency("stream latency", stream, SOON[0], report);
    report_latency("statement latency", snapshot, SOON[1], report);
    true
}

fn report_latency(
    check: &'static str,
    shown: Result<Duration, Fault>,
    soon: Duration,
    report: &mut Report,
) {
    match shown {
        Ok(after) => {
            let seen = format!("shown {} after the revocation was requested", seconds(after));
            let mend = "see what keeps the service's instances from their database, or the proxy from \
                        passing it on";
            report.at_most(soon, check, after, seen, mend);
        }
        Err(Fault::Slow(limit) | Fault::Request(OutboundError::Slow(limit))) => {
            let mend = "let all instances use one database, and nothing between keep what they say";
            report.failed(check, format!("not shown within {}", seconds(limit)), mend);
        }
        Err(fault) => report.fault(check, &fault),
    }
}

/// A stream whose first event has arrived, so that it sends every change from now on.
async fn listening(http: &Http, feed: &Feed) -> Result<Events, Fault> {
    let mut events = Events::open(http, feed).await?;
    match events.named(http, "snapshot", SHOWN_WITHIN).await? {
        Some(_) => Ok(events),
        None => Err(Fault::Content("the stream ended")),
    }
}

async fn stream_shows(
    http: &Http,
    mut events: Events,
    keys: &ForeignKeys,
    jti: &str,
) -> Result<(), Fault> {
    let watch = async {
        loop {
            let event = events.named(http, "revocation", SHOWN_WITHIN).await?;
            let event = event.ok_or(Fault::Content("the stream ended"))?;
            let change = foreign::verify(&event.data, keys)
                .map_err(|_| Fault::Content("a change is not signed by a key of the issuer"))?;
            if change.is_of_type("secevent+jwt") && has(&change.claims, jti) {
                return Ok(());
            }
        }
    };
    http.within(SHOWN_WITHIN, watch).await
}

async fn snapshot_shows(
    http: &Http,
    feed: &Feed,
    keys: &ForeignKeys,
    jti: &str,
) -> Result<(), Fault> {
    let ask = async {
        let mut connection = http.connect(&feed.snapshot).await?;
        let mut known = None;
        loop {
            if !connection.is_open() {
                connection = http.connect(&feed.snapshot).await?;
            }
            let request = Request { if_none_match: known.clone(), ..feed.request() };
            let answer = connection.fetch(&feed.snapshot, request, snapshot::MAX_BYTES).await?;
            if answer.status != StatusCode::NOT_MODIFIED {
                let answer = answer.success()?;
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                let snapshot = foreign::verify(text.trim_end(), keys)
                    .map_err(|_| Fault::Content("it is not signed by a key of the issuer"))?;
                if has(&snapshot.claims, jti) {
                    return Ok(());
                }
                known = answer.headers.get(header::ETAG).cloned();
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    http.within(SHOWN_WITHIN, ask).await
}

fn has(claims: &Map<String, Value>, jti: &str) -> bool {
    let entries = claims.get("revocations").and_then(Value::as_array);
    entries.is_some_and(|entries| entries.iter().any(|entry| entry["jti"] == jti))
}
