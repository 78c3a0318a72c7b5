//! Where the formats put what they read: users in batches, and what else was noticed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use super::fields::Fields;
use super::rules::{Rules, Warning};
use crate::domain::users::import::ImportedUser;

/// How many users are stored in one step: few enough for a short write lock, and for the pages that
/// they change to fit into SQLite's cache.
const BATCH: usize = 100;
/// A batch of long records ends sooner.
const BATCH_BYTES: usize = 1024 * 1024;
/// One user of the file, or why it is none.
pub(super) struct Entry {
    /// The line, or the number of the record in a dump.
    pub place: u64,
    /// The address as it is written, if there is one.
    pub email: String,
    pub user: Result<ImportedUser, String>,
    /// What the user comes in without.
    pub warnings: Vec<Warning>,
}

/// What was noticed beside the users. Bounded, however long the file.
#[derive(Default)]
pub(super) struct Noticed {
    /// Records of other models, by model.
    pub skipped: BTreeMap<String, u64>,
    /// Superusers who were not made administrators.
    pub superusers: u64,
    /// Groups of users and roles that make no role.
    pub groups: BTreeSet<String>,
}

/// More names are no file that anybody has.
const MAX_NOTICED: usize = 1000;

impl Noticed {
    /// Counts a record of `model`, which is no user.
    pub(super) fn skip(&mut self, model: &str) {
        if self.skipped.len() < MAX_NOTICED || self.skipped.contains_key(model) {
            *self.skipped.entry(model.to_owned()).or_default() += 1;
        }
    }

    /// Takes note of a group or role that makes no role.
    pub(super) fn leave_out(&mut self, name: String) {
        if self.groups.len() < MAX_NOTICED {
            self.groups.insert(name);
        }
    }
}

/// Where the formats put what they read.
pub(super) struct Sink {
    batch: Vec<Entry>,
    bytes: usize,
    sender: mpsc::Sender<Vec<Entry>>,
}

impl Sink {
    /// A sink that hands its batches to `sender`.
    pub(super) fn new(sender: mpsc::Sender<Vec<Entry>>) -> Self {
        Self { batch: Vec::new(), bytes: 0, sender }
    }

    /// Takes an entry that was `bytes` long; fails when nobody waits for it any more.
    fn push(&mut self, entry: Entry, bytes: usize) -> Result<()> {
        self.batch.push(entry);
        self.bytes += bytes;
        if self.batch.len() < BATCH && self.bytes < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    /// Takes what is said of the user at `place`, who is called `email` in the report, and checks it.
    pub(super) fn check(
        &mut self,
        place: u64,
        email: String,
        fields: Result<Fields, String>,
        rules: &Rules,
        bytes: usize,
    ) -> Result<()> {
        let mut warnings = Vec::new();
        let user = fields.and_then(|fields| fields.check(rules, &mut warnings));
        self.push(Entry { place, email, user, warnings }, bytes)
    }

    /// Hands over what is left.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(batch).ok().context("the import has ended")
    }
}
