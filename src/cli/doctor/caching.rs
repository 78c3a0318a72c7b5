//! What an answer says about how long it may be kept, and whether it is recognised when asked for again.

use std::time::Duration;

use url::Url;

use super::http::Http;
use super::report::Report;
use crate::storage::outbound::{Answer, Request, StatusCode, header};

/// How long an answer may be kept (RFC 9111).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// For so long.
    For(Duration),
    /// Not without asking again.
    Not,
    /// It does not say.
    Unsaid,
}

impl Keeping {
    /// Of `answer`.
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

/// Asks again for what `answer` was, by its `ETag`.
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
        let mend = "let the proxy pass ETag on, so that who has it already is not sent it again";
        report.warning(check, "the answer has no ETag", mend);
        return;
    };
    let request = Request { if_none_match: Some(etag.clone()), ..request };
    match http.ask(url, request, max_bytes).await {
        Ok(again) if again.status == StatusCode::NOT_MODIFIED => {
            report.ok(check, "304 where it is known already").took(again.head_after);
        }
        // What has changed in between is sent whole, with another tag.
        Ok(again) if again.headers.get(header::ETAG).is_some_and(|other| other != etag) => {
            report.skipped(check, "it changed in between");
        }
        Ok(again) => {
            let mend = "let the proxy pass If-None-Match on: it is sent whole each time";
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
