//! How a PKCS#11 token is reached.

use std::path::PathBuf;

use crate::base::secret::Secret;

/// How a token is reached (PKCS#11).
#[derive(Clone, Debug)]
pub struct Pkcs11Config {
    /// The vendor's library.
    pub module: PathBuf,
    /// The label that the token was given when it was initialised.
    pub token_label: String,
    /// The PIN of its normal user.
    pub pin: Secret<String>,
}
