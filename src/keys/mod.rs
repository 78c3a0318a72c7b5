//! Signing keys: made, sealed, published and rotated (RFC 7517, RFC 7638). Private parts leave the
//! database only sealed, and are parsed once into memory. Invariants: exactly one key of an
//! algorithm signs at any moment, and JWKS is never empty.

use std::time::Duration;

/// The rules of a signing key's life. `publish_ahead` and `jwks_max_age` are what verifiers see.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Size of new RSA keys: 2048, 3072 or 4096 bits.
    pub rsa_bits: u32,
    /// How long a key signs before the next takes over; `None` for never by itself.
    pub rotate_every: Option<Duration>,
    /// How long a key is published before it signs.
    pub publish_ahead: Duration,
    /// `max-age` of the JWKS answer.
    pub jwks_max_age: Duration,
}

impl Policy {
    /// Stock verifiers (PyJWT, jose) refetch JWKS no oftener than this.
    const MIN_PUBLISH_AHEAD: Duration = Duration::from_secs(30);

    /// Checks that verifiers can follow; the error is the sentence for the operator, with the
    /// name of the setting that is wrong.
    pub fn new(
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
        if publish_ahead < Self::MIN_PUBLISH_AHEAD || publish_ahead < jwks_max_age {
            return Err((
                "publish_ahead",
                "must be at least 30s and at least keys.jwks_max_age, or verifiers that cache \
                 JWKS meet tokens of a key they have not seen"
                    .into(),
            ));
        }
        if rotate_every.is_some_and(|every| every < publish_ahead * 2) {
            return Err(("rotate_every", "must be off or at least twice publish_ahead".into()));
        }
        Ok(Self { rsa_bits, rotate_every, publish_ahead, jwks_max_age })
    }
}
