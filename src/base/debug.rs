//! The inputs of a debug build from its tests: how far its clock is ahead, and RSA keys that were
//! made beforehand.
//!
//! Release builds are compiled without this file, and so without the variables it names.

use std::path::{Path, PathBuf};

/// The file that says by how many seconds the clock is ahead, if `SIGNET_CLOCK_FILE` names one.
pub(crate) fn clock_file() -> Option<PathBuf> {
    std::env::var_os("SIGNET_CLOCK_FILE").map(PathBuf::from)
}

/// The seconds that `file` holds; zero while it does not exist.
pub(crate) fn seconds_ahead(file: &Path) -> u64 {
    std::fs::read_to_string(file).map_or(0, |text| text.trim().parse().unwrap_or_default())
}

/// Takes an RSA key of 2048 bits, as a PKCS#8 document, from the folder that `SIGNET_READY_KEYS`
/// names. The key's file is removed, so that no other process takes it too. Returns `None` when no
/// key is left.
pub(crate) fn take_rsa_key() -> Option<Vec<u8>> {
    let folder = std::fs::read_dir(std::env::var_os("SIGNET_READY_KEYS")?).ok()?;
    folder.flatten().find_map(|entry| {
        let document = std::fs::read(entry.path()).ok()?;
        std::fs::remove_file(entry.path()).is_ok().then_some(document)
    })
}
