//! A client that gets tokens, authenticated as the metadata says.

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

/// The size of an answer.
const MAX_BYTES: usize = 1 << 20;
/// What an authorization server says (RFC 6749 section 5.2, RFC 7009 section 2.2.1). Anything else it
/// may have from the request.
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

/// A client, and where it is known.
pub(super) struct Client<'a> {
    /// Its name.
    pub client_id: &'a str,
    /// Its secret.
    pub secret: &'a Secret<String>,
    /// What the issuer says of itself.
    pub metadata: &'a Metadata,
}

/// A token, and how long it took.
pub(super) struct Token {
    pub token: Secret<String>,
    pub took: Duration,
}

/// Why a client does not get what it asks for.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no answer.
    Fault(Fault),
    /// The server's word, and its status.
    Error(&'static str, StatusCode),
    /// The metadata leads nowhere.
    NoEndpoint,
}

impl Refusal {
    /// What to do about it.
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

    /// A token for the client itself (RFC 6749 section 4.4). It is never shown.
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

/// A body that is a JSON object.
pub(super) fn object(answer: &Answer) -> Option<Map<String, Value>> {
    serde_json::from_slice(&answer.body).ok()
}
