//! The key-encryption key: from the configuration, or from a file that a development start makes.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::base::random::Random;
use crate::base::sealing::{SealingKey, SealingKeys};
use crate::base::secret::Secret;

#[derive(Debug, thiserror::Error)]
pub(crate) enum EncryptionKeyError {
    #[error("the key-encryption key {0} is not 32 bytes of base64 (several: the newest first)")]
    Malformed(String),
    #[error("{0} can be read by others: run chmod 600 on it")]
    Exposed(PathBuf),
    #[error("cannot use {0}")]
    File(PathBuf, #[source] io::Error),
}

/// Reads the keys that were given in the configuration, the newest first.
pub(crate) fn parse(text: &Secret<String>) -> Result<SealingKeys, EncryptionKeyError> {
    SealingKeys::parse(text.expose())
        .ok_or_else(|| EncryptionKeyError::Malformed("in keys.encryption_key".into()))
}

/// The file in `directory` that holds the key of a development start.
fn file_in(directory: &Path) -> PathBuf {
    directory.join("encryption.key")
}

/// Reads the keys from `directory`, the newest first; `None` when it has none.
pub(crate) fn find(directory: &Path) -> Result<Option<SealingKeys>, EncryptionKeyError> {
    let path = file_in(directory);
    let text = match fs::read_to_string(&path) {
        Ok(text) => Secret::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EncryptionKeyError::File(path, error)),
    };
    let mode = fs::metadata(&path)
        .map_err(|error| EncryptionKeyError::File(path.clone(), error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(EncryptionKeyError::Exposed(path));
    }
    let keys = SealingKeys::parse(text.expose());
    keys.map(Some).ok_or_else(|| EncryptionKeyError::Malformed(format!("in {}", path.display())))
}

/// Makes a key in `directory`, mode 0600. If another process was first, its key is read.
pub(crate) fn create(directory: &Path, random: &Random) -> Result<SealingKeys, EncryptionKeyError> {
    let path = file_in(directory);
    let failed = |error| EncryptionKeyError::File(path.clone(), error);
    fs::create_dir_all(directory).map_err(failed)?;
    // The file is written beside and then linked, so that a reader never sees half a key, and the
    // first writer wins.
    let draft = directory.join(format!(".encryption.key.{}", random.uuid()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", SealingKey::generate(random).expose())?;
        file.sync_all()?;
        match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let _ = fs::remove_file(&draft);
    written.map_err(failed)?;
    find(directory)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let random = Random::system();
        assert!(find(folder.path()).unwrap().is_none());
        let made = create(folder.path(), &random).unwrap();
        assert_eq!(create(folder.path(), &random).unwrap().newest().id(), made.newest().id());
        assert_eq!(find(folder.path()).unwrap().unwrap().newest().id(), made.newest().id());
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no draft is left behind");

        let path = file_in(folder.path());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(find(folder.path()), Err(EncryptionKeyError::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(find(folder.path()), Err(EncryptionKeyError::Malformed(_))));
    }
}
