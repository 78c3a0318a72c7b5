//! A session: what one login gave one client, and the only record of its refresh tokens. It holds no
//! secret. Only the three fields of the rotation and the origin change after the start.

use std::net::IpAddr;

use uuid::Uuid;

use super::{Login, Policy};
use crate::base::time::Timestamp;
use crate::domain::revocations::EndedSession;

/// Where a session is used from, in enough detail for its user to recognise it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The network address.
    pub address: Option<IpAddr>,
    /// The user agent in a few words of ASCII, such as `Firefox on Linux`.
    pub user_agent: Option<String>,
}

/// A session as the stores keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The identifier, which is the `sid` of its access tokens.
    pub sid: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The client that the session was granted to; no other may refresh it.
    pub client_id: String,
    /// The scope granted, words separated by spaces (RFC 6749 section 3.3).
    pub scope: String,
    /// Resources separated by spaces (RFC 8707); empty for the default audience.
    pub audience: String,
    /// The user's session epoch at the start; the session is dead once the user's is higher.
    pub epoch: i64,
    /// The start.
    pub started_at: Timestamp,
    /// How the session came about.
    pub login: Login,
    /// The generation that has not been redeemed. Every change raises it.
    pub current: u64,
    /// The generation whose redemption made `current`; 0, which no token has, at first.
    pub parent: u64,
    /// When `parent` was redeemed; at first the start.
    pub advanced_at: Timestamp,
    /// Where the session was begun or last refreshed.
    pub origin: Origin,
}

impl Session {
    /// When the session ends unless it is refreshed before.
    pub fn expires_at(&self, policy: &Policy) -> Timestamp {
        self.advanced_at.plus(policy.idle_lifetime).min(self.ends_at(policy))
    }

    /// When the session ends in any case.
    pub fn ends_at(&self, policy: &Policy) -> Timestamp {
        self.login.ends_at.unwrap_or_else(|| self.started_at.plus(policy.absolute_lifetime))
    }

    /// The session as the revocation feed takes it. The last issue of an access token, as of `now`, is
    /// its start or last advance, or the end of the retry window, within which the same refresh token
    /// is answered again. A session that was never refreshed has nothing to answer again.
    pub(super) fn ended(&self, policy: &Policy, now: Timestamp) -> EndedSession {
        let retried = match self.parent {
            0 => self.advanced_at,
            _ => now.min(self.advanced_at.plus(policy.retry_window)),
        };
        EndedSession { sid: self.sid, last_issue: self.advanced_at.max(retried) }
    }

    pub(super) fn is_expired(&self, policy: &Policy, now: Timestamp) -> bool {
        now >= self.expires_at(policy)
    }
}

/// A session to be begun. The caller makes the `sid`, because the first access token, which is signed
/// before the session is stored, contains it.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// A fresh random identifier.
    pub sid: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The client that asked for it.
    pub client_id: String,
    /// The scope granted, words separated by spaces.
    pub scope: String,
    /// Resources separated by spaces; empty for the default audience.
    pub audience: String,
    /// The user's session epoch now.
    pub epoch: i64,
    /// How the session comes about.
    pub login: Login,
    /// Where the login came from.
    pub origin: Origin,
}

impl NewSession {
    /// The generation of a session's first refresh token.
    pub const FIRST_GENERATION: u64 = 1;

    pub(super) fn begin(self, now: Timestamp) -> Session {
        Session {
            sid: self.sid,
            user_id: self.user_id,
            client_id: self.client_id,
            scope: self.scope,
            audience: self.audience,
            epoch: self.epoch,
            started_at: now,
            login: self.login,
            current: Self::FIRST_GENERATION,
            parent: 0,
            advanced_at: now,
            origin: self.origin,
        }
    }
}
