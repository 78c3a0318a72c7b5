//! For development: each message becomes a file `<id>.eml`, which mail programs open. Only its owner
//! can read it, since it holds a token.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::{Message, NotTaken};

/// Writes `message` into `folder`, whole or not at all.
pub(super) async fn write(folder: &Path, message: &Message) -> Result<String, NotTaken> {
    let path = folder.join(format!("{}.eml", message.id));
    let (bytes, wanted) = (message.bytes.clone(), path.clone());
    let written = tokio::task::spawn_blocking(move || write_file(&wanted, &bytes)).await;
    let not_now = |error: String| {
        NotTaken::Now(format!("the file {} cannot be written: {error}", path.display()))
    };
    written
        .map_err(|error| not_now(error.to_string()))?
        .map_err(|error| not_now(error.to_string()))?;
    Ok(format!("written to {}", path.display()))
}

fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let unfinished = path.with_extension("part");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    std::fs::rename(unfinished, path)
}
