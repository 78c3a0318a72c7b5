//! A session: one grant of authorization, and the only thing kept of its refresh tokens. It holds
//! no secret, and everything in it but the rotation's three fields and the origin stays as it was at
//! the start.

use std::net::IpAddr;

use uuid::Uuid;

use super::Policy;
use crate::base::time::Timestamp;
use crate::domain::revocations::EndedSession;

/// Where a session is used from: as much as its user needs to tell it from the others.
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
    /// Its identifier, the `sid` of its access tokens.
    pub sid: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The client that it was granted to; no other may refresh it.
    pub client_id: String,
    /// The scope granted, words separated by spaces (RFC 6749 section 3.3).
    pub scope: String,
    /// Resources separated by spaces (RFC 8707); empty for the default audience.
    pub audience: String,
    /// The user's session epoch when it began; dead once the user's is higher.
    pub epoch: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// The generation that has not been redeemed. Every change raises it.
    pub current: u64,
    /// The generation whose redemption made `current`; 0, which no token has, at first.
    pub parent: u64,
    /// When that was; the start at first.
    pub advanced_at: Timestamp,
    /// Where from.
    pub origin: Origin,
}

impl Session {
    /// When it ends unless it is refreshed before.
    pub fn expires_at(&self, policy: &Policy) -> Timestamp {
        self.advanced_at.plus(policy.idle_lifetime).min(self.ends_at(policy))
    }

    /// When it ends in any case.
    pub fn ends_at(&self, policy: &Policy) -> Timestamp {
        self.started_at.plus(policy.absolute_lifetime)
    }

    /// The last moment at which an access token of it can have been issued, as of `now`: when it was
    /// begun or last advanced, or the end of the retry window, within which the same refresh token
    /// is answered again. A session that was never refreshed has nothing to answer again.
    pub(super) fn last_issue(&self, policy: &Policy, now: Timestamp) -> Timestamp {
        let retried = match self.parent {
            0 => self.advanced_at,
            _ => now.min(self.advanced_at.plus(policy.retry_window)),
        };
        self.advanced_at.max(retried)
    }

    /// The same, as the revocation feed takes it.
    pub(super) fn ended(&self, policy: &Policy, now: Timestamp) -> EndedSession {
        EndedSession { sid: self.sid, last_issue: self.last_issue(policy, now) }
    }

    /// Whether it has ended by `now`.
    pub(super) fn is_expired(&self, policy: &Policy, now: Timestamp) -> bool {
        now >= self.expires_at(policy)
    }
}

/// What a login grants. The caller makes the `sid`, because it stands in the first access token,
/// which is signed before the session is stored.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// A fresh random identifier.
    pub sid: Uuid,
    /// Whose session it will be.
    pub user_id: Uuid,
    /// The client that asked.
    pub client_id: String,
    /// The scope granted, words separated by spaces.
    pub scope: String,
    /// Resources separated by spaces; empty for the default audience.
    pub audience: String,
    /// The user's session epoch now.
    pub epoch: i64,
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
            current: Self::FIRST_GENERATION,
            parent: 0,
            advanced_at: now,
            origin: self.origin,
        }
    }
}
