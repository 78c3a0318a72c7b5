//! The client that requests tokens for the checks, authenticated by the method that the metadata
//! names.

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

pub(super) struct Client<'a> {
    pub client_id: &'a str,
    pub secret: &'a Secret<String>,
    pub metadata: &'a Metadata,
}

/// A token, and how long the issuer took to answer with it.
pub(super) struct Token {
    pub token: Secret<String>,
    pub took: Duration,
}

impl Token {
    pub(super) fn form(&self) -> [(&str, &str); 2] {
        [("token", self.token.expose()), ("token_type_hint", "access_token")]
    }
}

impl Client<'_> {
    pub(super) async fn post(
        &self,
        http: &Http,
        url: Option<&Url>,
        form: &[(&str, &str)],
    ) -> Result<Answer, Fault> {
        let url = url.ok_or(Fault::NoEndpoint)?;
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
        let answer = http.ask(url, request, MAX_BYTES).await?;
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        let error = object(&answer).and_then(|body| {
            let error = body.get("error")?.as_str()?;
            ERRORS.into_iter().find(|known| *known == error)
        });
        let status = answer.status;
        match error {
            Some(error) => Err(Fault::Refused(error, status)),
            None => {
                let error = check_status(status, &answer.headers).err();
                Err(error.unwrap_or(OutboundError::Status(status)).into())
            }
        }
    }

    /// Requests a token for the client itself (RFC 6749 section 4.4). The report never shows it.
    pub(super) async fn token(
        &self,
        http: &Http,
        scope: Option<&str>,
        report: &mut Report,
    ) -> Result<Token, Fault> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(scope.map(|scope| ("scope", scope)));
        let answer = self.post(http, self.metadata.token.as_ref(), &form).await?;
        let token = object(&answer).and_then(|mut body| match body.remove("access_token") {
            Some(Value::String(token)) if !token.is_empty() => Some(token),
            _ => None,
        });
        let token = token.ok_or(Fault::Content("the answer holds no access_token"))?;
        report.hide(&token);
        let token = Secret::new(token);
        Ok(Token { token, took: answer.head_after })
    }
}

pub(super) fn object(answer: &Answer) -> Option<Map<String, Value>> {
    serde_json::from_slice(&answer.body).ok()
}
