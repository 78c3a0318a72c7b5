//! Child processes that cannot be left behind, free ports, and programs looked for on the machine.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::reaper;

/// A child that dies with this value, and with the test process in any case.
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; `last_signal` is what ends it cleanly when the tests are gone.
    pub fn spawn(command: &mut Command, last_signal: &str) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        reaper::watch(child.id(), last_signal);
        Self { child, ended: None }
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
            if self.ended.is_some() {
                reaper::forget(self.child.id());
            }
        }
        self.ended
    }

    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("the child can be signalled");
        }
    }

    /// Waits for the end; `None` when it takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        poll(limit, || self.ended())
    }

    /// Ends it without a chance to clean up, frozen or not.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10)).expect("KILL cannot be refused");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until there is an answer, at most for `limit`.
pub fn poll<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same for what has to be waited for itself.
pub async fn poll_async<T>(limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port that nobody listens on, never given twice, from below the range that outgoing
/// connections take theirs from: a server can be stopped and started on it again.
pub fn free_port() -> u16 {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let mut given = GIVEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let random = signet::base::random::Random::system().bytes::<2>();
        let port = 10_000 + u16::from_le_bytes(random) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && given.insert(port) {
            return port;
        }
    }
}

/// The program `name`, from `folders` or the path; the test fails with how to install it.
pub fn program(name: &str, folders: Vec<PathBuf>) -> PathBuf {
    program_of(&[name], folders)
}

/// The same for a program that goes by several names.
pub fn program_of(names: &[&str], folders: Vec<PathBuf>) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = folders.into_iter().chain(std::env::split_paths(&path)).collect();
    let files = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    files.into_iter().find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("{} is not installed: run scripts/test, which installs it", names[0])
    })
}
