//! Client authentication (RFC 6749 section 2.3): the credentials of a request, and whether they are
//! valid.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Client, ClientType};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The `Authorization` header (`client_secret_basic`).
    Basic,
    /// The form (`client_secret_post`).
    Post,
    /// A bare `client_id` (`none`).
    None,
}

#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    /// Its secret; `None` for public clients.
    pub(crate) secret: Option<Secret<String>>,
    pub(crate) method: Method,
}

/// The request does not identify its client in exactly one way.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedCredentials {
    /// The header is not Basic credentials (RFC 7617).
    #[error("the Authorization header must carry client credentials by the Basic scheme")]
    Header,
    #[error("give client credentials in the Authorization header or in the body, not in both")]
    TwoMethods,
    #[error("client_secret is given without client_id")]
    NoId,
}

impl Credentials {
    /// Reads the credentials of a request, if it has any: its `Authorization` header, and the
    /// form's `client_id` and `client_secret`, where empty ones count as absent.
    pub(crate) fn read(
        authorization: Option<&str>,
        client_id: Option<&str>,
        client_secret: Option<&str>,
    ) -> Result<Option<Self>, MalformedCredentials> {
        let basic = match authorization {
            Some(header) => parse_basic(header)?,
            None => None,
        };
        match (basic, client_id, client_secret) {
            (Some(_), _, Some(_)) => Err(MalformedCredentials::TwoMethods),
            (Some(basic), Some(id), None) if basic.client_id != id => {
                Err(MalformedCredentials::TwoMethods)
            }
            (Some(basic), _, None) => Ok(Some(basic)),
            (None, None, None) => Ok(None),
            (None, None, Some(_)) => Err(MalformedCredentials::NoId),
            (None, Some(id), secret) => Ok(Some(Self {
                client_id: id.to_owned(),
                method: if secret.is_some() { Method::Post } else { Method::None },
                secret: secret.map(|secret| Secret::new(secret.to_owned())),
            })),
        }
    }

    /// Whether these are the credentials of `client` at `now`: a confidential client must show one
    /// of its secrets, a public one must not show any.
    pub(crate) fn match_client(&self, client: &Client, now: Timestamp) -> bool {
        match (client.client_type, &self.secret) {
            (ClientType::Public, None) => true,
            (ClientType::Confidential, Some(secret)) => {
                let presented = Fingerprint::of(secret.expose().as_bytes());
                // All secrets are compared, so that the time does not reveal which one is similar.
                client
                    .secrets
                    .iter()
                    .filter(|known| known.expires_at.is_none_or(|at| now < at))
                    .fold(false, |found, known| (known.fingerprint == presented) | found)
            }
            _ => false,
        }
    }
}

/// Reads `Basic base64(form-encoded id ":" form-encoded secret)` (RFC 6749 section 2.3.1). Empty
/// credentials, which Swagger UI sends for a form without a client, count as absent.
fn parse_basic(header: &str) -> Result<Option<Credentials>, MalformedCredentials> {
    let (scheme, encoded) = header.split_once(' ').ok_or(MalformedCredentials::Header)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(MalformedCredentials::Header);
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| MalformedCredentials::Header)?;
    let decoded =
        Secret::new(String::from_utf8(decoded).map_err(|_| MalformedCredentials::Header)?);
    let (id, secret) = decoded.expose().split_once(':').ok_or(MalformedCredentials::Header)?;
    let (Some(id), Some(secret)) = (form_decode(id), form_decode(secret)) else {
        return Err(MalformedCredentials::Header);
    };
    match (id.is_empty(), secret.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Err(MalformedCredentials::Header),
        (false, empty) => Ok(Some(Credentials {
            client_id: id,
            secret: (!empty).then(|| Secret::new(secret)),
            method: Method::Basic,
        })),
    }
}

/// Decodes a name or value of a form (RFC 6749 appendix B). Returns `None` if it is not UTF-8. The
/// value may be a secret, so the intermediate copy is wiped.
pub(crate) fn form_decode(text: &str) -> Option<String> {
    let spaced = Zeroizing::new(text.replace('+', " "));
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    decoded.ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clients::{ClientSecret, tests::client};

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn basic_credentials_are_form_encoded() {
        for (header, id, secret) in [
            // The example of RFC 6749 section 2.3.1.
            (
                "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3",
                "s6BhdRkqt3",
                "7Fjfp0ZBr1KtDRbnfVdmIw",
            ),
            (&basic("a%20b:p%2Bs%3Aw+x"), "a b", "p+s:w x"),
        ] {
            let credentials = Credentials::read(Some(header), None, None).unwrap().unwrap();
            assert_eq!(credentials.client_id, id);
            assert_eq!(credentials.secret.unwrap().expose(), secret);
            assert_eq!(credentials.method, Method::Basic);
        }
    }

    #[test]
    fn a_request_names_one_client_by_one_method_or_none() {
        use MalformedCredentials::{Header, NoId, TwoMethods};
        let app = basic("app:secret");
        for (header, id, secret, result) in [
            (Some(&*app), None, Some("secret"), Err(TwoMethods)),
            (Some(&app), Some("other"), None, Err(TwoMethods)),
            (Some(&app), Some("app"), None, Ok(true)),
            (None, None, None, Ok(false)),
            (Some(&basic(":")), None, None, Ok(false)),
            (Some("Basic"), None, None, Err(Header)),
            (Some("Basic !!"), None, None, Err(Header)),
            (Some("Bearer abc"), None, None, Err(Header)),
            (Some(&basic("no colon")), None, None, Err(Header)),
            (Some(&basic("%ff:x")), None, None, Err(Header)),
            (None, None, Some("secret"), Err(NoId)),
        ] {
            let read = Credentials::read(header, id, secret).map(|read| read.is_some());
            assert_eq!(read, result, "{header:?} {id:?} {secret:?}");
        }
    }

    #[test]
    fn secrets_match_until_they_expire_and_a_public_client_has_none() {
        let mut client = client(ClientType::Confidential);
        let secret = |text: &str, expires_at| ClientSecret {
            fingerprint: Fingerprint::of(text.as_bytes()),
            created_at: Timestamp::from_unix(0),
            expires_at,
        };
        client.secrets = vec![secret("old", Some(Timestamp::from_unix(100))), secret("new", None)];
        let matches = |secret: Option<&str>, now| {
            let credentials = Credentials::read(None, Some("app"), secret).unwrap().unwrap();
            credentials.match_client(&client, Timestamp::from_unix(now))
        };
        assert!(matches(Some("old"), 99) && matches(Some("new"), 99));
        assert!(!matches(Some("old"), 100) && matches(Some("new"), 100));
        assert!(!matches(Some("wrong"), 0) && !matches(None, 0));

        client.client_type = ClientType::Public;
        let credentials = |secret| Credentials::read(None, Some("app"), secret).unwrap().unwrap();
        let now = Timestamp::from_unix(0);
        assert!(credentials(None).match_client(&client, now));
        assert!(!credentials(Some("new")).match_client(&client, now), "it shows no secret");
    }
}
