//! Keys whose rows are not authentic, and those that are taken for authentic: recorded, with who says so.

use std::collections::HashSet;

use super::{Custody, CustodyError, Why};
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::keys::adoption::Adopted;

impl Custody {
    /// Vouches for a row that does not verify, for a reason that is kept: its key is published again.
    pub async fn adopt(
        &self,
        kid: &str,
        reason: &str,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<Adopted, CustodyError> {
        let why = Why { forced: true, reason: Some(reason.to_owned()) };
        why.check()?;
        let adopted = self.keys.adopt(kid, self.token_lifetime().await?, now).await?;
        self.record(Kind::KeyAdopted, kid, why.after(&adopted), by, now).await;
        Ok(adopted)
    }

    /// Records what became of the keys from before their rows were authenticated.
    pub(super) async fn record_adoption(&self, now: Timestamp) {
        let Some(adoption) = &self.adoption else { return };
        let by = &Initiator::system();
        for adopted in &adoption.adopted {
            self.record(Kind::KeyAdopted, &adopted.kid, adopted.to_string(), by, now).await;
        }
        for (kid, reason) in &adoption.waiting {
            tracing::warn!(kid, reason, "a key waits for `signet keys adopt`: it does not open");
        }
    }

    /// Records the rows that are not authentic, each once. `told` remembers what this process knows to
    /// be recorded.
    pub(super) async fn record_unverified(
        &self,
        told: &mut HashSet<(String, Kind)>,
        now: Timestamp,
    ) {
        let by = &Initiator::system();
        for (kid, reason) in self.keys.unverified() {
            let step = (kid, Kind::KeyUnverified);
            if told.contains(&step) {
                continue;
            }
            let unverified = Event::new(Kind::KeyUnverified, by).about(&step.0).detail(reason);
            if self.audit.record_once(unverified, now).await {
                told.insert(step);
            }
        }
    }
}
