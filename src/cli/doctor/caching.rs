//! The checks of caching: how long an answer may be kept, and whether the server recognises its
//! `ETag` in a later request.

use std::time::Duration;

use url::Url;

use super::http::Http;
use super::report::Report;
use crate::storage::outbound::{Answer, Request, StatusCode, header};

/// How long an answer may be kept (RFC 9111).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    For(Duration),
    /// Not without a new request: `no-store` or `no-cache`.
    Not,
    /// The answer does not say: it has no valid `max-age`.
    Unsaid,
}

impl Keeping {
    pub(super) fn of(answer: &Answer) -> Self {
        let values = answer.headers.get_all(header::CACHE_CONTROL).iter();
        let text: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        Self::read(&text.join(","))
    }

    fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let directives = || text.split(',').map(str::trim);
        if directives().any(|directive| ["no-store", "no-cache"].contains(&directive)) {
            return Self::Not;
        }
        let age = directives().find_map(|directive| directive.strip_prefix("max-age="));
        match age.map(|age| age.trim_matches('"').parse()) {
            Some(Ok(seconds)) => Self::For(Duration::from_secs(seconds)),
            _ => Self::Unsaid,
        }
    }
}

/// Repeats the request that got `answer`, with its `ETag` in `If-None-Match`, and reports whether
/// the server answers 304.
pub(super) async fn revalidate(
    http: &Http,
    url: &Url,
    request: Request,
    answer: &Answer,
    max_bytes: usize,
    check: &'static str,
    report: &mut Report,
) {
    let Some(etag) = answer.headers.get(header::ETAG) else {
        let mend = "let the proxy pass ETag on, so that an unchanged document is not sent again";
        report.warning(check, "the answer has no ETag", mend);
        return;
    };
    let request = Request { if_none_match: Some(etag.clone()), ..request };
    match http.ask(url, request, max_bytes).await {
        Ok(again) if again.status == StatusCode::NOT_MODIFIED => {
            report.ok(check, "304 for an unchanged document").took(again.head_after);
        }
        // A document that has changed in between is sent whole, with another tag.
        Ok(again) if again.headers.get(header::ETAG).is_some_and(|other| other != etag) => {
            report.skipped(check, "the document changed in between");
        }
        Ok(again) => {
            let mend = "let the proxy pass If-None-Match on: each answer is sent whole";
            let seen = format!("status {} for a known ETag", again.status.as_u16());
            report.warning(check, seen, mend);
        }
        Err(fault) => {
            report.warning(check, fault.to_string(), fault.mend());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_is_read() {
        let seconds = |seconds| Keeping::For(Duration::from_secs(seconds));
        for (text, keeping) in [
            ("public, max-age=300", seconds(300)),
            ("Max-Age=\"5\",public", seconds(5)),
            ("no-cache, max-age=5", Keeping::Not),
            ("no-store", Keeping::Not),
            ("max-age=soon", Keeping::Unsaid),
            ("s-maxage=5", Keeping::Unsaid),
            ("", Keeping::Unsaid),
        ] {
            assert_eq!(Keeping::read(text), keeping, "{text}");
        }
    }
}
