//! Real clients that know nothing of Signet but the issuer's address.

mod django;
mod docs_page;
pub mod fastapi;
mod hashes;
mod jwks_client;
mod revocation_drill;
mod rotation_under_load;
mod streams;
pub mod verifiers;

use std::path::{Path, PathBuf};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop")
}

/// Python with the packages of requirements.txt.
pub fn python() -> PathBuf {
    installed(".venv/bin/python")
}

/// A file that scripts/test installs; the test fails where it is missing.
pub fn installed(path: &str) -> PathBuf {
    let file = folder().join(path);
    assert!(file.exists(), "{} is missing: run scripts/test --setup", file.display());
    file
}
