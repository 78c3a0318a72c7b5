//! Where an import reads from: a file or standard input, its bytes counted for the progress line,
//! and no record of it ever held in memory beyond a bound.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

pub(super) type Reader = BufReader<Box<dyn Read + Send>>;

pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// How many bytes there are to read, where that is known.
pub(super) fn length(path: &Path) -> Option<u64> {
    let metadata = if is_stdin(path) { None } else { path.metadata().ok() };
    metadata.filter(|metadata| metadata.is_file()).map(|metadata| metadata.len())
}

/// Opens a file, or standard input; adds to `count` what is read of it. UTF-8 only, with or
/// without the mark that some editors put at the start.
pub(super) fn open(path: &Path, count: Arc<AtomicU64>) -> Result<Reader> {
    let mut inner: Box<dyn Read + Send> = if is_stdin(path) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
    };
    let mut start = Vec::with_capacity(3);
    let read = inner.by_ref().take(3).read_to_end(&mut start);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if start.starts_with(&[0xfe, 0xff]) || start.starts_with(&[0xff, 0xfe]) {
        bail!("{} is in UTF-16: save it as UTF-8", path.display());
    }
    if start == "\u{feff}".as_bytes() {
        start.clear();
    }
    let counted = Counted { inner: Cursor::new(start).chain(inner), count };
    Ok(BufReader::with_capacity(64 * 1024, Box::new(counted)))
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// How much more may be read before the present record is too long. A parser that reads on until a
/// record ends would otherwise hold whatever a broken file makes it hold.
#[derive(Clone)]
pub(super) struct Allowance {
    longest: u64,
    left: Rc<Cell<u64>>,
    exceeded: Rc<Cell<bool>>,
}

impl Allowance {
    pub(super) fn new(longest: u64) -> Self {
        Self { longest, left: Rc::new(Cell::new(longest)), exceeded: Rc::default() }
    }

    pub(super) fn renew(&self) {
        self.left.set(self.longest);
    }

    /// The rest of this record is not kept, so it may be of any length.
    pub(super) fn lift(&self) {
        self.left.set(u64::MAX);
    }

    pub(super) fn used(&self) -> usize {
        self.longest.saturating_sub(self.left.get()) as usize
    }

    /// Whether a record was too long, which is why reading failed.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    pub(super) fn limit<R: Read>(&self, reader: R) -> impl Read + use<R> {
        Limited { reader, allowance: self.clone() }
    }
}

struct Limited<R> {
    reader: R,
    allowance: Allowance,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.allowance.left.get().checked_sub(read as u64) {
            Some(left) => self.allowance.left.set(left),
            None => {
                self.allowance.exceeded.set(true);
                return Err(io::Error::other("the record is too long"));
            }
        }
        Ok(read)
    }
}
