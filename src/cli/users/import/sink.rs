//! Where the formats put what they read: users in batches, and what else was noticed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::mpsc;

use super::fields::Fields;
use super::plain::plain;
use super::rules::{Rules, Warning};
use crate::domain::roles::check_role;
use crate::domain::users::import::ImportedUser;

/// How many users are stored in one step: few enough for a short write lock, and for the pages that
/// they change to fit into SQLite's cache.
const BATCH: usize = 100;
/// A batch of long records ends sooner.
const BATCH_BYTES: usize = 1024 * 1024;
/// More names are no file that anybody has.
const MAX_NOTICED: usize = 1000;

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
#[derive(Default, Serialize)]
pub(super) struct Noticed {
    /// Records of other models, by model.
    pub skipped: BTreeMap<String, u64>,
    /// Superusers who were not made administrators.
    pub superusers: u64,
    pub groups: BTreeSet<String>,
}

impl Noticed {
    /// Counts a record of `model`, which is no user.
    pub(super) fn skip(&mut self, model: &str) {
        let model = plain(model);
        if self.skipped.len() < MAX_NOTICED || self.skipped.contains_key(&model) {
            *self.skipped.entry(model).or_default() += 1;
        }
    }

    /// The role of a group or role of this name that `is_allowed`; of any other, takes note.
    pub(super) fn role(
        &mut self,
        name: String,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let role = name.to_lowercase();
        if check_role(&role).is_ok() && is_allowed(&role) {
            return Some(role);
        }
        if self.groups.len() < MAX_NOTICED {
            self.groups.insert(plain(&name));
        }
        None
    }
}

pub(super) struct Sink {
    batch: Vec<Entry>,
    bytes: usize,
    sender: mpsc::Sender<Vec<Entry>>,
    rules: Rules,
    pub noticed: Noticed,
}

impl Sink {
    pub(super) fn new(sender: mpsc::Sender<Vec<Entry>>, rules: Rules) -> Self {
        Self { batch: Vec::new(), bytes: 0, sender, rules, noticed: Noticed::default() }
    }

    /// Checks `bytes`, which describe the user at `place`, who is called `email` in the report;
    /// fails when the import has ended.
    pub(super) fn check(
        &mut self,
        place: u64,
        email: String,
        fields: Result<Fields, String>,
        bytes: usize,
    ) -> Result<()> {
        let mut warnings = Vec::new();
        let user = fields.and_then(|fields| fields.check(&self.rules, &mut warnings));
        self.batch.push(Entry { place, email, user, warnings });
        self.bytes += bytes;
        if self.batch.len() < BATCH && self.bytes < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(batch).ok().context("the import has ended")
    }
}
