//! Where an issuer keeps its keys: authorization server metadata (RFC 8414), or the document of
//! OpenID Connect Discovery 1.0 where there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;

use crate::http::{FetchError, Http, Url};

/// The longest document that is read.
const MAX_BYTES: usize = 1 << 20;
/// Addresses hardly ever change.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The addresses of an issuer. Only the keys' has to be good for those who want no more.
pub struct Metadata {
    /// The JWK Set.
    pub jwks_uri: Url,
    /// The snapshot of revocations.
    pub revocations_uri: Result<Url, FetchError>,
    /// The stream of revocations.
    pub revocations_stream_uri: Result<Url, FetchError>,
    /// Where a token for those two is to be had.
    pub token_endpoint: Result<Url, FetchError>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    revocations_uri: Option<String>,
    revocations_stream_uri: Option<String>,
    token_endpoint: Option<String>,
}

/// An issuer and the way to it.
pub struct Issuer {
    name: String,
    url: Url,
    http: Http,
    known: Mutex<Option<Known>>,
}

struct Known {
    metadata: Arc<Metadata>,
    fresh_until: Instant,
}

impl Issuer {
    /// The issuer `name`: an address without query and fragment (RFC 8414 section 2).
    pub fn new(name: &str, http: Http) -> Result<Self, FetchError> {
        let url = http.url(name)?;
        if name.contains(['?', '#']) || !name.is_ascii() {
            return Err(FetchError::Url);
        }
        Ok(Self { name: name.to_owned(), url, http, known: Mutex::new(None) })
    }

    /// Its name, exactly as in `iss`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client that asks it.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Its addresses. While they cannot be read again, the previous ones are used.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, FetchError> {
        // Held during the fetch: a concurrent caller gets its result.
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.fresh_until) {
            return Ok(Arc::clone(&known.metadata));
        }
        match self.discover().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                let fresh_until = Instant::now() + LIFETIME;
                *known = Some(Known { metadata: Arc::clone(&metadata), fresh_until });
                Ok(metadata)
            }
            Err(error) => match known.as_ref() {
                Some(former) => Ok(Arc::clone(&former.metadata)),
                None => Err(error),
            },
        }
    }

    /// Reads the addresses again at their next use: one of them did not answer.
    pub async fn forget(&self) {
        if let Some(known) = self.known.lock().await.as_mut() {
            known.fresh_until = Instant::now();
        }
    }

    /// The first document that is whole and names this issuer.
    async fn discover(&self) -> Result<Metadata, FetchError> {
        let [first, second] = self.documents();
        match self.read(&first).await {
            Ok(metadata) => Ok(metadata),
            // A server that does not answer has no other document either.
            Err(error @ (FetchError::Connection(_) | FetchError::Timeout)) => Err(error),
            Err(error) => match self.read(&second).await {
                Ok(metadata) => Ok(metadata),
                // The more telling of the two.
                Err(FetchError::Issuer) => Err(FetchError::Issuer),
                Err(_) => Err(error),
            },
        }
    }

    /// RFC 8414 section 3.1 puts the issuer's path last, OpenID Connect puts it first.
    fn documents(&self) -> [String; 2] {
        let root = self.url.root();
        let path = self.url.uri().path().trim_end_matches('/');
        [
            format!("{root}/.well-known/oauth-authorization-server{path}"),
            format!("{root}{path}/.well-known/openid-configuration"),
        ]
    }

    async fn read(&self, address: &str) -> Result<Metadata, FetchError> {
        let answer = self.http.get(&self.http.url(address)?, MAX_BYTES).await?;
        let document: Document = serde_json::from_slice(&answer.body)
            .map_err(|_| FetchError::Invalid("the issuer's metadata"))?;
        if document.issuer != self.name {
            return Err(FetchError::Issuer);
        }
        let url = |text: &str| self.http.url(text);
        let below = |path: &str| format!("{}{path}", self.name.trim_end_matches('/'));
        let or_below = |text: Option<String>, path: &str| url(&text.unwrap_or_else(|| below(path)));
        let no_endpoint = FetchError::Invalid("the issuer's token endpoint");
        Ok(Metadata {
            jwks_uri: url(&document.jwks_uri)?,
            revocations_uri: or_below(document.revocations_uri, "/revocations"),
            revocations_stream_uri: or_below(
                document.revocations_stream_uri,
                "/revocations/stream",
            ),
            token_endpoint: document.token_endpoint.as_deref().map_or(Err(no_endpoint), url),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::AllowHttp;

    fn issuer(name: &str) -> Result<Issuer, FetchError> {
        Issuer::new(name, Http::new(AllowHttp::Never, Duration::from_secs(1)).unwrap())
    }

    #[test]
    fn documents_are_where_each_standard_puts_them() {
        let documents = |name: &str| issuer(name).unwrap().documents();
        let plain = [
            "https://id.example.com/.well-known/oauth-authorization-server",
            "https://id.example.com/.well-known/openid-configuration",
        ];
        assert_eq!(documents("https://id.example.com"), plain);
        assert_eq!(documents("https://id.example.com/"), plain);
        assert_eq!(
            documents("https://id.example.com:8443/tenants/a"),
            [
                "https://id.example.com:8443/.well-known/oauth-authorization-server/tenants/a",
                "https://id.example.com:8443/tenants/a/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn an_issuer_is_an_address_and_no_more() {
        for bad in ["id", "http://id.example.com", "https://a?b", "https://a#b", "https://é/"] {
            assert!(issuer(bad).is_err(), "{bad}");
        }
    }
}
