//! Audit events without a request: keys that Signet made, and steps of a key's life that came by the
//! passing of time, or whose initiator was cut off before it recorded them.

use std::collections::HashSet;
use std::time::Duration;

use super::KeyManagement;
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::keys::changes::{AddedKey, Because};
use crate::domain::keys::rotation::State;
use crate::domain::keys::store::StoredKey;
use crate::storage::Stored;

/// Steps that lie further back are recorded already, or are of no use any more.
const RECORD_STEPS_FOR: Duration = Duration::from_secs(7 * 86_400);

/// By then, the instance that made or revoked a key has recorded it.
const RECORDED_WITHIN: Duration = Duration::from_secs(60);

impl KeyManagement {
    /// Records the steps of keys that are missing in the audit trail, and the rows that are not
    /// authentic. `recorded` remembers the steps that this process has seen to be there.
    pub(crate) async fn record_steps(
        &self,
        recorded: &mut HashSet<(String, Kind)>,
        now: Timestamp,
    ) -> Stored<()> {
        for key in self.keys.list(now).await? {
            for (kind, at) in steps(&key, now) {
                if at >= now.minus(RECORD_STEPS_FOR) {
                    self.record_step(kind, &key.kid, None, recorded, at).await;
                }
            }
        }
        for (kid, reason) in self.keys.unverified() {
            self.record_step(Kind::KeyUnverified, &kid, Some(reason), recorded, now).await;
        }
        Ok(())
    }

    async fn record_step(
        &self,
        kind: Kind,
        kid: &str,
        detail: Option<String>,
        recorded: &mut HashSet<(String, Kind)>,
        at: Timestamp,
    ) {
        let step = (kid.to_owned(), kind);
        let event = Event::new(kind, &Initiator::system(at)).about(kid).detail(detail);
        if !recorded.contains(&step) && self.around.audit.record_once(event).await {
            recorded.insert(step);
        }
    }

    /// Records what became of the keys from before their rows were authenticated.
    pub(super) async fn record_adoption(&self, now: Timestamp) {
        let Some(adoption) = &self.adoption else { return };
        let by = &Initiator::system(now);
        for adopted in &adoption.adopted {
            self.record(Kind::KeyAdopted, &adopted.kid, adopted.to_string(), by).await;
        }
        for (kid, reason) in &adoption.waiting {
            tracing::warn!(kid, reason, "a key waits for `signet keys adopt`: it does not open");
        }
    }

    /// Records keys that Signet made, and the rotations that it planned with them.
    pub(super) async fn record_created(&self, created: &[AddedKey], now: Timestamp) {
        let by = &Initiator::system(now);
        for new in created {
            let detail = match (&new.handover, new.because) {
                (Some(handover), Because::Revocation) => {
                    format!(
                        "for {}; signs from {}, since a key was revoked",
                        new.algorithm, handover.at
                    )
                }
                _ => format!("for {}", new.algorithm),
            };
            let event = Event::new(Kind::KeyCreated, by).about(&new.kid).detail(detail);
            self.around.audit.record_once(event).await;
            if let (Some(handover), Because::RotateEvery) = (&new.handover, new.because) {
                let detail = format!("signs from {}, by keys.rotate_every", handover.at);
                self.record(Kind::KeyRotated, &handover.kid, detail, by).await;
            }
        }
    }
}

/// The steps of a key that must be on record by `now`, and when they happened.
fn steps(key: &StoredKey, now: Timestamp) -> Vec<(Kind, Timestamp)> {
    let kind = |state| match state {
        State::Active => Kind::KeyActivated,
        State::Retiring => Kind::KeyDeactivated,
        State::Pending | State::Retired => Kind::KeyRetired,
    };
    let mut steps: Vec<_> =
        key.times.past(now).into_iter().map(|(state, at)| (kind(state), at)).collect();
    // Their initiator records them with more detail, unless it was cut off.
    let is_due = |at: &Timestamp| at.plus(RECORDED_WITHIN) < now;
    let made = Some(key.times.created_at).map(|at| (Kind::KeyCreated, at));
    let revoked = key.revoked_at.map(|at| (Kind::KeyRevoked, at));
    steps.extend([made, revoked].into_iter().flatten().filter(|(_, at)| is_due(at)));
    steps
}
