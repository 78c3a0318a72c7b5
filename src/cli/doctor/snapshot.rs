//! The signed snapshot of the revocation feed.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::caching::{self, Keeping};
use super::client::Client;
use super::fault::{Fault, seconds};
use super::http::Http;
use super::issuer::Issuer;
use super::report::Report;
use crate::domain::keys::foreign::ForeignKeys;
use crate::domain::tokens::LEEWAY;
use crate::domain::tokens::foreign::{self, ForeignToken};
use crate::storage::outbound::{Answer, HeaderValue, OutboundError, Request, StatusCode, header};

const TYPE: &str = "revocations+jwt";
/// The size of a snapshot: half a million entries.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// A larger one costs each follower that starts.
const LARGE: usize = 16 << 20;
/// The service looks into the database every half second.
const OLD: Duration = Duration::from_secs(10);
/// It is good for five minutes.
const MAX_KEPT: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub(super) struct Feed {
    pub snapshot: Url,
    pub stream: Url,
    /// For a feed that is not open to all.
    pub authorization: Option<HeaderValue>,
    /// The history that the snapshot belongs to.
    pub epoch: Option<String>,
}

impl Feed {
    pub(super) fn request(&self) -> Request {
        Request { authorization: self.authorization.clone(), ..Request::default() }
    }
}

/// Reads the snapshot; returns the feed if this client may read it.
pub(super) async fn check(
    http: &Http,
    issuer: &Issuer,
    keys: Option<&ForeignKeys>,
    mut feed: Feed,
    client: Option<&Client<'_>>,
    report: &mut Report,
) -> Option<Feed> {
    let answer = ask(http, &mut feed, client, report).await?;
    let Some(answer) = report.accept_at("statement", &feed.snapshot, answer) else {
        // The stream may be there all the same.
        return Some(feed);
    };
    let size = answer.body.len();
    let took = answer.head_after;
    match size {
        size if size > LARGE => {
            let mend = "see what revokes so much: each follower fetches it when it starts";
            report.warning("statement", format!("{size} bytes"), mend).took(took)
        }
        size => report.ok("statement", format!("{size} bytes in {}", seconds(took))).took(took),
    }
    feed.epoch = content(http, issuer, keys, &answer, report);
    age(&answer, report);
    let (request, url) = (feed.request(), feed.snapshot.clone());
    caching::revalidate(http, &url, request, &answer, MAX_BYTES, "statement etag", report).await;
    Some(feed)
}

/// Asks for the snapshot, with a token where one is needed; `None` if this client may not read it.
async fn ask(
    http: &Http,
    feed: &mut Feed,
    client: Option<&Client<'_>>,
    report: &mut Report,
) -> Option<Result<Answer, Fault>> {
    match http.get(&feed.snapshot, feed.request(), MAX_BYTES).await {
        Err(Fault::Request(OutboundError::Status(
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
        ))) => {}
        answer => return Some(answer),
    }
    let Some(client) = client else {
        let why = "the feed is not open to all: try again with --client-id, of a client with the scope \
                   revocations:read";
        report.skipped("statement", why);
        return None;
    };
    match client.token(http, Some("revocations:read"), report).await {
        Ok(token) => {
            feed.authorization = Some(super::http::bearer(token.token.expose()));
            Some(http.get(&feed.snapshot, feed.request(), MAX_BYTES).await)
        }
        Err(refusal) => {
            let mend =
                "give the client the scope revocations:read and the grant client_credentials";
            report.failed("statement", format!("no token for it: {refusal}"), mend);
            None
        }
    }
}

/// Checks signature and claims; returns the history that the snapshot belongs to.
fn content(
    http: &Http,
    issuer: &Issuer,
    keys: Option<&ForeignKeys>,
    answer: &Answer,
    report: &mut Report,
) -> Option<String> {
    let Some(keys) = keys else {
        report.skipped("statement signature", "there are no keys to verify it with");
        return None;
    };
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    let snapshot = match foreign::verify(text.trim_end(), keys) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let mend = "let every instance use the same keys and database, and the proxy send snapshot \
                        and key set from the same service";
            report.failed("statement signature", error.to_string(), mend);
            return None;
        }
    };
    report.ok("statement signature", format!("by {}", snapshot.kid));
    let now = http.clock.now().as_unix();
    match problem(&snapshot, issuer, now) {
        None => {
            let entries = snapshot.claims.get("revocations").and_then(Value::as_array);
            let (entries, seq) = (entries.map_or(0, Vec::len), snapshot.claims.get("seq"));
            let seq = seq.and_then(Value::as_i64).unwrap_or_default();
            report.ok("statement claims", format!("{entries} entries up to number {seq}"));
        }
        Some(problem) => {
            let mend =
                "see which service answers there, and that no cache keeps it beyond its max-age";
            report.failed("statement claims", problem, mend);
        }
    }
    snapshot.text("epoch").map(str::to_owned)
}

fn problem(snapshot: &ForeignToken, issuer: &Issuer, now: i64) -> Option<String> {
    let leeway = LEEWAY.as_secs() as i64;
    if !snapshot.is_of_type(TYPE) {
        let typ = snapshot.typ.as_deref().unwrap_or_default();
        return Some(format!("its typ is {typ:?}, not {TYPE}"));
    }
    match snapshot.text("iss") {
        // A previous version named the issuer.
        Some(iss) if iss == issuer.name || iss == format!("{}/revocations", issuer.name) => {}
        other => return Some(format!("its iss is {:?}", other.unwrap_or_default())),
    }
    match snapshot.date("exp") {
        Some(exp) if exp.saturating_add(leeway) > now => {}
        Some(exp) => return Some(format!("it expired {} s ago", now.saturating_sub(exp))),
        None => return Some("it has no exp".to_owned()),
    }
    if snapshot.date("iat").is_some_and(|iat| iat > now.saturating_add(leeway)) {
        return Some("it is of the future".to_owned());
    }
    let has_history = snapshot.text("epoch").is_some()
        && snapshot.claims.get("seq").is_some_and(Value::is_u64)
        && snapshot.claims.get("revocations").is_some_and(Value::is_array);
    (!has_history).then(|| "it lacks epoch, seq or revocations".to_owned())
}

fn may_be_kept(answer: &Answer) -> Duration {
    match Keeping::of(answer) {
        Keeping::For(age) => age.min(MAX_KEPT),
        Keeping::Not | Keeping::Unsaid => Duration::ZERO,
    }
}

fn age(answer: &Answer, report: &mut Report) {
    let age = answer.header(header::AGE).and_then(|age| age.parse().ok()).map(Duration::from_secs);
    match age {
        None => {
            let mend = "let the proxy pass Age on: followers see by it how much they know";
            report.warning("statement age", "it does not say how old its knowledge is", mend);
        }
        // What a cache may keep it for is added.
        Some(age) if age > OLD + may_be_kept(answer) => {
            let mend = "see whether this instance reaches its database, or take it out; if a cache is \
                        before it, let it keep the snapshot no longer than its max-age";
            report.failed("statement age", seconds(age), mend).took(age);
        }
        Some(age) => report.ok("statement age", format!("{} s", age.as_secs())).took(age),
    }
}
