//! A session as it is shown to its user, to administrators and at the command line.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cell::cell;
use crate::domain::sessions::{Policy, Session};

/// One session.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionBody)]
pub(crate) struct SessionView {
    /// The `sid` of its tokens.
    pub sid: String,
    /// The client that it was granted to.
    pub client_id: String,
    /// What was granted.
    pub scope: String,
    /// RFC 3339.
    pub created_at: String,
    /// When it was begun or last refreshed, RFC 3339. What its access tokens are used for is not
    /// counted.
    pub last_used_at: String,
    /// When it ends unless it is refreshed before, RFC 3339.
    pub expires_at: String,
    /// The network address it was begun or last refreshed from.
    #[schema(example = "203.0.113.9")]
    pub address: Option<String>,
    /// The user agent that did so, in a few words.
    #[schema(example = "Firefox on Linux")]
    pub user_agent: Option<String>,
    /// Whether the request's token belongs to it.
    #[schema(value_type = bool, required = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
}

/// A session, with whose it is.
#[derive(Serialize, ToSchema)]
#[schema(as = ManagedSessionBody)]
pub(crate) struct ManagedSessionView {
    /// The user's id.
    pub user_id: String,
    /// The session.
    #[serde(flatten)]
    pub session: SessionView,
}

impl SessionView {
    /// The form of `session` at the command line, where no request has a token.
    pub(crate) fn new(session: Session, policy: &Policy) -> Self {
        Self {
            sid: session.sid.to_string(),
            created_at: session.started_at.to_string(),
            last_used_at: session.advanced_at.to_string(),
            expires_at: session.expires_at(policy).to_string(),
            address: session.origin.address.map(|address| address.to_string()),
            user_agent: session.origin.user_agent,
            current: None,
            client_id: session.client_id,
            scope: session.scope,
        }
    }

    /// The form of `session` for the bearer of a token of the session `sid`, if of any.
    pub(crate) fn for_bearer(session: Session, policy: &Policy, sid: Option<Uuid>) -> Self {
        let current = Some(sid == Some(session.sid));
        Self { current, ..Self::new(session, policy) }
    }

    pub(crate) const COLUMNS: [&str; 8] =
        ["sid", "client", "scope", "created", "last used", "expires", "address", "user agent"];

    pub(crate) fn row(self) -> [String; 8] {
        let scope = cell(Some(self.scope).filter(|scope| !scope.is_empty()));
        let (address, user_agent) = (cell(self.address), cell(self.user_agent));
        let (created, used) = (self.created_at, self.last_used_at);
        [self.sid, self.client_id, scope, created, used, self.expires_at, address, user_agent]
    }
}

impl ManagedSessionView {
    /// The form of `session` for an administrator whose token belongs to the session `sid`, if to any.
    pub(crate) fn new(session: Session, policy: &Policy, sid: Option<Uuid>) -> Self {
        let user_id = session.user_id.to_string();
        Self { user_id, session: SessionView::for_bearer(session, policy, sid) }
    }
}
