//! Access tokens: JWTs by RFC 9068, signed with the active key, verified here for Signet's own
//! endpoints with the algorithm pinned to the key.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::jws::{self, Jws, Unreadable};
use super::signing::{self, SignError};
use super::{LEEWAY, Policy, claims};
use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::domain::keys::Keys;

/// The media type in the header (RFC 9068 section 2.1).
const TYPE: &str = "at+jwt";
/// The maximum length in bytes, which leaves room in the form of an introspection.
const MAX_BYTES: usize = 15 * 1024;

/// `aud`: one audience is a string, several are an array (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// The audience of `resources`, or `default` where there are none.
    pub(crate) fn new(resources: &[String], default: &str) -> Self {
        match resources {
            [] => Self::One(default.to_owned()),
            [one] => Self::One(one.clone()),
            many => Self::Many(many.to_vec()),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many.as_slice(),
        };
        all.iter().map(String::as_str)
    }

    pub(crate) fn contains(&self, audience: &str) -> bool {
        self.iter().any(|one| one == audience)
    }
}

/// The claims, RFC 9068 section 2.2. Tokens of clients have none of the claims of a login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    /// The user's id, or the client's for `client_credentials`.
    pub(crate) sub: String,
    pub(crate) aud: Audience,
    pub(crate) exp: Timestamp,
    pub(crate) iat: Timestamp,
    pub(crate) jti: String,
    pub(crate) client_id: String,
    /// The scope; absent when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) scope: String,
    /// The beginning of its validity; Signet issues none with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<uuid::Uuid>,
    /// The user's roles; absent when the user has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roles: Option<Vec<String>>,
    /// The claims that the client adds from the user's metadata; see [`claims`].
    #[serde(flatten)]
    pub(crate) added: Map<String, Value>,
    /// Whether another issuer signed it, whose key is published here to verify. Signet then does
    /// not know for whom it was issued.
    #[serde(skip)]
    pub(crate) foreign: bool,
    /// The `kid` of the key that signed it.
    #[serde(skip)]
    pub(crate) kid: String,
}

pub(crate) struct Grant<'a> {
    pub(crate) sub: String,
    pub(crate) client_id: &'a str,
    pub(crate) scope: String,
    /// The requested resources; empty for the default audience.
    pub(crate) resources: &'a [String],
    pub(crate) lifetime: Option<Duration>,
    pub(crate) session: Option<UserSession>,
}

pub(crate) struct UserSession {
    pub(crate) sid: uuid::Uuid,
    pub(crate) auth_time: Timestamp,
    pub(crate) roles: Vec<String>,
    pub(crate) claims: Map<String, Value>,
}

pub(crate) struct AccessToken {
    pub token: String,
    /// Seconds until it ends.
    pub expires_in: u64,
}

/// Why a token is not accepted. Callers treat all reasons the same.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not valid: {0}")]
pub(crate) struct InvalidToken(&'static str);

/// Issues and verifies access tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AccessTokens {
    keys: Keys,
    policy: std::sync::Arc<Policy>,
}

impl AccessTokens {
    pub(crate) fn new(keys: Keys, policy: Policy) -> Self {
        Self { keys, policy: policy.into() }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) async fn issue(
        &self,
        grant: Grant<'_>,
        random: &Random,
        now: Timestamp,
    ) -> Result<AccessToken, SignError> {
        let ring = self.keys.ring();
        let audience = Audience::new(grant.resources, &self.policy.audience);
        let algorithm = self.keys.policy().algorithms.of(audience.iter());
        let key = ring.active(algorithm, now).ok_or(SignError::NoKey)?;
        // No token outlives its key's publication, whatever lifetimes were configured since the
        // retirement was planned.
        let published = key.times.retires_at.map(|at| at.minus(LEEWAY).since(now));
        let lifetime = grant.lifetime.unwrap_or(self.policy.access_token_lifetime);
        let lifetime = published.map_or(lifetime, |published| published.min(lifetime));
        let (auth_time, sid, roles, added) = match grant.session {
            Some(UserSession { sid, auth_time, roles, claims }) => {
                // An empty claim is omitted, since validators refuse an empty list.
                let roles = Some(roles).filter(|roles| !roles.is_empty());
                (Some(auth_time), Some(sid), roles, claims)
            }
            None => (None, None, None, Map::new()),
        };
        let claims = Claims {
            iss: self.policy.issuer.clone(),
            sub: grant.sub,
            aud: audience,
            exp: now.plus(lifetime),
            iat: now,
            jti: random.uuid().simple().to_string(),
            client_id: grant.client_id.to_owned(),
            scope: grant.scope,
            nbf: None,
            auth_time,
            sid,
            roles,
            added,
            foreign: false,
            kid: String::new(),
        };
        let token = signing::sign(key, TYPE, claims).await?;
        if token.len() > MAX_BYTES {
            return Err(SignError::TooLong);
        }
        Ok(AccessToken { token, expires_in: lifetime.as_secs() })
    }

    /// Verifies type, key, algorithm, signature, issuer and times. The caller checks whether the
    /// token was revoked, and whether its audience fits (RFC 9068 section 4). There is no leeway:
    /// the verifier is the issuer.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, InvalidToken> {
        self.verify_with(Duration::ZERO, token, now)
    }

    /// The same for a token that resource servers may still accept, whose clocks get `leeway`.
    pub(crate) fn verify_with(
        &self,
        leeway: Duration,
        token: &str,
        now: Timestamp,
    ) -> Result<Claims, InvalidToken> {
        if token.len() > MAX_BYTES {
            return Err(InvalidToken("too long"));
        }
        let jws = Jws::parse(token).map_err(|error| match error {
            Unreadable::Malformed => InvalidToken("malformed"),
            Unreadable::Critical => InvalidToken("critical header that is not understood"),
            Unreadable::NoKid => InvalidToken("no kid"),
        })?;
        if !jws::is_of_type(jws.typ.as_deref(), TYPE) {
            return Err(InvalidToken("not an access token"));
        }
        let ring = self.keys.ring();
        let key = ring.find(&jws.kid, now).ok_or(InvalidToken("unknown key"))?;
        let claims = jws.verify(&key.public.decoding_key, key.public.algorithm.jws());
        let mut claims: Claims = claims.ok_or(InvalidToken("signature or claims"))?;
        claims.foreign = key.foreign;
        claims.kid = jws.kid;
        // Claims that another issuer adds have no known meaning here.
        claims.added.retain(|name, _| !key.foreign && claims::is_free(name));
        if claims.iss != self.policy.issuer {
            return Err(InvalidToken("other issuer"));
        }
        if claims.exp.plus(leeway) <= now {
            return Err(InvalidToken("expired"));
        }
        if claims.nbf.is_some_and(|nbf| now < nbf) {
            return Err(InvalidToken("not valid yet"));
        }
        Ok(claims)
    }

    /// Whether `audience` is one of Signet's own endpoints: the default audience, the issuer, or
    /// the audience of administration.
    pub(crate) fn is_for_signet(&self, audience: &Audience) -> bool {
        let Policy { issuer, audience: default, admin_audience, .. } = &*self.policy;
        [default, issuer, admin_audience].iter().any(|own| audience.contains(own))
    }

    /// Whether `audience` is that of administration and no other.
    pub(crate) fn is_for_administration(&self, audience: &Audience) -> bool {
        let admin = &self.policy.admin_audience;
        audience.contains(admin) && audience.iter().all(|one| one == admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_audience_is_a_string_and_many_an_array() {
        let json = |resources: &[&str]| {
            let resources: Vec<_> = resources.iter().map(|r| (*r).to_owned()).collect();
            serde_json::to_string(&Audience::new(&resources, "default")).unwrap()
        };
        assert_eq!(json(&[]), r#""default""#);
        assert_eq!(json(&["a"]), r#""a""#);
        assert_eq!(json(&["a", "b"]), r#"["a","b"]"#);
    }
}
