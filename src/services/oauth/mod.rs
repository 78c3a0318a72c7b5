//! The authorization server's use cases (RFC 6749), one file each: every grant has the same face,
//! decides first, signs, and changes state last. What the wire says of it is `http`'s business.

mod client_authentication;
mod client_credentials;
mod introspection;
pub(crate) mod metadata;
mod password;
mod refresh_token;
mod revocation;
mod scope;
mod target;

use std::sync::Arc;

use uuid::Uuid;

use crate::base::metrics::Metrics;
use crate::base::time::Timestamp;
use crate::domain::audit::Origin;
use crate::domain::clients::{Client, Credentials, FIRST_PARTY, GrantType, Method};
use crate::domain::login_limits::{RefreshLimit, RevocationLimit};
use crate::domain::sessions;
use crate::domain::tokens::{
    AccessToken, AccessTokens, Grant, RefreshTokenKey, Scope, SignError, UserSession,
};
use crate::domain::users::User;
use crate::services::authentication::{Authentication, CheckError, LoginError, SharedStores};
use crate::storage::StorageError;

pub(crate) use introspection::Introspection;
pub(crate) use password::PasswordRequest;
pub(crate) use refresh_token::RefreshRequest;

/// The authorization server (RFC 6749): its grants and the endpoints around them.
pub(crate) struct AuthorizationServer {
    pub(crate) authentication: Authentication,
    pub(crate) stores: SharedStores,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) refresh_tokens: RefreshTokenKey,
    pub(crate) refresh_limit: RefreshLimit,
    /// On tokens of one session or client: each revocation goes to every resource server.
    pub(crate) revocation_limit: RevocationLimit,
    pub(crate) metrics: Arc<Metrics>,
}

/// A successful answer of the token endpoint (RFC 6749 section 5.1).
pub(crate) struct TokenResponse {
    pub(crate) access: AccessToken,
    pub(crate) scope: Scope,
    pub(crate) refresh_token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("client authentication failed")]
    InvalidClient {
        /// Whether the client tried the `Authorization` header, which the answer then names.
        basic: bool,
    },
    #[error("the client is not registered for this grant")]
    UnauthorizedClient,
    #[error("{0}")]
    InvalidGrant(&'static str),
    #[error("{0}")]
    InvalidScope(&'static str),
    /// The resource is not one that the client may name (RFC 8707 section 2).
    #[error("{0}")]
    InvalidTarget(&'static str),
    /// Also of a store, and of the limits on refreshes and revocations.
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Sign(SignError),
}

impl From<StorageError> for TokenError {
    fn from(error: StorageError) -> Self {
        Self::Check(error.into())
    }
}

impl From<SignError> for TokenError {
    fn from(error: SignError) -> Self {
        match error {
            // As passing as a store that does not answer: a token that is away, or a key that does
            // not open here until somebody gives what opens it.
            SignError::Away | SignError::NoKey => StorageError::Unavailable(error.into()).into(),
            SignError::TooLong => {
                Self::InvalidScope("the token would be longer than 15 KiB: request fewer words")
            }
            error => Self::Sign(error),
        }
    }
}

impl From<LoginError> for TokenError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused(answer) => Self::InvalidGrant(answer),
            LoginError::Check(error) => error.into(),
        }
    }
}

/// What every token request may carry besides its grant.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// The scope asked for; where `None`, everything that may be had, less the built-in words.
    pub scope: Option<Scope>,
    pub resources: Vec<String>,
}

struct OfSession<'a> {
    user: &'a User,
    sid: Uuid,
    auth_time: Timestamp,
}

impl AuthorizationServer {
    /// The numbers of refreshes and of revocations that the limits have refused.
    pub(crate) fn limited(&self) -> [u64; 2] {
        [self.refresh_limit.limited(), self.revocation_limit.limited()]
    }

    /// Signs an access token for a user's session or, where there is none, for `client` itself.
    async fn sign(
        &self,
        client: &Client,
        scope: &Scope,
        resources: &[String],
        session: Option<OfSession<'_>>,
        now: Timestamp,
    ) -> Result<AccessToken, SignError> {
        let grant = Grant {
            sub: match &session {
                Some(session) => session.user.id.to_string(),
                None => client.client_id.clone(),
            },
            client_id: &client.client_id,
            scope: scope.to_string(),
            resources,
            lifetime: client.access_token_lifetime,
            session: session.map(|OfSession { user, sid, auth_time }| UserSession {
                sid,
                auth_time,
                roles: user.roles.clone(),
                claims: scope::claims_of(client, user),
            }),
        };
        self.access_tokens.issue(grant, &self.stores.random, now).await
    }
}

/// The credentials of a request; without any, those of the bundled first-party client.
fn or_first_party(credentials: Option<Credentials>) -> Credentials {
    let client_id = FIRST_PARTY.into();
    credentials.unwrap_or(Credentials { client_id, secret: None, method: Method::None })
}

fn required(credentials: Option<Credentials>) -> Result<Credentials, TokenError> {
    credentials.ok_or(TokenError::InvalidClient { basic: false })
}

fn session_origin(origin: &Origin) -> sessions::Origin {
    sessions::Origin {
        address: origin.address.as_deref().and_then(|address| address.parse().ok()),
        user_agent: origin.user_agent.clone(),
    }
}

fn check_grant(client: &Client, grant: GrantType) -> Result<(), TokenError> {
    if client.may_use(grant) { Ok(()) } else { Err(TokenError::UnauthorizedClient) }
}
