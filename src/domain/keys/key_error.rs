//! Errors of unusable keys.

use super::algorithm::Algorithm;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system could not make one.
    #[error("cannot make a key for {0}")]
    Generate(Algorithm),
    /// The bytes are not such a key.
    #[error("not a usable key: {0}")]
    Malformed(&'static str),
    /// The private and the public part do not match.
    #[error("the private and the public part of the key do not match")]
    Mismatch,
}
