//! Addresses that may be asked: HTTPS, and HTTP where the caller allowed it.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use super::FetchError;

/// Where `http://` is allowed: an attacker on the way can put keys of their own into an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowHttp {
    /// Nowhere.
    #[default]
    Never,
    /// On this machine: `localhost`, `127.0.0.0/8`, `[::1]`.
    Loopback,
    /// Everywhere, because the network itself is trusted.
    Anywhere,
}

/// An absolute address without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    /// Reads `text`, if it may be asked.
    pub fn parse(text: &str, allow: AllowHttp) -> Result<Self, FetchError> {
        let uri: Uri = text.parse().map_err(|_| FetchError::Url)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(FetchError::Url)?;
        let plain = match allow {
            AllowHttp::Never => false,
            AllowHttp::Loopback => is_loopback(host),
            AllowHttp::Anywhere => true,
        };
        let scheme = uri.scheme().ok_or(FetchError::Url)?;
        let allowed = *scheme == Scheme::HTTPS || (*scheme == Scheme::HTTP && plain);
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if allowed && !user { Ok(Self(uri)) } else { Err(FetchError::Url) }
    }

    /// The address itself.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// The same with one parameter more in its query. `name` and `value` stand as they are.
    pub fn with(&self, name: &str, value: &str) -> Result<Self, FetchError> {
        let begin = if self.0.query().is_some() { '&' } else { '?' };
        let text = format!("{}{begin}{name}={value}", self.0);
        text.parse().map(Self).map_err(|_| FetchError::Url)
    }

    /// Scheme and authority, as they were written.
    pub fn root(&self) -> String {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }

    /// Where a `Location` leads from here, if that is the same server.
    pub fn redirect(&self, location: &str) -> Option<Self> {
        let target = match location.starts_with('/') && !location.starts_with("//") {
            true => format!("{}{location}", self.root()),
            false => location.to_owned(),
        };
        // The same server needs no further permission.
        let target = Self::parse(&target, AllowHttp::Anywhere).ok()?;
        (target.origin() == self.origin()).then_some(target)
    }

    fn origin(&self) -> (Option<&str>, Option<String>, Option<u16>) {
        let scheme = self.0.scheme_str();
        let usual = if scheme == Some("https") { 443 } else { 80 };
        let host = self.0.host().map(str::to_ascii_lowercase);
        (scheme, host, Some(self.0.port_u16().unwrap_or(usual)))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_has_to_be_allowed() {
        let may = |text: &str, allow| Url::parse(text, allow).is_ok();
        assert!(may("https://id.example.com/a?b=c", AllowHttp::Never));
        for loopback in ["http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1/"] {
            assert!(!may(loopback, AllowHttp::Never), "{loopback}");
            assert!(may(loopback, AllowHttp::Loopback), "{loopback}");
        }
        for far in ["http://id.example.com", "http://localhost.evil.com", "http://10.0.0.1"] {
            assert!(!may(far, AllowHttp::Loopback) && may(far, AllowHttp::Anywhere), "{far}");
        }
        for bad in ["", "id", "/path", "ftp://a/b", "https://", "https://u:p@a/", "file:///etc"] {
            assert!(!may(bad, AllowHttp::Anywhere), "{bad}");
        }
    }

    #[test]
    fn a_redirect_stays_on_the_server() {
        let url = Url::parse("https://id.example.com/a/b", AllowHttp::Never).unwrap();
        let to = |location: &str| url.redirect(location).map(|url| url.0.to_string());
        assert_eq!(to("/c?d=e").unwrap(), "https://id.example.com/c?d=e");
        assert!(to("https://ID.example.com:443/c").is_some());
        for other in [
            "http://id.example.com/c",
            "https://id.example.com:8443/c",
            "https://evil.example.com/c",
            "//evil.example.com/c",
            "https://id.example.com@evil.example.com/",
            "relative",
            "",
        ] {
            assert_eq!(to(other), None, "{other}");
        }
    }
}
