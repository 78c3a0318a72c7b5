//! What administrators do when a key is compromised: Signet's own endpoints and followers of the feed
//! refuse its tokens immediately, other verifiers when they drop the key.

use std::time::Duration;

use super::{Grounds, KeyChangeError, KeyManagement};
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::keys::chain::ScheduledKey;
use crate::domain::keys::changes::Revoked;

/// A key that was revoked, and the key that takes over.
#[derive(Clone, Debug)]
pub(crate) struct KeyRevocation {
    pub kid: String,
    /// What it signed, and the key that signs now.
    pub revoked: Revoked,
    pub at: Timestamp,
    /// The key that takes over later; `None` while it is still being made.
    pub successor: Option<ScheduledKey>,
    /// When that key takes over, or the earliest time at which it can while it is being made.
    pub handover_at: Timestamp,
}

impl KeyManagement {
    /// Takes a compromised key out immediately, for a reason that is kept, and makes the key that takes
    /// over later. The job that follows the keys makes it where that fails. A new key is published for
    /// `handover_in` before it takes over: at most 90 days;
    /// [`Policy::handover_in`](crate::domain::keys::Policy::handover_in) if `None`.
    pub(crate) async fn revoke(
        &self,
        kid: &str,
        reason: &str,
        handover_in: Option<Duration>,
        by: &Initiator,
    ) -> Result<KeyRevocation, KeyChangeError> {
        let grounds = Grounds::forced(reason);
        grounds.check()?;
        let handover_in = handover_in.unwrap_or_else(|| self.keys.policy().handover_in());
        let lifetime = self.token_lifetime().await?;
        let revoked = self.keys.revoke(kid, handover_in, lifetime, by.at).await?;
        // A revocation that is cut off before this is recorded by the job that follows the keys.
        self.around.revocations.ensure_key(kid, by.at).await?;
        let signs = revoked.active.as_ref().map_or("no key", |link| link.kid.as_str());
        let detail = grounds.explain(format_args!("{signs} signs now"));
        let event = Event::new(Kind::KeyRevoked, by).about(kid).detail(detail);
        self.around.audit.record_once(event).await;
        // The other instances drop it before a key is made, which may take a while.
        self.notify_instances().await;
        self.make_spare(by.at).await;
        self.notify_instances().await;
        let successor = self.keys.find_successor(revoked.successor_of, by.at).await;
        let successor = successor.unwrap_or_else(|error| {
            tracing::warn!(%error, "the key that takes over was not found");
            None
        });
        let handover_at =
            successor.as_ref().map_or(by.at.plus(handover_in), |link| link.times.activates_at);
        Ok(KeyRevocation { kid: kid.to_owned(), revoked, at: by.at, successor, handover_at })
    }
}
