//! One line on the terminal that says how far an import is; nothing where there is no terminal.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(200);

pub(super) struct Progress {
    read: Arc<AtomicU64>,
    length: Option<u64>,
    is_terminal: bool,
    start: Instant,
    shown: Option<Instant>,
}

impl Progress {
    pub(super) fn new(read: Arc<AtomicU64>, length: Option<u64>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { read, length, is_terminal, start: Instant::now(), shown: None }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Says that `users` are done, unless it was said a moment ago.
    pub(super) fn show(&mut self, users: u64) {
        if !self.is_terminal || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = describe(users, self.read.load(Ordering::Relaxed), self.length, self.elapsed());
        write(&format!("\r{line}\x1b[K"));
    }

    /// Takes the line away, so that something else can be said.
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            write("\r\x1b[K");
        }
    }
}

/// A terminal that has gone away does not stop an import.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn describe(users: u64, read: u64, length: Option<u64>, elapsed: Duration) -> String {
    let rate = users as f64 / elapsed.as_secs_f64().max(0.001);
    let Some(length) = length.filter(|length| *length > 0) else {
        return format!("{users} users, {rate:.0} a second");
    };
    let share = (read as f64 / length as f64).clamp(0.0, 1.0);
    let filled = (share * 30.0) as usize;
    let bar = "#".repeat(filled) + &"-".repeat(30 - filled);
    let left = elapsed.as_secs_f64() * (1.0 - share) / share.max(0.001);
    let (minutes, seconds) = (left as u64 / 60, left as u64 % 60);
    let percent = share * 100.0;
    format!(
        "[{bar}] {percent:3.0} %  {users} users, {rate:.0} a second, {minutes}:{seconds:02} left"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_far_how_fast_and_how_long_still() {
        let line = describe(5000, 250, Some(1000), Duration::from_secs(10));
        let bar = "[#######-----------------------]";
        assert_eq!(line, format!("{bar}  25 %  5000 users, 500 a second, 0:30 left"));
        let line = describe(5000, 1000, Some(1000), Duration::from_secs(10));
        assert!(line.contains("100 %") && line.ends_with("0:00 left"), "{line}");
        assert_eq!(describe(7, 70, None, Duration::from_secs(1)), "7 users, 7 a second");
        describe(0, 0, Some(0), Duration::ZERO);
        describe(0, 0, Some(9), Duration::ZERO);
    }
}
