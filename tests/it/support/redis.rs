//! Redis servers of the tests' own, persistent and without eviction as Signet asks for.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, free_port, poll, program};
use super::reaper;

/// How many numbered databases the shared server has: one for each test that asks.
const DATABASES: u32 = 2048;

/// A running server; ends with this value.
pub struct Redis {
    folder: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    process: Option<Process>,
    databases: AtomicU32,
}

impl Redis {
    /// A server of the test's own, which flushes to disk once a second.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings of redis.conf added or replaced, such as `("appendfsync", "always")`.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("signet-redis-").tempdir().expect("a folder");
        reaper::remove_at_exit(folder.path());
        let mut all = vec![
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("maxmemory-policy", "noeviction"),
            ("save", ""),
        ];
        all.retain(|(name, _)| !settings.iter().any(|(replaced, _)| replaced == name));
        all.extend(settings);
        let settings = all.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let port = free_port();
        let mut server =
            Self { folder, port, settings, process: None, databases: AtomicU32::new(0) };
        server.restart();
        server
    }

    /// One server for all tests that only need a database and leave the others' alone.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Redis> =
            LazyLock::new(|| Redis::start_with(&[("databases", &DATABASES.to_string())]));
        &SHARED
    }

    /// Where its data lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From the next start on, a setting of redis.conf.
    pub fn change(&mut self, name: &str, value: &str) {
        self.settings.retain(|(set, _)| set != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The address of a numbered database that no other test is given.
    pub fn fresh_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        assert!(number < DATABASES, "the shared Redis has no database left");
        format!("{}/{number}", self.url())
    }

    /// Stops it as an operator would: what it knows is on disk.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            assert!(process.wait(Duration::from_secs(20)).is_some(), "Redis does not stop");
        }
    }

    /// Kills it, without a chance to write anything.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn freeze(&mut self) {
        self.process.as_mut().expect("it runs").signal(Signal::STOP);
    }

    /// Ends a freeze.
    pub fn thaw(&mut self) {
        self.process.as_mut().expect("it runs").signal(Signal::CONT);
    }

    /// Starts it again, on the same port and with the same data.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// The same without waiting for it to load its data.
    pub fn spawn(&mut self) {
        self.process = None;
        let mut command = Command::new(program("redis-server", Vec::new()));
        command.current_dir(self.folder.path());
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir", "."]);
        for (name, value) in &self.settings {
            command.arg(format!("--{name}")).args(value.split(' '));
        }
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        self.process = Some(Process::spawn(&mut command, "TERM"));
    }

    pub fn wait_until_ready(&mut self) {
        let process = self.process.as_mut().expect("it was started");
        let ready = poll(Duration::from_secs(20), || {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(process.ended().is_none(), "Redis did not start: {log}");
            let listens = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            (listens && log.contains("Ready to accept connections")).then_some(())
        });
        assert!(ready.is_some(), "Redis does not become ready");
    }
}
