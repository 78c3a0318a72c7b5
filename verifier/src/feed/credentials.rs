//! The verifier's own token, for a feed that is not open to everybody: the grant
//! `client_credentials` (RFC 6749 section 4.4).

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::http::FetchError;
use crate::metadata::Issuer;

/// The longest answer of a token endpoint that is read.
const MAX_BYTES: usize = 64 << 10;
/// Where the answer does not say how long a token lives.
const DEFAULT_LIFETIME: u64 = 300;

/// A client's name and secret, and what it asks for.
#[derive(Clone)]
pub struct Client {
    /// `client_id`
    pub client_id: String,
    /// `client_secret`
    pub client_secret: String,
    /// `scope`
    pub scope: String,
}

/// A client and the token that it has.
pub struct Credentials {
    client: Client,
    token: Mutex<Option<Bearer>>,
}

struct Bearer {
    header: HeaderValue,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Credentials {
    /// Of a client that has none yet.
    pub fn new(client: Client) -> Self {
        Self { client, token: Mutex::new(None) }
    }

    /// Adds the token to `headers`; gets one first, where there is none or it ends soon.
    pub async fn authorize(
        &self,
        issuer: &Issuer,
        headers: &mut HeaderMap,
    ) -> Result<(), FetchError> {
        let mut token = self.token.lock().await;
        let header = match token.as_ref().filter(|bearer| Instant::now() < bearer.renew_at) {
            Some(bearer) => bearer.header.clone(),
            None => {
                let bearer = self.fetch(issuer).await?;
                token.insert(bearer).header.clone()
            }
        };
        headers.insert(AUTHORIZATION, header);
        Ok(())
    }

    /// The token was not accepted: the next request needs another.
    pub async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn fetch(&self, issuer: &Issuer) -> Result<Bearer, FetchError> {
        let metadata = issuer.metadata().await?;
        let endpoint = metadata.token_endpoint.as_ref().map_err(Clone::clone)?;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.client.basic()?);
        let form =
            format!("grant_type=client_credentials&scope={}", form_encoded(&self.client.scope));
        let asked_at = Instant::now();
        let answer = issuer.http().post(endpoint, headers, form, MAX_BYTES).await?;
        let invalid = FetchError::Invalid("the token endpoint's answer");
        let Ok(answer) = serde_json::from_slice::<TokenAnswer>(&answer) else {
            return Err(invalid);
        };
        let header = secret(&format!("Bearer {}", answer.access_token)).ok_or(invalid)?;
        let lifetime = answer.expires_in.unwrap_or(DEFAULT_LIFETIME);
        // Ahead of its end, by clocks that may differ.
        let renew_at = asked_at + Duration::from_secs(lifetime.min(86_400)) * 8 / 10;
        Ok(Bearer { header, renew_at })
    }
}

impl Client {
    /// RFC 6749 section 2.3.1.
    fn basic(&self) -> Result<HeaderValue, FetchError> {
        let pair =
            format!("{}:{}", form_encoded(&self.client_id), form_encoded(&self.client_secret));
        let basic = format!("Basic {}", STANDARD.encode(pair));
        secret(&basic).ok_or(FetchError::Invalid("the credentials"))
    }
}

/// Says nothing of the secret.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Client({})", self.client_id)
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(byte.into());
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_are_encoded_first() {
        let text = |text: &str| text.to_owned();
        let client =
            Client { client_id: text("a b"), client_secret: text("s:é%"), scope: text("x") };
        let header = client.basic().unwrap();
        let expected = format!("Basic {}", STANDARD.encode("a+b:s%3A%C3%A9%25"));
        assert!(header == expected.as_str() && header.is_sensitive());
        assert_eq!(format!("{client:?}"), "Client(a b)");
    }
}
