//! Who is this: a user by a password within the login limits, or the bearer of an access token.
//! Invariants: no password is hashed before its attempt is reserved within the limits; an unknown user
//! costs as much as a known one; a refusal shows which reason it had only to who has the password.

mod bearer;
mod login;
mod password;

use std::sync::Arc;

use crate::base::random::Random;
use crate::domain::audit::Audit;
use crate::domain::clients::ClientRegistry;
use crate::domain::credentials::Hashing;
use crate::domain::login_limits::LoginLimits;
use crate::domain::revocations::Revocations;
use crate::domain::roles::RoleRegistry;
use crate::domain::sessions::Sessions;
use crate::domain::tokens::AccessTokens;
use crate::domain::users::UserStore;

pub(crate) use bearer::{AdminRequest, BearerError};
pub(crate) use login::LoginError;
pub(crate) use password::{CheckError, address_of};

/// The stores that authentication and the grants share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SharedStores {
    pub(crate) users: UserStore,
    pub(crate) clients: ClientRegistry,
    pub(crate) roles: RoleRegistry,
    pub(crate) sessions: Sessions,
    pub(crate) revocations: Revocations,
    pub(crate) audit: Audit,
    pub(crate) random: Random,
}

/// Authenticates users and bearers of access tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Authentication {
    pub(crate) stores: SharedStores,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) hashing: Arc<Hashing>,
    pub(crate) login_limits: LoginLimits,
    /// Whether a user whose address is not proven cannot log in.
    pub(crate) requires_verified_email: bool,
}
