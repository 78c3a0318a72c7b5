//! What siblings must hear of keys, where it was not told by whoever revoked one.

use super::Custody;
use crate::base::time::Timestamp;
use crate::storage::StorageError;

impl Custody {
    /// Records for siblings what was revoked and not recorded by who did it, and notes how long tokens
    /// live.
    pub async fn maintain_revocations(&self, now: Timestamp) -> Result<(), StorageError> {
        let life = self.token_lifetime().await?;
        self.revocations.observe_token_life(life, now).await?;
        for key in self.keys.list(now).await? {
            if key.revoked_at.is_some_and(|at| at.plus(life) > now) {
                self.revocations.ensure_key(&key.kid, now).await?;
            }
        }
        Ok(())
    }
}
