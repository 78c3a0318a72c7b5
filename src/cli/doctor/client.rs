//! The client that requests tokens for the checks, authenticated by the method that the metadata
//! names.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::Serializer;

use super::fault::Fault;
use super::http::{Http, basic};
use super::metadata::Metadata;
use super::report::Report;
use crate::base::secret::Secret;
use crate::storage::outbound::{Answer, OutboundError, Request, StatusCode, check_status};

/// The maximum size of an answer in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The error codes that the report shows (RFC 6749 section 5.2, RFC 7009 section 2.2.1). Any other
/// text of a server may repeat a part of the request, such as the secret.
const ERRORS: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "unsupported_token_type",
    "temporarily_unavailable",
    "access_denied",
];

/// A client, and the metadata of the issuer that it is registered with.
pub(super) struct Client<'a> {
    /// The id that it is registered under.
    pub client_id: &'a str,
    /// Its secret.
    pub secret: &'a Secret<String>,
    /// The issuer's metadata.
    pub metadata: &'a Metadata,
}

/// A token, and how long the issuer took to answer with it.
pub(super) struct Token {
    pub token: Secret<String>,
    pub took: Duration,
}

/// Why a request of a client fails.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request failed, or the answer cannot be used.
    Fault(Fault),
    /// The server's error code, and the status of its answer.
    Error(&'static str, StatusCode),
    /// The metadata names no endpoint to which a request may be sent.
    NoEndpoint,
}

impl Refusal {
    /// What the operator can do about the refusal.
    pub(super) fn mend(&self) -> String {
        match self {
            Self::Fault(fault) => fault.mend(),
            Self::Error("invalid_client", _) => "check the client's id and secret".into(),
            Self::Error("unauthorized_client" | "unsupported_grant_type", _) => {
                "register the client for the grant client_credentials".into()
            }
            Self::Error("invalid_scope", _) => "register the client for the scope".into(),
            Self::Error(..) => "look into the log of the service: it says why".into(),
            Self::NoEndpoint => "name the endpoint in the metadata, by https".into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Error(error, status) => write!(f, "{error} (status {})", status.as_u16()),
            Self::NoEndpoint => f.write_str("the metadata names no endpoint that may be asked"),
        }
    }
}

impl Client<'_> {
    /// Sends a form to an endpoint, as this client.
    pub(super) async fn post(
        &self,
        http: &Http,
        url: Option<&Url>,
        form: &[(&str, &str)],
    ) -> Result<Answer, Refusal> {
        let url = url.ok_or(Refusal::NoEndpoint)?;
        let mut serializer = Serializer::new(String::new());
        serializer.extend_pairs(form);
        let mut request = Request { accept: Some("application/json"), ..Request::default() };
        if self.metadata.by_form {
            serializer.append_pair("client_id", self.client_id);
            serializer.append_pair("client_secret", self.secret.expose());
        } else {
            request.authorization = Some(basic(self.client_id, self.secret.expose()));
        }
        request.form = Some(serializer.finish());
        let answer = http.ask(url, request, MAX_BYTES).await.map_err(Refusal::Fault)?;
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        let error = object(&answer).and_then(|body| {
            let error = body.get("error")?.as_str()?;
            ERRORS.into_iter().find(|known| *known == error)
        });
        let status = answer.status;
        match error {
            Some(error) => Err(Refusal::Error(error, status)),
            None => {
                let error = check_status(status, &answer.headers).err();
                Err(Refusal::Fault(error.unwrap_or(OutboundError::Status(status)).into()))
            }
        }
    }

    /// Requests a token for the client itself (RFC 6749 section 4.4). The report never shows it.
    pub(super) async fn token(
        &self,
        http: &Http,
        scope: Option<&str>,
        report: &mut Report,
    ) -> Result<Token, Refusal> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(scope.map(|scope| ("scope", scope)));
        let answer = self.post(http, self.metadata.token.as_ref(), &form).await?;
        let token = object(&answer).and_then(|mut body| match body.remove("access_token") {
            Some(Value::String(token)) if !token.is_empty() => Some(token),
            _ => None,
        });
        let token =
            token.ok_or(Refusal::Fault(Fault::Content("the answer holds no access_token")))?;
        report.hide(&token);
        let token = Secret::new(token);
        Ok(Token { token, took: answer.head_after })
    }
}

/// Returns the body of `answer`, if it is a JSON object.
pub(super) fn object(answer: &Answer) -> Option<Map<String, Value>> {
    serde_json::from_slice(&answer.body).ok()
}
