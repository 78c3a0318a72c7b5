//! Tokens in the form that clients and resource servers see: access tokens (RFC 9068) and the wire
//! form of refresh tokens, with scopes. Signing and verifying happen here; rotation is decided in
//! `sessions`.

pub(crate) mod access_token;
pub(crate) mod claims;
pub(crate) mod foreign;
pub(crate) mod jws;
pub(crate) mod refresh_token;
pub(crate) mod scope;
pub(crate) mod signing;

use std::time::Duration;

pub(crate) use access_token::{AccessToken, AccessTokens, Claims, Grant, UserSession};
pub(crate) use refresh_token::{RefreshToken, RefreshTokenKey};
pub use scope::Scope;
pub(crate) use signing::SignError;
pub use signing::Signer;

/// The leeway for other parties' clocks: keys stay published and revocations on record for this
/// much longer than a token lives.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// The values that every access token carries, and its lifetime.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The `iss` claim: the issuer's address without a trailing slash.
    pub issuer: String,
    /// The `aud` claim of tokens for which the request named no resource.
    pub audience: String,
    /// The `aud` claim of tokens with an administrative scope word: `{issuer}/admin`.
    pub admin_audience: String,
    /// The lifetime, unless the client has its own.
    pub access_token_lifetime: Duration,
}

impl Policy {
    /// The maximum lifetime; a longer one would outlive the revocations on record.
    pub const MAX_ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(86_400);

    /// Checks the values. The error is the setting's name and the sentence for the operator.
    pub fn new(
        issuer: String,
        audience: String,
        access_token_lifetime: Duration,
    ) -> Result<Self, (&'static str, String)> {
        let lifetime = access_token_lifetime;
        if lifetime < Duration::from_secs(1) || lifetime > Self::MAX_ACCESS_TOKEN_LIFETIME {
            return Err(("access_token_lifetime", "must be from 1s to 1d".into()));
        }
        let admin_audience = Self::admin_audience_of(&issuer);
        if audience == admin_audience {
            let problem = format!(
                "must not be {admin_audience}, which is the audience of the tokens that administer \
                 Signet: name the resource server, or leave it empty for the issuer"
            );
            return Err(("audience", problem));
        }
        Ok(Self { issuer, audience, admin_audience, access_token_lifetime })
    }

    /// The same for another address of the issuer, with the values that derive from it.
    pub fn moved_to(self, issuer: String) -> Self {
        let audience = if self.audience == self.issuer { issuer.clone() } else { self.audience };
        let admin_audience = Self::admin_audience_of(&issuer);
        Self { issuer, audience, admin_audience, ..self }
    }

    fn admin_audience_of(issuer: &str) -> String {
        format!("{issuer}/admin")
    }
}
