//! Reads a file on a thread of its own, in batches, while the batch before is stored. The channel in
//! between is short, so memory does not grow with the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use anyhow::Result;
use clap::ValueEnum;
use tokio::sync::mpsc;

use super::rules::Rules;
use super::sink::{Entry, Noticed, Sink};
use super::{auth0, clerk, django, keycloak, lines, records, source, table};

const WAITING: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
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
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "json" => {
                // What cannot be read twice is not looked into.
                let again = source::length(path);
                let reader = again.and_then(|_| source::open(path, Arc::default()).ok());
                let first = reader.and_then(records::first_of_array);
                let is_list = first.is_some_and(|first| !first.contains_key("model"));
                Some(if is_list { Self::Json } else { Self::Django })
            }
            _ => None,
        }
    }

    /// What the places that a report names are.
    pub(super) fn place(self) -> &'static str {
        if matches!(self, Self::Jsonl | Self::Csv) { "line" } else { "record" }
    }
}

pub(super) struct Job {
    pub path: PathBuf,
    pub format: Format,
    /// The user model of a Django dump; `None` for `auth.user`.
    pub django_model: Option<String>,
    /// Whether Django's superusers get the role that administers Signet.
    pub superusers_are_admins: bool,
    pub rules: Rules,
}

pub(super) struct Reading {
    pub batches: mpsc::Receiver<Vec<Entry>>,
    thread: JoinHandle<(Noticed, Result<()>)>,
}

impl Reading {
    /// Starts to read; `count` grows with the bytes.
    pub(super) fn start(job: Job, count: Arc<AtomicU64>) -> Result<Self> {
        let reader = source::open(&job.path, count)?;
        let (sender, batches) = mpsc::channel(WAITING);
        let body = move || {
            let mut sink = Sink::new(sender, job.rules.clone());
            let result = match job.format {
                Format::Jsonl => lines::read(reader, &mut sink),
                Format::Csv => table::read(reader, &mut sink),
                Format::Json => lines::read_array(reader, &mut sink),
                Format::Django => django::read(reader, &job, &mut sink),
                Format::Keycloak => keycloak::read(reader, &mut sink),
                Format::Auth0 => auth0::read(reader, &mut sink),
                Format::Clerk => clerk::read(reader, &mut sink),
            };
            // What was read before a failure is good.
            let flushed = sink.flush();
            (sink.noticed, result.and(flushed))
        };
        let thread = std::thread::Builder::new().name("reader".into()).spawn(body)?;
        Ok(Self { batches, thread })
    }

    /// What was noticed, and whether the file was read to its end. Only to be asked when there are
    /// no more batches: a thread that waits for its standard input waits for ever.
    pub(super) fn end(self) -> (Noticed, Result<()>) {
        drop(self.batches);
        self.thread
            .join()
            .unwrap_or_else(|_| (Noticed::default(), Err(anyhow::anyhow!("reading failed"))))
    }
}
