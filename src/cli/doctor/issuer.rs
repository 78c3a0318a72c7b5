//! The issuer that `signet doctor` checks, and the addresses to which it may send requests.

use std::str::FromStr;

use url::{Host, Url};

/// An issuer: its name, which is exactly the text of `iss`, and the same name as a URL.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub name: String,
    pub url: Url,
}

impl FromStr for Issuer {
    type Err = &'static str;

    /// Parses an issuer's name (RFC 8414 section 2): a URL without query, fragment, user name and
    /// password.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let wrong = "must be an address such as https://id.example.com";
        let url = Url::parse(name).map_err(|_| wrong)?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(wrong);
        }
        if name.contains(['?', '#']) || !url.username().is_empty() || url.password().is_some() {
            return Err("must have no query, fragment, user name or password");
        }
        Ok(Self { name: name.to_owned(), url })
    }
}

impl Issuer {
    /// The address of the metadata of RFC 8414 section 3.1, which puts the issuer's path last.
    pub(super) fn oauth_metadata(&self) -> Url {
        let path = self.url.path().trim_end_matches('/');
        self.at(&format!("/.well-known/oauth-authorization-server{path}"))
    }

    /// The address of the metadata of OpenID Connect Discovery 1.0 section 4, which puts the
    /// issuer's path first.
    pub(super) fn openid_metadata(&self) -> Url {
        let path = self.url.path().trim_end_matches('/');
        self.at(&format!("{path}/.well-known/openid-configuration"))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// Whether the command may send a request for this issuer to `url`: over HTTPS, or over plain
    /// HTTP if both are on this machine. A URL with a user name or a password is refused.
    pub(super) fn may_be_asked_at(&self, url: &Url) -> bool {
        let plain = || url.scheme() == "http" && is_loopback(url) && is_loopback(&self.url);
        let bare = url.username().is_empty() && url.password().is_none();
        bare && (url.scheme() == "https" || plain())
    }

    pub(super) fn is_above(&self, url: &Url) -> bool {
        let path = self.url.path().trim_end_matches('/');
        let below = url.path().strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        url.origin() == self.url.origin() && below
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn documents_are_where_each_standard_puts_them() {
        for (name, oauth, openid) in [
            ("https://a", "https://a/.well-known/oauth-authorization-server", "https://a"),
            ("https://a/", "https://a/.well-known/oauth-authorization-server", "https://a"),
            (
                "https://a:1/b",
                "https://a:1/.well-known/oauth-authorization-server/b",
                "https://a:1/b",
            ),
        ] {
            let issuer: Issuer = name.parse().unwrap();
            assert_eq!(issuer.oauth_metadata().as_str(), oauth);
            let openid = format!("{openid}/.well-known/openid-configuration");
            assert_eq!(issuer.openid_metadata().as_str(), openid);
        }
    }

    #[test]
    fn an_issuer_is_an_address_and_no_more() {
        for bad in ["id", "ftp://a", "https://", "https://a?b", "https://a#b", "https://u:p@a"] {
            assert!(bad.parse::<Issuer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        let (near, far): (Issuer, Issuer) =
            ("http://127.0.0.1:1".parse().unwrap(), "https://a".parse().unwrap());
        assert!(near.may_be_asked_at(&url("http://localhost:2/x")));
        assert!(near.may_be_asked_at(&url("https://a/x")));
        assert!(!near.may_be_asked_at(&url("http://a/x")));
        // An issuer on another machine cannot direct the command to this machine's own services.
        assert!(!far.may_be_asked_at(&url("http://127.0.0.1/x")));
        assert!(!far.may_be_asked_at(&url("https://u@a/x")));
    }

    #[test]
    fn below_is_a_matter_of_origin_and_whole_segments() {
        let issuer: Issuer = "https://a/b".parse().unwrap();
        assert!(issuer.is_above(&url("https://a/b/c")));
        for not in
            ["https://a/bc", "https://a/c", "https://a:1/b/c", "http://a/b/c", "https://c/b/c"]
        {
            assert!(!issuer.is_above(&url(not)), "{not}");
        }
    }
}
