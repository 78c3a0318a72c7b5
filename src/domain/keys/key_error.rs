//! Errors of unusable keys.

use super::algorithm::Algorithm;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot make a key for {0}")]
    Generate(Algorithm),
    #[error("not a usable key: {0}")]
    Malformed(&'static str),
    #[error("the private and the public part of the key do not match")]
    Mismatch,
}
