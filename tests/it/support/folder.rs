//! The folder of an instance.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::keys::lay_ready;
use super::reaper;

/// The folder of an instance, and beside it what only a debug build reads (src/base/debug.rs).
pub(super) struct Folder {
    /// The folder that the instance works in.
    pub(super) own: PathBuf,
    beside: TempDir,
}

impl Folder {
    pub(super) fn new(keys: usize) -> Arc<Self> {
        let beside = tempfile::Builder::new().prefix("signet-it-").tempdir().expect("a folder");
        reaper::remove_at_exit(beside.path());
        let folder = Self { own: beside.path().join("own"), beside };
        std::fs::create_dir(&folder.own).expect("a folder");
        lay_ready(keys, &folder.ready_keys());
        Arc::new(folder)
    }

    /// The keys made beforehand.
    pub(super) fn ready_keys(&self) -> PathBuf {
        self.beside.path().join("keys")
    }

    /// What the instance that listens on `address` writes to its standard output and error; several
    /// may work in one folder.
    pub(super) fn output(&self, address: &str) -> PathBuf {
        self.beside.path().join(address)
    }

    /// Opens that file for the instance, which adds to it.
    pub(super) fn open_output(&self, address: &str) -> File {
        let file = File::options().append(true).create(true).open(self.output(address));
        file.expect("a file for the output")
    }

    /// Says how far the clock is ahead.
    pub(super) fn clock(&self) -> PathBuf {
        self.beside.path().join("clock")
    }
}
