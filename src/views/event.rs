//! An audit event as it is shown to operators.

use serde::Serialize;
use utoipa::ToSchema;

use super::cell::cell;
use crate::domain::audit::Kept;

/// An audit event.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its id.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    /// The kind of event.
    #[schema(example = "user.disabled")]
    pub event: String,
    /// The actor: `user:ID`, `client:ID`, `cli`, `system` or `anonymous`. Events that previous
    /// versions recorded have the bare id, or `command-line`.
    pub actor: String,
    /// What it happened to: the id of a user or client, the `kid` of a key.
    pub subject: Option<String>,
    /// The client that it was done by or to.
    pub client_id: Option<String>,
    /// An explanation for people.
    pub detail: Option<String>,
    /// The network address that the request came from.
    pub address: Option<String>,
    /// The `x-request-id` of the request.
    pub request_id: Option<String>,
}

impl From<Kept> for EventView {
    fn from(kept: Kept) -> Self {
        Self {
            at: kept.place.at.to_string(),
            id: kept.place.id,
            event: kept.event,
            actor: kept.actor,
            subject: kept.subject,
            client_id: kept.client_id,
            detail: kept.detail,
            address: kept.address,
            request_id: kept.request_id,
        }
    }
}

impl EventView {
    pub(crate) const COLUMNS: [&str; 6] = ["at", "event", "actor", "subject", "detail", "address"];

    pub(crate) fn row(self) -> [String; 6] {
        let subject = cell(self.subject.or(self.client_id));
        [self.at, self.event, self.actor, subject, cell(self.detail), cell(self.address)]
    }
}
