//! What is done to signing keys as a whole, by operators and by the service itself: the step in
//! [`crate::domain::keys`], how long tokens can live, and the audit event that says who did it and why.

mod adoption;
mod import;
mod reading;
mod revocation;
mod revocations;
pub mod view;

use std::collections::HashSet;
use std::time::Duration;

use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Audit, By, Event, Kind, Origin};
use crate::domain::clients::store::ClientStore;
use crate::domain::keys::adoption::Adoption;
use crate::domain::keys::chain::{Handover, PublishAhead};
use crate::domain::keys::changes::{AddedKey, Because};
use crate::domain::keys::import::ImportError;
use crate::domain::keys::rotation::State;
use crate::domain::keys::store::StoredKey;
use crate::domain::keys::{
    Algorithm, Keys, KeysError, Opening, Policy, PublicKey, Rewrapped, Vault,
};
use crate::domain::revocations::Revocations;
use crate::domain::tokens::LEEWAY;
use crate::storage::{Db, StorageError};

pub use import::{Brought, Import};
pub use reading::{ReadError, StoredKeys};
pub use revocation::{RevocationView, Revoke};
pub use view::{ImportView, KeyView, RewrapView, RotationView};

/// A step of a key that lies further back was told by whoever saw it, or nobody needs it any more.
const STEPS_TOLD_FOR: Duration = Duration::from_secs(7 * 86_400);

/// No token of another issuer should be good for longer.
const LONGEST_VERIFYING: Duration = Duration::from_secs(366 * 86_400);

/// By then, whoever did something to a key has told of it.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Why something was not done to a key.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The file.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// What is done against the rules has a reason, which is kept.
    #[error(
        "what is forced, and a revocation, needs a reason of 1 to 500 characters, which is kept \
         in the audit trail"
    )]
    NoReason,
    /// It would be gone at once, or never.
    #[error("a key that only verifies stays published for at least 1s and at most 366 days")]
    VerifyFor,
}

impl From<StorageError> for CustodyError {
    fn from(error: StorageError) -> Self {
        Self::Keys(error.into())
    }
}

/// How soon a key is to sign.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// After how long; `keys.publish_ahead` if `None`.
    pub activate_in: Option<Duration>,
    /// Whether it may be sooner than verifiers can follow, and why.
    pub why: Why,
}

/// The grounds of a step.
#[derive(Clone, Debug, Default)]
pub struct Why {
    /// Whether it is to be done against the rules; then there must be a reason.
    pub forced: bool,
    /// For people; kept in the audit trail.
    pub reason: Option<String>,
}

impl Why {
    fn check(&self) -> Result<(), CustodyError> {
        let is_reason = |reason: &String| {
            let length = reason.trim().chars().count();
            (1..=500).contains(&length) && !reason.chars().any(char::is_control)
        };
        let is_good = self.reason.as_ref().map_or(!self.forced, is_reason);
        if is_good { Ok(()) } else { Err(CustodyError::NoReason) }
    }

    /// What the audit trail keeps.
    fn after(&self, detail: impl std::fmt::Display) -> String {
        match &self.reason {
            Some(reason) => format!("{detail}; reason: {}", reason.trim()),
            None => detail.to_string(),
        }
    }
}

impl Turn {
    fn lead(&self, policy: &Policy) -> PublishAhead {
        match (self.activate_in, self.why.forced) {
            (None, false) => PublishAhead::Usual,
            (Some(wait), false) => PublishAhead::Shortened(wait),
            (wait, true) => PublishAhead::Forced(wait.unwrap_or(policy.publish_ahead)),
        }
    }
}

/// What custody looks into and writes to, beside the keys.
#[derive(Clone)]
pub struct Ledgers {
    /// How long their tokens live.
    pub clients: ClientStore,
    /// What siblings must hear.
    pub revocations: Revocations,
    /// What is kept of what was done.
    pub audit: Audit,
}

/// The signing keys and what is kept of what happens to them. Cheap to clone.
#[derive(Clone)]
pub struct Custody {
    /// The keys themselves.
    pub keys: Keys,
    clients: ClientStore,
    revocations: Revocations,
    audit: Audit,
    access_token_lifetime: Duration,
    /// What became of keys from before their rows were authenticated, if this process did that.
    pub adoption: Option<Adoption>,
}

impl Custody {
    /// Opens the keys of `db`, making the first ones where there is none.
    pub async fn open(
        db: &Db,
        vault: Vault,
        policy: Policy,
        ledgers: Ledgers,
        access_token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let Ledgers { clients, revocations, audit } = ledgers;
        let lifetime = longest_token_life(access_token_lifetime, &clients).await?;
        let (keys, opening) = Keys::open(db, vault, policy, lifetime, now).await?;
        let Opening { added: grown, adoption } = opening;
        let custody = Self { keys, clients, revocations, audit, access_token_lifetime, adoption };
        custody.tell_of(&grown, now).await;
        custody.record_adoption(now).await;
        Ok(custody)
    }

    /// Makes the keys that are needed now, and plans their turns. Returns how many it made.
    pub async fn maintain(&self, now: Timestamp) -> Result<usize, KeysError> {
        let grown = self.keys.maintain(self.token_lifetime().await?, now).await?;
        self.tell_of(&grown, now).await;
        Ok(grown.len())
    }

    /// Tells of the steps that keys came to by the passing of time, and, a while after, of what was
    /// done to them and not told by who did it. `told` remembers what this process knows to be told.
    pub async fn tell_steps(
        &self,
        told: &mut HashSet<(String, Kind)>,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        for key in self.keys.list(now).await? {
            for (kind, at) in steps(&key, now) {
                let step = (key.kid.clone(), kind);
                if at < now.minus(STEPS_TOLD_FOR) || told.contains(&step) {
                    continue;
                }
                let origin = Origin::default();
                let by = By { actor: Actor::System, origin: &origin };
                if self.audit.record_once(event(kind, &key.kid, None, &by), at).await {
                    told.insert(step);
                }
            }
        }
        self.record_unverified(told, now).await;
        Ok(())
    }

    /// All keys that are known, newest first.
    pub async fn list(&self, now: Timestamp) -> Result<Vec<KeyView>, StorageError> {
        Ok(view::of_all(self.keys.list(now).await?, self.keys.policy(), now))
    }

    /// The key named `kid`.
    pub async fn find(&self, kid: &str, now: Timestamp) -> Result<Option<KeyView>, StorageError> {
        Ok(self.list(now).await?.into_iter().find(|key| key.kid == kid))
    }

    /// The public half of the key named `kid`.
    pub async fn find_public(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<PublicKey>, KeysError> {
        let stored = self.keys.list(now).await?.into_iter().find(|key| key.kid == kid);
        Ok(stored.map(|stored| stored.public()).transpose()?)
    }

    /// Plans the turn of the next key of `algorithm`, or of the one that signs by default.
    pub async fn rotate(
        &self,
        algorithm: Option<Algorithm>,
        turn: &Turn,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<Handover, CustodyError> {
        turn.why.check()?;
        // So that a key waits to take over.
        self.maintain(now).await?;
        let algorithm = algorithm.unwrap_or(self.keys.policy().algorithms.default);
        let lead = turn.lead(self.keys.policy());
        let lifetime = self.token_lifetime().await?;
        let handover = self.keys.rotate(algorithm, lead, lifetime, now).await?;
        let detail = turn.why.after(format_args!("signs from {}", handover.at));
        self.record(Kind::KeyRotated, &handover.kid, detail, &by, now).await;
        Ok(handover)
    }

    /// Takes a key out that is not needed; with a reason, also one whose tokens can be alive.
    pub async fn retire(
        &self,
        kid: &str,
        why: &Why,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<(), CustodyError> {
        why.check()?;
        let lifetime = self.token_lifetime().await?;
        if why.forced && self.is_retiring(kid, now).await? {
            // Its tokens go with it. Told first: cut off after this, it can be asked for again.
            self.revocations.ensure_key(kid, now).await?;
        }
        let leaves_at = self.keys.retire(kid, why.forced, lifetime, now).await?;
        let detail = match leaves_at > now {
            true => format!("signs no longer, leaves JWKS at {leaves_at}"),
            false => "left JWKS".into(),
        };
        self.record(Kind::KeyWithdrawn, kid, why.after(detail), &by, now).await;
        self.make_spare(now).await;
        Ok(())
    }

    async fn is_retiring(&self, kid: &str, now: Timestamp) -> Result<bool, StorageError> {
        let keys = self.keys.list(now).await?;
        Ok(keys.iter().any(|key| key.kid == kid && key.times.state(now) == State::Retiring))
    }

    /// Seals all private keys under the newest key-encryption key.
    pub async fn rewrap(&self, by: By<'_>, now: Timestamp) -> Result<Rewrapped, CustodyError> {
        let rewrapped = self.keys.rewrap().await?;
        let detail = format!("{} sealed anew", rewrapped.rewrapped);
        self.record(Kind::KeysRewrapped, &rewrapped.sealed_under, detail, &by, now).await;
        Ok(rewrapped)
    }

    /// Makes the next spare where one was used up; not where a key-encryption key is missing, under
    /// which it would be lost. If it fails, whoever follows the keys makes it.
    async fn make_spare(&self, now: Timestamp) {
        if self.keys.check_all_open(now).await.is_ok()
            && let Err(error) = self.maintain(now).await
        {
            tracing::warn!(%error, "the next spare key was not made yet");
        }
    }

    async fn token_lifetime(&self) -> Result<Duration, StorageError> {
        longest_token_life(self.access_token_lifetime, &self.clients).await
    }

    async fn tell_of(&self, grown: &[AddedKey], now: Timestamp) {
        let origin = Origin::default();
        let by = By { actor: Actor::System, origin: &origin };
        for new in grown {
            let detail = match (&new.handover, new.because) {
                (Some(handover), Because::Revocation) => {
                    format!(
                        "for {}; signs from {}, since a key was revoked",
                        new.algorithm, handover.at
                    )
                }
                _ => format!("for {}", new.algorithm),
            };
            let created = event(Kind::KeyCreated, &new.kid, Some(detail), &by);
            self.audit.record_once(created, now).await;
            if let (Some(handover), Because::RotateEvery) = (&new.handover, new.because) {
                let detail = format!("signs from {}, by keys.rotate_every", handover.at);
                self.record(Kind::KeyRotated, &handover.kid, detail, &by, now).await;
            }
        }
    }

    async fn record(&self, kind: Kind, kid: &str, detail: String, by: &By<'_>, now: Timestamp) {
        self.audit.record(event(kind, kid, Some(detail), by), now).await;
    }
}

/// What is to be told of a key by now, and when it happened.
fn steps(key: &StoredKey, now: Timestamp) -> Vec<(Kind, Timestamp)> {
    let kind = |state| match state {
        State::Active => Kind::KeyActivated,
        State::Retiring => Kind::KeyDeactivated,
        State::Pending | State::Retired => Kind::KeyRetired,
    };
    let mut steps: Vec<_> =
        key.times.past(now).into_iter().map(|(state, at)| (kind(state), at)).collect();
    // Who did these tells more of them, unless it died at that moment.
    let told_by_now = |at: &Timestamp| at.plus(TOLD_WITHIN) < now;
    let made = Some(key.times.created_at).map(|at| (Kind::KeyCreated, at));
    let revoked = key.revoked_at.map(|at| (Kind::KeyRevoked, at));
    steps.extend([made, revoked].into_iter().flatten().filter(|(_, at)| told_by_now(at)));
    steps
}

fn event<'a>(kind: Kind, kid: &str, detail: Option<String>, by: &By<'a>) -> Event<'a> {
    Event {
        kind,
        actor: by.actor.clone(),
        subject: Some(kid.to_owned()),
        client_id: None,
        detail,
        origin: by.origin,
    }
}

/// The lifetime of the longest-lived access token there can be, with the leeway after which
/// nobody takes it for alive.
async fn longest_token_life(
    usual: Duration,
    clients: &ClientStore,
) -> Result<Duration, StorageError> {
    let own = clients.longest_access_token_lifetime().await?.unwrap_or(0);
    Ok(usual.max(Duration::from_secs(own.max(0).unsigned_abs())) + LEEWAY)
}
