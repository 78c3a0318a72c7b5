//! The revocation of a key: it ends immediately, and a key that no verifier has seen becomes active
//! some time later. The first step waits for nothing, so that it works while no key can be made (an
//! HSM that hangs, a missing key-encryption key); the second is stored with it, as owed.

use std::time::Duration;

use super::{AddedKey, Because};
use crate::base::time::Timestamp;
use crate::domain::keys::chain::{Chain, Rules, ScheduledKey};
use crate::domain::keys::rotation::{State, Times};
use crate::domain::keys::store::StoredKey;
use crate::domain::keys::{Algorithm, Keys, KeysError, tag};

const A_SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Revoked {
    /// Whether another issuer made its tokens, so that their first issue is unknown here.
    pub only_verified: bool,
    /// When the key began to sign; `None` if it never did.
    pub signed_from: Option<Timestamp>,
    pub signed_until: Option<Timestamp>,
    pub active: Option<ScheduledKey>,
    /// The algorithm of the key that becomes active later.
    pub successor_of: Algorithm,
}

impl Revoked {
    /// The end at `now` of a key with these `times`, which leaves `chain`.
    pub(in crate::domain::keys) fn of(
        times: Times,
        only_verified: bool,
        successor_of: Algorithm,
        chain: &Chain,
        now: Timestamp,
    ) -> Self {
        let signed = times.state(now) != State::Pending && !only_verified;
        let signed_until = signed.then(|| times.deactivates_at.map_or(now, |at| at.min(now)));
        let signed_from = signed.then_some(times.activates_at);
        let active = chain.active(now).cloned();
        Self { only_verified, signed_from, signed_until, active, successor_of }
    }
}

impl Keys {
    /// Ends a compromised key immediately; if it is active, the spare signs from now on. A key that
    /// [`maintain`](Self::maintain) makes afterwards becomes active `handover_in` after its
    /// publication. Refuses more than 90 days.
    pub async fn revoke(
        &self,
        kid: &str,
        handover_in: Duration,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Revoked, KeysError> {
        let rules = self.policy.rules(token_lifetime);
        let stored = self.find_published(kid, now).await?;
        let algorithms = &self.policy.algorithms;
        let is_used = algorithms.all().contains(&stored.algorithm);
        let owe = |chain: &mut Chain| Ok(chain.owe(handover_in, now)?);
        if let Err(error) = tag::check(self.vault.sealing(), &stored) {
            let successor_of = if is_used { stored.algorithm } else { algorithms.default };
            let revoked = self.withdraw(stored, &error, now).await?;
            self.change(successor_of, None, None, now, owe).await?;
            return Ok(Revoked { successor_of, ..revoked });
        }
        if is_used {
            return self.revoke_in_chain(&stored, handover_in, &rules, now).await;
        }
        // No new key is made for its algorithm, so one of the default algorithm makes verifiers
        // fetch JWKS. It is requested before the change, so that it cannot be forgotten, and again
        // after it, so that no key published before the revocation serves for it.
        self.change(algorithms.default, None, None, now, owe).await?;
        let revoked = self.revoke_in_chain(&stored, handover_in, &rules, now).await?;
        self.change(algorithms.default, None, None, now, owe).await?;
        Ok(Revoked { successor_of: algorithms.default, ..revoked })
    }

    async fn revoke_in_chain(
        &self,
        stored: &StoredKey,
        handover_in: Duration,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Revoked, KeysError> {
        let kid = stored.kid.as_str();
        let revoke = |chain: &mut Chain, now: Timestamp| {
            let times = chain.find(kid)?.times;
            chain.revoke(kid, rules, now)?;
            chain.owe(handover_in, now)?;
            Ok(Revoked::of(times, stored.is_foreign(), stored.algorithm, chain, now))
        };
        let mut left = self.load_chain(stored.algorithm, now).await?;
        left.revoke(kid, rules, now)?;
        left.owe(handover_in, now)?;
        let is_used = self.policy.algorithms.all().contains(&stored.algorithm);
        let is_decided = self.check_decided(stored.algorithm, now).await.is_ok();
        if is_used && is_decided && left.active(now).is_none() {
            self.check_all_open(now).await?;
            return self.change_with_spare(stored.algorithm, rules, Some(kid), now, revoke).await;
        }
        // Nothing is needed first: the next spare can be made afterwards.
        let revoke = |chain: &mut Chain| revoke(chain, now);
        self.change(stored.algorithm, None, Some(kid), now, revoke).await
    }

    /// Makes the key that becomes active because another was revoked, if it is still owed.
    pub(super) async fn make_successor(
        &self,
        algorithm: Algorithm,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Option<AddedKey>, KeysError> {
        let chain = self.load_chain(algorithm, now).await?;
        let Some(owed) = chain.owed().filter(|_| chain.needs_successor(now)) else {
            return Ok(None);
        };
        let (new, mut now) = self.generate(algorithm, now).await?;
        if now == owed.since {
            // Times are whole seconds: one second later, no verifier can have seen the key before
            // the revocation.
            tokio::time::sleep(A_SECOND).await;
            now = now.plus(A_SECOND);
        }
        let kid = new.public.kid.clone();
        let succeed = |chain: &mut Chain| {
            let (kid, because) = (kid.clone(), Because::Revocation);
            let handover = chain.succeed(kid.clone(), rules, now);
            let added = |handover| AddedKey { kid, algorithm, handover: Some(handover), because };
            Ok(handover.map(added))
        };
        self.change(algorithm, Some(new), None, now, succeed).await
    }

    /// The successor in `algorithm` after the last revocation; `None` while it is not made.
    pub async fn find_successor(
        &self,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Option<ScheduledKey>, KeysError> {
        Ok(self.load_chain(algorithm, now).await?.successor().cloned())
    }
}
