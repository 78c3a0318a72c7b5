//! How to reach a PKCS#11 token.

use std::path::PathBuf;

use crate::base::secret::Secret;

/// How to reach a token (PKCS#11).
#[derive(Clone, Debug)]
pub struct Pkcs11Config {
    /// The vendor's library.
    pub module: PathBuf,
    /// The label of the token, given when it was initialised.
    pub token_label: String,
    /// The PIN of its normal user.
    pub pin: Secret<String>,
}
