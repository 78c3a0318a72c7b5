//! The rules that the keys of an installation follow.

use std::time::Duration;

use super::algorithm::Algorithm;
use super::chain::Rules;
use crate::base::time::Timestamp;

/// The rules for signing keys. `publish_ahead` and `jwks_max_age` are visible to verifiers.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) algorithms: Algorithms,
    /// Size of new RSA keys: 2048, 3072 or 4096 bits.
    pub rsa_bits: u32,
    /// How long a key signs before the next one becomes active; `None` for no automatic rotation.
    pub rotate_every: Option<Duration>,
    /// How long a key is published before it signs.
    pub publish_ahead: Duration,
    /// `max-age` of the JWKS answer.
    pub jwks_max_age: Duration,
}

/// Which algorithm signs a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms {
    /// The algorithm of audiences that choose none.
    pub default: Algorithm,
    /// Audiences that choose another.
    pub by_audience: Vec<(String, Algorithm)>,
    /// Further algorithms whose keys are published.
    pub also: Vec<Algorithm>,
}

impl Algorithms {
    /// Every algorithm that has keys.
    pub fn all(&self) -> Vec<Algorithm> {
        let chosen = self.by_audience.iter().map(|(_, algorithm)| algorithm);
        let used: Vec<_> = chosen.chain(&self.also).chain([&self.default]).collect();
        Algorithm::ALL.into_iter().filter(|algorithm| used.contains(&algorithm)).collect()
    }

    /// The algorithm of a token for `audiences`: their choice, if all of them agree on one.
    pub fn of<'a>(&self, mut audiences: impl Iterator<Item = &'a str>) -> Algorithm {
        let choice = |audience: &str| {
            let chosen = self.by_audience.iter().find(|(name, _)| name == audience);
            chosen.map_or(self.default, |(_, algorithm)| *algorithm)
        };
        match audiences.next().map(choice) {
            Some(first) if audiences.all(|audience| choice(audience) == first) => first,
            _ => self.default,
        }
    }
}

/// How long the other instances may take to publish a new key.
const ROLLOUT: Duration = Duration::from_secs(5);
/// Some verifiers fetch JWKS for an unknown `kid` once in ten minutes only (Quarkus), and some not
/// before `max-age` is over. All of them can fetch a new key that becomes active later than that at
/// its first token, and slow roll-outs have [`HANDOVER_MARGIN`] more.
const MIN_HANDOVER: Duration = Duration::from_secs(15 * 60);
const HANDOVER_MARGIN: Duration = Duration::from_secs(30);
/// The interval in which verifiers with default settings (PyJWT, jose) refetch JWKS.
const MIN_PUBLISH_AHEAD: Duration = Duration::from_secs(30);

impl Policy {
    /// Checks that verifiers can follow. The error is the wrong setting, and a sentence about it.
    pub fn new(
        algorithms: Algorithms,
        rsa_bits: u32,
        rotate_every: Option<Duration>,
        publish_ahead: Duration,
        jwks_max_age: Duration,
    ) -> Result<Self, (&'static str, String)> {
        if ![2048, 3072, 4096].contains(&rsa_bits) {
            return Err(("rsa_bits", "must be 2048, 3072 or 4096".into()));
        }
        if jwks_max_age < Duration::from_secs(1) || jwks_max_age > Duration::from_secs(86_400) {
            return Err(("jwks_max_age", "must be from 1s to 1d".into()));
        }
        if publish_ahead < MIN_PUBLISH_AHEAD || publish_ahead < jwks_max_age {
            return Err((
                "publish_ahead",
                "must be at least 30s and at least keys.jwks_max_age, since verifiers that cache \
                 JWKS would receive tokens of a key that they do not have"
                    .into(),
            ));
        }
        if rotate_every.is_some_and(|every| every < publish_ahead + ROLLOUT) {
            let problem = "must be off or at least 5s more than publish_ahead";
            return Err(("rotate_every", problem.into()));
        }
        Ok(Self { algorithms, rsa_bits, rotate_every, publish_ahead, jwks_max_age })
    }

    /// The minimum of `publish_ahead`, unless an operator forces less.
    pub fn least_ahead(&self) -> Duration {
        (self.jwks_max_age + ROLLOUT).max(MIN_PUBLISH_AHEAD).min(self.publish_ahead)
    }

    /// How long after a revocation a new key becomes active, by default.
    pub fn handover_in(&self) -> Duration {
        self.jwks_max_age.max(MIN_HANDOVER) + HANDOVER_MARGIN
    }

    /// When every cache has a key that was published at `published_at`.
    pub fn in_all_caches(&self, published_at: Timestamp) -> Timestamp {
        published_at.plus(ROLLOUT + self.jwks_max_age)
    }

    /// These rules for the chains of keys; `token_lifetime` is the longest there is, with leeway.
    pub(super) fn rules(&self, token_lifetime: Duration) -> Rules {
        Rules {
            publish_ahead: self.publish_ahead,
            least_ahead: self.least_ahead(),
            rotate_every: self.rotate_every,
            token_lifetime,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_comes_later_than_every_cache_ends() {
        let algorithms =
            Algorithms { default: Algorithm::Rs256, by_audience: Vec::new(), also: Vec::new() };
        let second = Duration::from_secs;
        for (jwks_max_age, handover_in) in [(5, 930), (600, 930), (900, 930), (3600, 3630)] {
            let algorithms = algorithms.clone();
            let ahead = second(86_400);
            let policy = Policy::new(algorithms, 2048, None, ahead, second(jwks_max_age)).unwrap();
            assert_eq!(policy.handover_in(), second(handover_in), "{jwks_max_age}");
        }
    }

    #[test]
    fn an_audience_chooses_only_where_all_of_them_agree() {
        let algorithms = Algorithms {
            default: Algorithm::Rs256,
            by_audience: vec![
                ("a".into(), Algorithm::Es256),
                ("b".into(), Algorithm::Es256),
                ("c".into(), Algorithm::EdDsa),
            ],
            also: vec![Algorithm::Rs256],
        };
        for (audiences, chosen) in [
            (&[][..], Algorithm::Rs256),
            (&["x"], Algorithm::Rs256),
            (&["a"], Algorithm::Es256),
            (&["a", "b"], Algorithm::Es256),
            (&["a", "c"], Algorithm::Rs256),
            (&["a", "x"], Algorithm::Rs256),
        ] {
            assert_eq!(algorithms.of(audiences.iter().copied()), chosen, "{audiences:?}");
        }
        assert_eq!(algorithms.all(), [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]);
    }
}
