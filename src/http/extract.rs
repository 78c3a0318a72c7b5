//! The parts of a request, read strictly and within bounds: form and JSON bodies, bearer tokens, client
//! credentials, the address of the caller.

mod charset;
mod fields;
mod query;
mod user_agent;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpMessage, HttpRequest};
use futures_util::StreamExt;
use zeroize::Zeroize;

use super::error::OAuthError;
use super::observe::RequestId;
use crate::app::Issuer;
use crate::base::secret::Secret;
use crate::domain::audit::{Initiator, Origin};
use crate::domain::clients::{Credentials, MalformedCredentials};
use crate::services::authentication::BearerError;

use charset::Charset;
pub(crate) use fields::{Body, DisplayName, Fields, Member, NotNull, Object, Reading, Schema};
pub(crate) use fields::{name_of, read_form, request_body};
pub(super) use query::Query;

/// The most bytes that a body may have, where the endpoint does not say otherwise.
pub(super) const MAX_BODY: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("the body must be {}", names(.0))]
    WrongType(&'static [MediaType]),
    #[error(
        "the body must be UTF-8: the charset that its Content-Type names is unknown, or not a \
         superset of ASCII"
    )]
    WrongCharset,
    #[error(
        "the body must be UTF-8: its Content-Type names another charset, which is accepted only \
         where the body is ASCII once it is decoded"
    )]
    NotAscii,
    #[error("the body must come without a Content-Encoding")]
    Encoded,
    #[error("the body did not arrive in time")]
    TimedOut,
    #[error("the body is missing: send the parameters as application/x-www-form-urlencoded")]
    Absent,
    #[error("{0}")]
    Malformed(&'static str),
}

impl BodyError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongType(_) | Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::WrongCharset | Self::NotAscii | Self::Absent | Self::Malformed(_) => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    Form,
    Json,
    MergePatch,
}

impl MediaType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
            Self::MergePatch => "application/merge-patch+json",
        }
    }

    /// The type that `request` says its body has, without parameters and without case.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim();
        let known = [Self::Form, Self::Json, Self::MergePatch];
        known.into_iter().find(|known| essence.eq_ignore_ascii_case(known.as_str()))
    }
}

fn names(media_types: &[MediaType]) -> String {
    media_types.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(" or ")
}

/// Reads a body of one of `media_types`, of at most `longest` bytes. Bodies hold passwords and
/// tokens, so the text is a secret. Its bytes are those of its charset.
async fn body(
    request: &HttpRequest,
    payload: Payload,
    media_types: &'static [MediaType],
    longest: usize,
) -> Result<(Secret<String>, Charset), BodyError> {
    if !MediaType::of(request).is_some_and(|given| media_types.contains(&given)) {
        return Err(BodyError::WrongType(media_types));
    }
    let charset = Charset::of(request)?;
    let coding = request.headers().get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(BodyError::Encoded);
    }
    let text = read(request, payload, longest).await?;
    charset.check(text.expose())?;
    Ok((text, charset))
}

/// Reads a body of at most `longest` bytes, whatever it is called.
async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    longest: usize,
) -> Result<Secret<String>, BodyError> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > longest) {
        return Err(BodyError::TooLarge(longest));
    }
    let read = async {
        let mut bytes = BytesMut::with_capacity(announced.unwrap_or(512));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| BodyError::Malformed("the body broke off"))?;
            if bytes.len() + chunk.len() > longest {
                return Err(BodyError::TooLarge(longest));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    let mut bytes =
        tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_| BodyError::TimedOut)??;
    let text = std::str::from_utf8(&bytes).map(|text| Secret::new(text.to_owned()));
    bytes.as_mut().zeroize();
    text.map_err(|_| BodyError::Malformed("the body is not UTF-8"))
}

/// Returns `value`, the parameter `name` that a request must have.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, OAuthError> {
    value.ok_or_else(|| OAuthError::invalid_request(format!("{name} is missing")))
}

/// The client that `request` presents by its header or by the fields of its body.
pub(super) fn credentials(
    request: &HttpRequest,
    client_id: Option<&str>,
    client_secret: Option<&Secret<String>>,
) -> Result<Option<Credentials>, OAuthError> {
    // A header that is not text is no Basic credentials either.
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let header = headers.next();
    if headers.next().is_some() {
        return Err(MalformedCredentials::TwoMethods.into());
    }
    let header = header.map(|value| value.to_str().unwrap_or_default());
    let client_secret = client_secret.map(|secret| secret.expose().as_str());
    Ok(Credentials::read(header, client_id, client_secret)?)
}

/// The bearer token of `request` (RFC 6750 section 2.1; the header is the only way in, since a
/// token in a URL or a form ends up in logs).
pub(super) fn bearer(request: &HttpRequest) -> Result<&str, BearerError> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let value = values.next().ok_or(BearerError::Missing)?;
    if values.next().is_some() {
        return Err(BearerError::Repeated);
    }
    let value = value.to_str().map_err(|_| BearerError::Invalid)?;
    let (scheme, token) = value.split_once(' ').ok_or(BearerError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(BearerError::Missing);
    }
    Ok(token.trim())
}

/// The caller of `request`, who is not known yet, and the present time. A forwarded address counts only
/// when a configured proxy sent it.
pub(super) fn caller(request: &HttpRequest, app: &Issuer) -> Initiator {
    let proxies = &app.config.http.trusted_proxies;
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(*address));
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let address = match peer {
        Some(peer) if is_proxy(&peer) => {
            let values = request.headers().get_all("x-forwarded-for");
            // One that is no text says nothing, and nothing before it is believed.
            let values: Vec<_> = values.map(|value| value.to_str().unwrap_or_default()).collect();
            Some(forwarded_for(&values, is_proxy).unwrap_or(peer))
        }
        peer => peer,
    };
    let origin = Origin {
        address: address.map(|address| address.to_string()),
        user_agent: user_agent::of(request),
        request_id: request.extensions().get::<RequestId>().map(|id| id.as_str().to_owned()),
    };
    Initiator::anonymous(origin, app.clock.now())
}

/// The last address of `X-Forwarded-For` that is not a proxy of ours: what stands before it was
/// written by an unknown sender.
fn forwarded_for(values: &[&str], is_proxy: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let hops = values.iter().rev().flat_map(|value| value.rsplit(','));
    hops.map_while(|hop| parse_hop(hop.trim())).find(|hop| !is_proxy(hop))
}

/// An address; some proxies add the port, which calls for brackets around an IPv6 address.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = || hop.parse::<IpAddr>().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    Some(bare().or_else(with_port).or_else(in_brackets)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_the_last_hop_that_is_not_a_proxy() {
        let is_proxy = |address: &IpAddr| address.to_string().starts_with("10.");
        for (values, caller) in [
            (vec!["203.0.113.9"], Some("203.0.113.9")),
            (vec!["203.0.113.9, 10.0.0.2, 10.0.0.1"], Some("203.0.113.9")),
            (vec!["198.51.100.1,203.0.113.9 ,10.0.0.1"], Some("203.0.113.9")),
            // Several headers are one list, and the last one is the nearest proxy's.
            (vec!["198.51.100.1", "203.0.113.9", "10.0.0.1"], Some("203.0.113.9")),
            (vec!["203.0.113.9:4711"], Some("203.0.113.9")),
            (vec!["[2001:db8::9]:4711"], Some("2001:db8::9")),
            (vec!["[2001:db8::9]"], Some("2001:db8::9")),
            (vec!["2001:db8::9"], Some("2001:db8::9")),
            (vec!["::ffff:203.0.113.9"], Some("203.0.113.9")),
            (vec!["::ffff:10.0.0.1"], None),
            (vec!["10.0.0.2, 10.0.0.1"], None),
            // Nothing before what cannot be read is believed.
            (vec!["203.0.113.9, unknown"], None),
            (vec!["203.0.113.9, unknown, 198.51.100.1"], Some("198.51.100.1")),
            (vec!["203.0.113.9", ""], None),
            (vec![""], None),
            (vec![], None),
        ] {
            let found = forwarded_for(&values, is_proxy).map(|address| address.to_string());
            assert_eq!(found.as_deref(), caller, "{values:?}");
        }
    }
}
