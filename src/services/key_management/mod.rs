//! The use cases of signing keys, for administrators and for Signet itself. Each one changes the
//! keys by [`crate::domain::keys`], allows for the lifetime of tokens, audits who did it and why,
//! and notifies the other instances. HTTP and the command line call them.

mod events;
mod import;
mod reading;
mod revocation;
mod status;

use std::time::Duration;

use crate::base::time::Timestamp;
use crate::domain::audit::{Audit, Event, Initiator, Kind};
use crate::domain::clients::store::ClientStore;
use crate::domain::keys::adoption::{Adopted, Adoption};
use crate::domain::keys::chain::{Handover, PublishAhead, Refusal};
use crate::domain::keys::import::ImportError;
use crate::domain::keys::rotation::State;
use crate::domain::keys::{
    Algorithm, Keys, KeysError, Opening, Policy, PublicKey, Rewrapped, Vault,
};
use crate::domain::revocations::Revocations;
use crate::domain::tokens::LEEWAY;
use crate::storage::redis::notices::Notices;
use crate::storage::{Db, StorageError, Stored};

pub(crate) use import::{Import, ImportedKey};
pub(crate) use reading::StoredKeys;
pub(crate) use revocation::KeyRevocation;
pub(crate) use status::KeyStatus;

/// The channel on which instances notify each other that the signing keys have changed.
pub(crate) const KEYS_CHANGED: &str = "signet:keys";

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyChangeError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(
        "a forced change or a revocation needs a reason of 1 to 500 characters, which is kept \
         in the audit trail"
    )]
    NoReason,
    #[error("a key that only verifies stays published for at least 1s and at most 366 days")]
    VerifyFor,
}

impl From<StorageError> for KeyChangeError {
    fn from(error: StorageError) -> Self {
        Self::Keys(error.into())
    }
}

/// When a key starts to sign.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activation {
    /// The time until then; `keys.publish_ahead` if `None`.
    pub after: Option<Duration>,
    /// Whether the key may sign sooner than verifiers can follow, and why.
    pub grounds: Grounds,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Grounds {
    /// Whether the change overrides the rules; a reason is then required.
    pub forced: bool,
    /// The reason, for people; kept in the audit trail.
    pub reason: Option<String>,
}

impl Grounds {
    fn forced(reason: &str) -> Self {
        Self { forced: true, reason: Some(reason.to_owned()) }
    }

    fn check(&self) -> Result<(), KeyChangeError> {
        let is_reason = |reason: &String| {
            let length = reason.trim().chars().count();
            (1..=500).contains(&length) && !reason.chars().any(char::is_control)
        };
        let is_good = self.reason.as_ref().map_or(!self.forced, is_reason);
        if is_good { Ok(()) } else { Err(KeyChangeError::NoReason) }
    }

    fn explain(&self, detail: impl std::fmt::Display) -> String {
        match &self.reason {
            Some(reason) => format!("{detail}; reason: {}", reason.trim()),
            None => detail.to_string(),
        }
    }
}

impl Activation {
    fn lead(&self, policy: &Policy) -> PublishAhead {
        match (self.after, self.grounds.forced) {
            (None, false) => PublishAhead::Usual,
            (Some(wait), false) => PublishAhead::Shortened(wait),
            (wait, true) => PublishAhead::Forced(wait.unwrap_or(policy.publish_ahead)),
        }
    }
}

/// The stores and notices that key management uses beside the keys.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The clients, for the lifetimes of their tokens.
    pub clients: ClientStore,
    /// The record of tokens that end before their `exp`.
    pub revocations: Revocations,
    pub audit: Audit,
    pub notices: Notices,
}

/// The use cases of signing keys. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeyManagement {
    pub keys: Keys,
    around: Surroundings,
    access_token_lifetime: Duration,
    /// The outcome of authenticating keys of versions without tags, if this process did that.
    pub adoption: Option<Adoption>,
}

impl KeyManagement {
    /// Opens the keys of `db`, making the first ones where there is none.
    pub(crate) async fn open(
        db: &Db,
        vault: Vault,
        policy: Policy,
        around: Surroundings,
        access_token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let lifetime = longest_token_life(access_token_lifetime, &around.clients).await?;
        let (keys, opening) = Keys::open(db, vault, policy, lifetime, now).await?;
        let Opening { added, adoption } = opening;
        let management = Self { keys, around, access_token_lifetime, adoption };
        management.record_created(&added, now).await;
        management.record_adoption(now).await;
        Ok(management)
    }

    /// Makes the keys that are needed now, and plans when they sign.
    pub(crate) async fn maintain(&self, now: Timestamp) -> Result<(), KeysError> {
        let created = self.keys.maintain(self.token_lifetime().await?, now).await?;
        if !created.is_empty() {
            self.record_created(&created, now).await;
            self.notify_instances().await;
        }
        Ok(())
    }

    /// Records how long tokens live, and adds the revoked keys that are missing from the record of
    /// revocations because the instance that revoked them was interrupted.
    pub(crate) async fn maintain_revocations(&self, now: Timestamp) -> Stored<()> {
        let life = self.token_lifetime().await?;
        self.around.revocations.observe_token_life(life, now).await?;
        for key in self.keys.list(now).await? {
            if key.revoked_at.is_some_and(|at| at.plus(life) > now) {
                self.around.revocations.ensure_key(&key.kid, now).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn list(&self, now: Timestamp) -> Stored<Vec<KeyStatus>> {
        Ok(status::of_all(self.keys.list(now).await?, self.keys.policy(), now))
    }

    /// The key named `kid`; [`Refusal::Unknown`] where there is none.
    pub(crate) async fn load(&self, kid: &str, now: Timestamp) -> Result<KeyStatus, KeysError> {
        let found = self.list(now).await?.into_iter().find(|status| status.key.kid == kid);
        Ok(found.ok_or_else(|| Refusal::Unknown(kid.to_owned()))?)
    }

    /// The public half of the key named `kid`; [`Refusal::Unknown`] where there is none.
    pub(crate) async fn load_public(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<PublicKey, KeysError> {
        Ok(self.load(kid, now).await?.key.public()?)
    }

    /// Plans when the next key of `algorithm`, or of the one that signs by default, takes over.
    pub(crate) async fn rotate(
        &self,
        algorithm: Option<Algorithm>,
        activation: &Activation,
        by: &Initiator,
    ) -> Result<Handover, KeyChangeError> {
        activation.grounds.check()?;
        // Makes sure that a spare exists.
        self.maintain(by.at).await?;
        let policy = self.keys.policy();
        let algorithm = algorithm.unwrap_or(policy.algorithms.default);
        let lifetime = self.token_lifetime().await?;
        let lead = activation.lead(policy);
        let handover = self.keys.rotate(algorithm, lead, lifetime, by.at).await?;
        let detail = activation.grounds.explain(format_args!("signs from {}", handover.at));
        self.record(Kind::KeyRotated, &handover.kid, detail, by).await;
        self.notify_instances().await;
        Ok(handover)
    }

    /// Retires a key that is not needed; by force, also one whose tokens can be alive. Returns the
    /// key in its new state.
    pub(crate) async fn retire(
        &self,
        kid: &str,
        grounds: &Grounds,
        by: &Initiator,
    ) -> Result<KeyStatus, KeyChangeError> {
        grounds.check()?;
        let lifetime = self.token_lifetime().await?;
        if grounds.forced && self.is_retiring(kid, by.at).await? {
            // The key's tokens end with it. They are recorded first: an administrator can repeat a
            // retirement that is interrupted after this.
            self.around.revocations.ensure_key(kid, by.at).await?;
        }
        let leaves_at = self.keys.retire(kid, grounds.forced, lifetime, by.at).await?;
        let detail = match leaves_at > by.at {
            true => format!("signs no longer, leaves JWKS at {leaves_at}"),
            false => "left JWKS".into(),
        };
        self.record(Kind::KeyWithdrawn, kid, grounds.explain(detail), by).await;
        self.make_spare(by.at).await;
        self.notify_instances().await;
        Ok(self.load(kid, by.at).await?)
    }

    async fn is_retiring(&self, kid: &str, now: Timestamp) -> Stored<bool> {
        let keys = self.keys.list(now).await?;
        Ok(keys.iter().any(|key| key.kid == kid && key.times.state(now) == State::Retiring))
    }

    /// Vouches for a row that does not verify, and records the reason: its key is published again.
    /// Returns what was adopted, and the key in its new state.
    pub(crate) async fn adopt(
        &self,
        kid: &str,
        reason: &str,
        by: &Initiator,
    ) -> Result<(Adopted, KeyStatus), KeyChangeError> {
        let grounds = Grounds::forced(reason);
        grounds.check()?;
        let adopted = self.keys.adopt(kid, self.token_lifetime().await?, by.at).await?;
        self.record(Kind::KeyAdopted, kid, grounds.explain(&adopted), by).await;
        self.notify_instances().await;
        Ok((adopted, self.load(kid, by.at).await?))
    }

    /// Seals all private keys under the newest key-encryption key.
    pub(crate) async fn rewrap(&self, by: &Initiator) -> Result<Rewrapped, KeyChangeError> {
        let rewrapped = self.keys.rewrap().await?;
        let detail = format!("{} sealed anew", rewrapped.rewrapped);
        self.record(Kind::KeysRewrapped, &rewrapped.sealed_under, detail, by).await;
        self.notify_instances().await;
        Ok(rewrapped)
    }

    /// Makes the next spare if one was used, unless a key does not open: a spare made under
    /// a wrong key-encryption key would be lost. If that fails, a background job repeats it.
    async fn make_spare(&self, now: Timestamp) {
        if self.keys.check_all_open(now).await.is_ok()
            && let Err(error) = self.maintain(now).await
        {
            tracing::warn!(%error, "the next spare key was not made yet");
        }
    }

    async fn notify_instances(&self) {
        self.around.notices.send(KEYS_CHANGED).await;
    }

    async fn token_lifetime(&self) -> Stored<Duration> {
        longest_token_life(self.access_token_lifetime, &self.around.clients).await
    }

    async fn record(&self, kind: Kind, kid: &str, detail: String, by: &Initiator) {
        self.around.audit.record(Event::new(kind, by).about(kid).detail(detail)).await;
    }
}

/// Returns the longest lifetime that an access token can have, plus the leeway of verifiers.
async fn longest_token_life(usual: Duration, clients: &ClientStore) -> Stored<Duration> {
    let own = clients.longest_access_token_lifetime().await?.unwrap_or(0);
    Ok(usual.max(Duration::from_secs(own.max(0).unsigned_abs())) + LEEWAY)
}
