//! The authorization server's use cases (RFC 6749), one file each: every grant has the same face,
//! decides first, signs, and changes state last. What the wire says of it is `http`'s business.

mod client_credentials;
mod introspection;
pub mod metadata;
mod password;
mod password_check;
mod refresh_token;
mod revocation;
mod scope;
mod target;

use crate::domain::credentials::{Hashing, HashingError};
use std::sync::Arc;

use crate::base::metrics::Refreshes;
use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Audit, Event, Kind, Origin};
use crate::domain::clients::registry::AuthenticationError;
use crate::domain::clients::{Client, ClientRegistry, Credentials, FIRST_PARTY, GrantType, Method};
use crate::domain::login_limits::{Attempts, Limited, RefreshLimit, RevocationLimit};
use crate::domain::revocations::Revocations;
use crate::domain::roles::RoleRegistry;
use crate::domain::sessions::{self, Sessions};
use crate::domain::tokens::{AccessTokens, RefreshTokenKey, Scope, SignError};
use crate::domain::users::UserStore;
use crate::storage::StorageError;

pub use introspection::Introspection;
pub use password::PasswordRequest;
pub use password_check::CheckError;
pub use refresh_token::RefreshRequest;

/// Everything that grants need, built once.
pub struct AuthorizationServer {
    /// The clients.
    pub clients: ClientRegistry,
    /// The users.
    pub users: UserStore,
    /// What their roles stand for.
    pub roles: RoleRegistry,
    /// The password hashing pool.
    pub hashing: Arc<Hashing>,
    /// How often passwords may be guessed.
    pub attempts: Attempts,
    /// How often a session may be refreshed.
    pub refresh_limit: RefreshLimit,
    /// How often tokens of one session or client may be revoked.
    pub revocation_limit: RevocationLimit,
    /// What refresh tokens met, counted.
    pub refreshes: Refreshes,
    /// The sessions.
    pub sessions: Sessions,
    /// What else is revoked.
    pub revocations: Revocations,
    /// Whether an address has to be proven before its user can log in.
    pub requires_verified_email: bool,
    /// Issues and verifies access tokens.
    pub access_tokens: AccessTokens,
    /// Reads and writes refresh tokens.
    pub refresh_tokens: RefreshTokenKey,
    /// The audit trail.
    pub audit: Audit,
    /// The source of identifiers.
    pub random: Random,
}

/// A successful answer of the token endpoint (RFC 6749 section 5.1).
pub struct TokenResponse {
    /// The access token.
    pub access_token: String,
    /// Seconds until it ends.
    pub expires_in: u64,
    /// What it allows.
    pub scope: Scope,
    /// The refresh token, where the grant gives one.
    pub refresh_token: Option<String>,
    /// Whether the session store had lost its last writes, which is worth counting.
    pub healed: bool,
}

/// Why there is no token. The wire form is `http/error`'s.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A parameter is missing or malformed.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// Who the client is was not proven.
    #[error("client authentication failed")]
    InvalidClient {
        /// Whether the client tried the `Authorization` header, which the answer then names.
        basic: bool,
    },
    /// The client is not registered for the grant.
    #[error("the client is not registered for this grant")]
    UnauthorizedClient,
    /// The password or refresh token is not good.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// The scope goes beyond what may be granted.
    #[error("{0}")]
    InvalidScope(&'static str),
    /// The resource is not one that the client may name (RFC 8707 section 2).
    #[error("{0}")]
    InvalidTarget(&'static str),
    /// Too often: come back later.
    #[error("too many attempts: try again later")]
    Limited(Limited),
    /// The hashing queue is full.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// A store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No key can sign.
    #[error(transparent)]
    Sign(SignError),
}

impl From<CheckError> for TokenError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Limited(limited) => Self::Limited(limited),
            CheckError::Hashing(error) => error.into(),
            CheckError::Storage(error) => error.into(),
        }
    }
}

impl From<SignError> for TokenError {
    fn from(error: SignError) -> Self {
        match error {
            // As passing as a store that does not answer: a token that is away, or a key that does
            // not open here until somebody gives what opens it.
            SignError::Away | SignError::NoKey => StorageError::Unavailable(error.into()).into(),
            SignError::TooLong => {
                Self::InvalidScope("the token would be longer than 15 KiB: ask for less at once")
            }
            error => Self::Sign(error),
        }
    }
}

/// What every token request may carry besides its grant.
#[derive(Debug, Default)]
pub struct Wish {
    /// The scope asked for; where `None`, everything that may be had, less the built-in words.
    pub scope: Option<Scope>,
    /// The resources named (RFC 8707).
    pub resources: Vec<String>,
}

impl AuthorizationServer {
    /// The client that a request presents; without any, the bundled first-party one.
    pub async fn authenticate(
        &self,
        credentials: Option<Credentials>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Arc<Client>, TokenError> {
        let credentials = credentials.unwrap_or_else(|| Credentials {
            client_id: FIRST_PARTY.into(),
            secret: None,
            method: Method::None,
        });
        match self.clients.authenticate(&credentials, now).await {
            Ok(client) => Ok(client),
            Err(AuthenticationError::Storage(error)) => Err(error.into()),
            Err(AuthenticationError::Invalid { registered }) => {
                let event = Event {
                    kind: Kind::ClientRefused,
                    actor: Actor::Anonymous,
                    subject: registered.then(|| credentials.client_id.clone()),
                    client_id: Some(shorten(&credentials.client_id)),
                    detail: None,
                    origin,
                };
                self.audit.record(event, now).await;
                Err(TokenError::InvalidClient { basic: credentials.method == Method::Basic })
            }
        }
    }
}

/// What a session keeps of where a request came from.
fn session_origin(origin: &Origin) -> sessions::Origin {
    sessions::Origin {
        address: origin.address.as_deref().and_then(|address| address.parse().ok()),
        user_agent: origin.user_agent.clone(),
    }
}

/// As much of what an unknown caller sent as a log line should hold.
fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

fn check_grant(client: &Client, grant: GrantType) -> Result<(), TokenError> {
    if client.may_use(grant) { Ok(()) } else { Err(TokenError::UnauthorizedClient) }
}
