//! Reads a file on a thread of its own, in batches, while the batch before is stored. The channel in
//! between is short, so memory does not grow with the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::sync::mpsc;

use super::fields::Fields;
use super::rules::{Rules, Warning};
use super::{auth0, clerk, django, json, keycloak, lines, source, table};
use crate::domain::users::import::ImportedUser;

/// How many users are stored in one step: few enough for a short write lock, and for the pages that
/// they change to fit into SQLite's cache.
const BATCH: usize = 100;
/// A batch of long records ends sooner.
const BATCH_BYTES: usize = 1024 * 1024;
/// How many batches wait to be stored.
const WAITING: usize = 2;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A table with the names of its columns in the first line.
    Csv,
    /// A JSON array of the same objects.
    Json,
    /// What a Django project's dumpdata writes.
    Django,
    /// What Keycloak's export of a realm writes.
    Keycloak,
    /// What Auth0 exports, or takes.
    Auth0,
    /// What Clerk exports, as CSV or JSON.
    Clerk,
}

impl Format {
    /// By the end of the file's name. Of a JSON file its beginning tells whether it is a list of users
    /// or a Django dump.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "json" => {
                // What cannot be read twice is not looked into.
                let reader =
                    source::length(path).and_then(|_| source::open(path, Arc::default()).ok());
                match reader.is_some_and(json::is_list_of_users) {
                    true => Some(Self::Json),
                    false => Some(Self::Django),
                }
            }
            _ => None,
        }
    }

    /// What the places that a report names are.
    pub fn place(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Csv => "line",
            Self::Json | Self::Django | Self::Keycloak | Self::Auth0 | Self::Clerk => "record",
        }
    }
}

/// What is to be read, and how.
#[derive(Clone)]
pub struct Job {
    pub path: PathBuf,
    pub format: Format,
    pub django: django::Options,
    pub rules: Rules,
}

/// One user of the file, or why it is none.
pub struct Entry {
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
pub struct Noticed {
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
    pub fn skip(&mut self, model: &str) {
        if self.skipped.len() < MAX_NOTICED || self.skipped.contains_key(model) {
            *self.skipped.entry(model.to_owned()).or_default() += 1;
        }
    }

    /// Takes note of a group or role that makes no role.
    pub fn leave_out(&mut self, name: String) {
        if self.groups.len() < MAX_NOTICED {
            self.groups.insert(name);
        }
    }
}

/// Where the formats put what they read.
pub struct Sink {
    batch: Vec<Entry>,
    bytes: usize,
    sender: mpsc::Sender<Vec<Entry>>,
}

impl Sink {
    /// Takes an entry that was `bytes` long; fails when nobody waits for it any more.
    fn push(&mut self, entry: Entry, bytes: usize) -> Result<()> {
        self.batch.push(entry);
        self.bytes += bytes;
        if self.batch.len() < BATCH && self.bytes < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    /// Takes what is said of the user at `place`, who is called `email` in the report, and checks it.
    pub fn check(
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

    fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(batch).ok().context("the import has ended")
    }
}

/// A file being read.
pub struct Reading {
    pub batches: mpsc::Receiver<Vec<Entry>>,
    thread: JoinHandle<(Noticed, Result<()>)>,
}

impl Reading {
    /// Starts to read; `count` grows with the bytes.
    pub fn start(job: Job, count: Arc<AtomicU64>) -> Result<Self> {
        let reader = source::open(&job.path, count)?;
        let (sender, batches) = mpsc::channel(WAITING);
        let body = move || {
            let mut sink = Sink { batch: Vec::new(), bytes: 0, sender };
            let mut noticed = Noticed::default();
            let rules = &job.rules;
            let result = match job.format {
                Format::Jsonl => lines::read(reader, rules, &mut sink),
                Format::Csv => table::read(reader, rules, &mut sink),
                Format::Json => json::read(reader, rules, &mut sink),
                Format::Django => django::read(reader, &job, &mut sink, &mut noticed),
                Format::Keycloak => keycloak::read(reader, rules, &mut sink, &mut noticed),
                Format::Auth0 => auth0::read(reader, rules, &mut sink),
                Format::Clerk => clerk::read(reader, rules, &mut sink),
            };
            // What was read before a failure is good.
            let flushed = sink.flush();
            (noticed, result.and(flushed))
        };
        let thread = std::thread::Builder::new().name("reader".into()).spawn(body)?;
        Ok(Self { batches, thread })
    }

    /// What was noticed, and whether the file was read to its end. Only to be asked when there are
    /// no more batches: a thread that waits for its standard input waits for ever.
    pub fn end(self) -> (Noticed, Result<()>) {
        drop(self.batches);
        self.thread
            .join()
            .unwrap_or_else(|_| (Noticed::default(), Err(anyhow::anyhow!("reading failed"))))
    }
}
