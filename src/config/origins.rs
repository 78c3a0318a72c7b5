//! The web origins that may call the service from a browser (RFC 6454 section 6.2), as
//! `http.cors_origins` names them: one origin each, or all that are one label below a domain.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The wildcard, which stands for exactly one leading label of a host.
const WILDCARD: &str = "*.";
const SOME_LABEL: &str = "any.";
/// Schemes for which browsers send no origin (`null`), or that show no pages.
const NO_ORIGINS: [&str; 8] = ["about", "blob", "data", "file", "ftp", "javascript", "ws", "wss"];

/// One entry of `http.cors_origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// One origin, as a browser sends it.
    Exact(String),
    /// Every origin with one label between these two.
    OneLabel {
        /// The scheme with `://`.
        before: String,
        /// The domain with the dot before it, and the port if any.
        after: String,
    },
}

impl CorsOrigin {
    /// Whether `origin`, as the browser sends it, matches. Compared byte for byte.
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(known) => origin == known,
            Self::OneLabel { before, after } => {
                let label = origin.strip_prefix(&**before).and_then(|o| o.strip_suffix(&**after));
                label.is_some_and(is_label)
            }
        }
    }
}

/// One label of a host name: letters, digits, hyphens, and the underscore that some names have.
fn is_label(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    !text.is_empty() && text.len() <= 63 && text.chars().all(allowed)
}

impl FromStr for CorsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("must hold web origins such as https://app.example.com".into());
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => match rest.strip_prefix(WILDCARD) {
                Some(domain) => one_label(scheme, domain),
                None => web_origin(text).map(Self::Exact),
            },
            _ => app_origin(text, scheme, rest),
        }
    }
}

/// An http or https origin, which has only one spelling.
fn web_origin(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("may hold one * alone, as the first label: https://*.example.com".into());
    }
    let origin = Url::parse(text).ok().filter(Url::has_host).map(|url| url.origin());
    match origin.map(|origin| origin.ascii_serialization()) {
        Some(origin) if origin == text => Ok(origin),
        Some(origin) => Err(format!("must hold origins only, such as {origin}")),
        None => Err("must hold web origins such as https://app.example.com".into()),
    }
}

/// All origins one label below `domain`, which may have a port.
fn one_label(scheme: &str, domain: &str) -> Result<CorsOrigin, String> {
    let sample = web_origin(&format!("{scheme}://{SOME_LABEL}{domain}"))
        .map_err(|problem| problem.replacen(SOME_LABEL, WILDCARD, 1))?;
    let host = Url::parse(&sample).ok();
    let host = host.as_ref().and_then(Url::host);
    // Anybody can register a name below a top-level domain.
    let is_owned = matches!(host, Some(Host::Domain(host))
        if host.matches('.').count() >= 2 || host.ends_with(".localhost"));
    if !is_owned {
        return Err(format!(
            "cannot hold {scheme}://{WILDCARD}{domain}: the wildcard is for names below a domain of \
             your own, such as https://*.example.com"
        ));
    }
    Ok(CorsOrigin::OneLabel { before: format!("{scheme}://"), after: format!(".{domain}") })
}

/// The origin of an application in an embedded browser, such as `capacitor://localhost`.
fn app_origin(text: &str, scheme: &str, rest: &str) -> Result<CorsOrigin, String> {
    let mut letters = scheme.chars();
    let is_scheme = letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    let is_host =
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !"/?#@*\\\"".contains(c));
    if NO_ORIGINS.contains(&scheme) {
        return Err(format!("cannot hold {scheme}: origins: browsers send none for such pages"));
    }
    if !is_scheme || !is_host {
        let problem = "must hold origins only, a scheme in lower case and a host, such as \
                       https://app.example.com or capacitor://localhost";
        return Err(problem.into());
    }
    Ok(CorsOrigin::Exact(text.to_owned()))
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(origin) => f.write_str(origin),
            Self::OneLabel { before, after } => write!(f, "{before}*{after}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_matches_itself_and_nothing_else() {
        for origin in [
            "https://app.example.com",
            "http://localhost:5173",
            "https://app.example.com:8443",
            "https://[::1]:8443",
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "app://.",
            "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn",
            "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
        ] {
            let known: CorsOrigin = origin.parse().unwrap();
            assert_eq!(known.to_string(), origin);
            assert!(known.matches(origin), "{origin}");
            for other in [
                "null".to_owned(),
                format!("{origin}/"),
                format!("{origin}.evil.example"),
                origin.to_uppercase(),
                origin.replacen("://", "://evil.", 1),
                origin.replacen("://", "s://", 1),
            ] {
                assert!(!known.matches(&other), "{origin} {other}");
            }
        }
    }

    #[test]
    fn a_wildcard_is_exactly_one_label() {
        for (pattern, origin, matches) in [
            ("https://*.example.com", "https://app.example.com", true),
            ("https://*.example.com", "https://pr-17.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://a.b.example.com", false),
            ("https://*.example.com", "https://app.example.com:8443", false),
            ("https://*.example.com", "http://app.example.com", false),
            ("https://*.example.com", "https://appexample.com", false),
            ("https://*.example.com", "https://app.example.com.evil.example", false),
            ("https://*.example.com", "https://evil.example?.example.com", false),
            ("https://*.example.com", "https://evil.example/.example.com", false),
            ("https://*.example.com", "https://user@x.example.com", false),
            ("https://*.example.com", "https://*.example.com", false),
            ("https://*.example.com", "null", false),
            ("https://*.example.com:8443", "https://app.example.com:8443", true),
            ("https://*.example.com:8443", "https://app.example.com", false),
            ("https://*.eu.example.com", "https://app.eu.example.com", true),
            ("http://*.localhost:3000", "http://tenant.localhost:3000", true),
        ] {
            let known: CorsOrigin = pattern.parse().unwrap();
            assert_eq!(known.to_string(), pattern);
            assert_eq!(known.matches(origin), matches, "{pattern} {origin}");
        }
    }

    #[test]
    fn what_never_matches_or_matches_too_much_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "app.example.com",
            "//app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "HTTPS://app.example.com",
            "https://App.example.com",
            "https://app.example.com:443",
            "https://user@app.example.com",
            "https://*",
            "https://*.com",
            "https://*.",
            "https://*.*.example.com",
            "https://a*.example.com",
            "https://*a.example.com",
            "https://app.*.example.com",
            "https://app.example.*",
            "https://*.example.com/",
            "https://*.example.com:443",
            "https://*.Example.com",
            "https://*.0.0.1",
            "https://*.[::1]",
            "*.example.com",
            "*://app.example.com",
            "capacitor://",
            "capacitor://*",
            "capacitor://*.localhost",
            "capacitor://localhost/",
            "Capacitor://localhost",
            "capacitor://local host",
            "file://",
            "file:///index.html",
            "data://x",
            "wss://app.example.com",
            "ftp://example.com",
            "1app://localhost",
        ] {
            let refused = text.parse::<CorsOrigin>();
            assert!(
                refused.as_ref().is_err_and(|problem| !problem.contains("any.")),
                "{text}: {refused:?}"
            );
        }
    }
}
