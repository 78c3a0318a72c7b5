//! Reads a file on a thread of its own, in batches, while the batch before is stored. The channel in
//! between is short, so memory does not grow with the file.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use anyhow::Result;
use tokio::sync::mpsc;

use super::rules::{Format, Job};
use super::sink::{Entry, Noticed, Sink};
use super::{auth0, clerk, django, keycloak, lines, source, table};

const WAITING: usize = 2;

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
