//! The metadata documents (RFC 8414, OpenID Connect Discovery 1.0): whose they are, and which
//! endpoints they name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use super::fault::Fault;
use super::http::Http;
use super::issuer::Issuer;
use super::report::Report;
use crate::storage::outbound::{Answer, OutboundError, Request};

const MAX_BYTES: usize = 1 << 20;

/// What the metadata leads to. Only addresses that may be asked.
#[derive(Default)]
pub(super) struct Metadata {
    /// Whether the documents are those of the issuer that was asked for.
    pub is_issuers: bool,
    /// Whether a client's secret may be sent in a form only.
    pub by_form: bool,
    pub jwks: Option<Url>,
    pub token: Option<Url>,
    pub revocation: Option<Url>,
    pub introspection: Option<Url>,
    pub revocations: Option<Url>,
    pub revocations_stream: Option<Url>,
}

struct Document {
    members: Map<String, Value>,
    answer: Answer,
}

impl Document {
    fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member)?.as_str()
    }
}

/// Reads both documents. The answer that one of them came in is for the comparison of clocks.
pub(super) async fn check(
    http: &Http,
    issuer: &Issuer,
    report: &mut Report,
) -> Option<(Metadata, Answer)> {
    let oauth = read(http, &issuer.oauth_metadata()).await;
    let openid = read(http, &issuer.openid_metadata()).await;
    report_read("oauth metadata", &issuer.oauth_metadata(), &oauth, openid.is_ok(), report);
    report_read("openid metadata", &issuer.openid_metadata(), &openid, oauth.is_ok(), report);
    let found: Vec<Document> = [oauth, openid].into_iter().flatten().collect();
    let is_issuers = is_issuers(issuer, &found, report);
    let document = found.into_iter().next()?;
    let methods = document.members.get("token_endpoint_auth_methods_supported");
    let methods: Vec<_> =
        methods.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let by_form =
        methods.contains(&"client_secret_post") && !methods.contains(&"client_secret_basic");
    let mut metadata = endpoints(issuer, &document, report);
    (metadata.is_issuers, metadata.by_form) = (is_issuers, by_form);
    Some((metadata, document.answer))
}

async fn read(http: &Http, url: &Url) -> Result<Document, Fault> {
    let answer = http.get(url, Request::default(), MAX_BYTES).await?;
    match serde_json::from_slice(&answer.body) {
        Ok(members) => Ok(Document { members, answer }),
        Err(_) => Err(Fault::Content("it is no JSON object")),
    }
}

fn report_read(
    check: &'static str,
    url: &Url,
    read: &Result<Document, Fault>,
    has_other: bool,
    report: &mut Report,
) {
    match read {
        Ok(document) => {
            let took = document.answer.head_after;
            report.ok(check, format!("{url}")).took(took);
        }
        // One of the two is enough for those who look for both.
        Err(fault @ Fault::Request(OutboundError::Status(_))) if has_other => {
            let mend = "serve it as well: some libraries look there only";
            report.warning(check, format!("{fault} at {url}"), mend);
        }
        Err(fault) => {
            report.failed(check, format!("{fault} at {url}"), fault.mend());
        }
    }
}

/// RFC 8414 section 3.3: what is said in another name does not count.
#[allow(clippy::indexing_slicing, reason = "called with at least one document")]
fn is_issuers(issuer: &Issuer, found: &[Document], report: &mut Report) -> bool {
    let asked = issuer.name.as_str();
    let names: Vec<_> = found.iter().map(|document| document.text("issuer")).collect();
    if names.is_empty() {
        report.skipped("issuer", "there is no metadata");
        return false;
    }
    let same =
        |member: &str| found.iter().all(|document| document.text(member) == found[0].text(member));
    match names.iter().find(|name| **name != Some(asked)) {
        Some(Some(other)) => {
            let mend = if other.trim_end_matches('/') == asked.trim_end_matches('/') {
                format!(
                    "name the issuer as {other:?} everywhere, slash or not, or set it to {asked:?}"
                )
            } else {
                format!(
                    "set the service's issuer to {asked:?}, or let resource servers ask for {other:?}"
                )
            };
            report.failed("issuer", format!("the metadata is that of {other:?}"), mend);
            false
        }
        Some(None) => {
            report.failed("issuer", "the metadata names no issuer", "name it (RFC 8414 section 2)");
            false
        }
        None if !["jwks_uri", "token_endpoint"].into_iter().all(same) => {
            let mend = "let both documents name the same jwks_uri and token_endpoint";
            report.failed("issuer", "the two documents lead to different places", mend);
            true
        }
        None => {
            report.ok("issuer", asked);
            true
        }
    }
}

fn endpoints(issuer: &Issuer, document: &Document, report: &mut Report) -> Metadata {
    let (mut elsewhere, mut unsafe_ones, mut count) = (BTreeMap::new(), Vec::new(), 0);
    let mut endpoint = |member: &str| {
        let text = document.text(member)?;
        count += 1;
        let url = Url::parse(text).ok().filter(|url| issuer.may_be_asked_at(url));
        match &url {
            None => unsafe_ones.push(format!("{member} {text:?}")),
            Some(url) if !issuer.is_above(url) => {
                let origin = url.origin().ascii_serialization();
                elsewhere.entry(origin).or_insert_with(Vec::new).push(member.to_owned());
            }
            Some(_) => {}
        }
        url
    };
    let metadata = Metadata {
        jwks: endpoint("jwks_uri"),
        token: endpoint("token_endpoint"),
        revocation: endpoint("revocation_endpoint"),
        introspection: endpoint("introspection_endpoint"),
        revocations: endpoint("revocations_uri"),
        revocations_stream: endpoint("revocations_stream_uri"),
        ..Metadata::default()
    };
    let _ = ["userinfo_endpoint", "authorization_endpoint"].map(endpoint);
    if !unsafe_ones.is_empty() {
        let mend = "give each as an absolute https address: whoever is on the way can exchange what is \
                    said at others";
        report.failed("endpoints", format!("not asked: {}", unsafe_ones.join(", ")), mend);
    } else if document.text("jwks_uri").is_none() {
        let mend = "name the key set as jwks_uri, or no service can verify locally";
        report.failed("endpoints", "the metadata names no jwks_uri", mend);
    } else if !elsewhere.is_empty() {
        let mend = "see that it is meant: resource servers that may reach the issuer alone do not \
                    reach these";
        let at = |(origin, members): (&String, &Vec<String>)| {
            format!("{} at {origin}", members.join(", "))
        };
        let places = elsewhere.iter().map(at).collect::<Vec<_>>().join("; ");
        report.warning("endpoints", format!("not below the issuer: {places}"), mend);
    } else {
        report.ok("endpoints", format!("all {count} below the issuer"));
    }
    metadata
}
