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

use super::{django, lines, source, table};
use crate::time::Timestamp;
use crate::users::import::ImportedUser;

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
    /// What a Django project's dumpdata writes.
    Django,
}

impl Format {
    /// By the end of the file's name.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Django),
            _ => None,
        }
    }

    /// What the places that a report names are.
    pub fn place(self) -> &'static str {
        if self == Self::Django { "record" } else { "line" }
    }
}

/// What is to be read, and how.
#[derive(Clone)]
pub struct Job {
    pub path: PathBuf,
    pub format: Format,
    pub django: django::Options,
    pub now: Timestamp,
}

/// One user of the file, or why it is none.
pub struct Entry {
    /// The line, or the number of the record in a dump.
    pub place: u64,
    /// The address as it is written, if there is one.
    pub email: String,
    pub user: Result<ImportedUser, String>,
}

/// What was noticed beside the users. Bounded, however long the file.
#[derive(Default)]
pub struct Noticed {
    /// Records of other models, by model.
    pub skipped: BTreeMap<String, u64>,
    /// Superusers who were not made administrators.
    pub superusers: u64,
    /// Groups of users that make no role.
    pub groups: BTreeSet<String>,
}

/// Where the formats put what they read.
pub struct Sink {
    batch: Vec<Entry>,
    bytes: usize,
    sender: mpsc::Sender<Vec<Entry>>,
}

impl Sink {
    /// Takes an entry that was `bytes` long; fails when nobody waits for it any more.
    pub fn push(&mut self, entry: Entry, bytes: usize) -> Result<()> {
        self.batch.push(entry);
        self.bytes += bytes;
        if self.batch.len() < BATCH && self.bytes < BATCH_BYTES { Ok(()) } else { self.flush() }
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
            let result = match job.format {
                Format::Jsonl => lines::read(reader, job.now, &mut sink),
                Format::Csv => table::read(reader, job.now, &mut sink),
                Format::Django => django::read(reader, &job, &mut sink, &mut noticed),
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
