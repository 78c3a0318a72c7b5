//! PostgreSQL servers of the tests' own, in temporary folders and on free ports.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, free_port, poll, program};
use super::reaper;

/// A running server; ends with this value.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    durable: bool,
    process: Option<Process>,
    databases: AtomicU32,
}

impl Postgres {
    /// A server of the test's own, which keeps what it committed when it is killed.
    pub fn start() -> Self {
        Self::create(true)
    }

    /// One server for all tests that only need a database: making one takes seconds.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::create(false));
        &SHARED
    }

    fn create(durable: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("signet-pg-").tempdir().expect("a folder");
        reaper::remove_at_exit(folder.path());
        if let Some((uid, gid)) = unprivileged_user() {
            chown(folder.path(), Some(uid), Some(gid)).expect("root can give folders away");
        }
        let output = command("initdb", folder.path())
            .args(["--no-sync", "--auth=trust", "--username=signet", "--encoding=UTF8"])
            .args(["--locale=C", "--pgdata"])
            .arg(folder.path().join("data"))
            .output()
            .expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let port = free_port();
        let mut server =
            Self { folder, port, durable, process: None, databases: AtomicU32::new(0) };
        server.restart();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From the next start on it also speaks TLS, with `name.pem` and `name.key` of `folder`.
    pub fn speak_tls(&self, folder: &Path, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        for (ending, file) in [("pem", "server.crt"), ("key", "server.key")] {
            let to = self.folder.path().join("data").join(file);
            std::fs::copy(folder.join(format!("{name}.{ending}")), &to).expect("a copy");
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&to, mode).expect("the owner may");
            if let Some((uid, gid)) = unprivileged_user() {
                chown(&to, Some(uid), Some(gid)).expect("root can give files away");
            }
        }
        let file = self.folder.path().join("data/postgresql.auto.conf");
        let settings = std::fs::read_to_string(&file).expect("settings");
        std::fs::write(&file, format!("{settings}ssl = on\n")).expect("settings");
    }

    /// The address of the database that every server has.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://signet@127.0.0.1:{}/{database}", self.port)
    }

    /// A new empty database; returns its address.
    pub fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run_client("createdb", &[&name]);
        self.url_of(&name)
    }

    /// Runs SQL in the database at `url`; returns what psql prints, columns apart by `|`.
    pub fn sql(&self, url: &str, sql: &str) -> String {
        self.run_client("psql", &["-d", url, "-v", "ON_ERROR_STOP=1", "-qAtc", sql])
    }

    fn run_client(&self, name: &str, arguments: &[&str]) -> String {
        let output = command(name, self.folder.path())
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "signet")
            .args(arguments)
            .output()
            .expect("PostgreSQL's own client runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it speaks UTF-8").trim_end().to_owned()
    }

    /// Stops it as an operator would: clients are cut off, nothing is lost.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::INT);
            assert!(process.wait(Duration::from_secs(20)).is_some(), "PostgreSQL does not stop");
        }
    }

    /// Kills it and all of its children, without a chance to say goodbye.
    pub fn kill(&mut self) {
        // Its children notice the death of their parent by themselves.
        drop(self.process.take());
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn freeze(&mut self) {
        self.signal_all(Signal::STOP);
    }

    /// Ends a freeze.
    pub fn thaw(&mut self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&mut self, signal: Signal) {
        let process = self.process.as_mut().expect("it runs");
        // A child forked between listing and stopping is impossible once the parent is stopped.
        process.signal(signal);
        for child in children_of(process.id()) {
            let pid = rustix::process::Pid::from_raw(child as i32).expect("a process number");
            // One that has ended meanwhile is as silent as can be.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Starts it again, on the same port and with the same data.
    pub fn restart(&mut self) {
        self.process = None;
        let mut command = command("postgres", self.folder.path());
        command.arg("-D").arg(self.folder.path().join("data"));
        for setting in [
            &format!("port={}", self.port),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "shared_buffers=32MB",
            "logging_collector=off",
        ] {
            command.args(["-c", setting]);
        }
        if !self.durable {
            command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
            command.args(["-c", "synchronous_commit=off"]);
        }
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut process = Process::spawn(&mut command, "QUIT");
        let ready = poll(Duration::from_secs(30), || {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(process.ended().is_none(), "PostgreSQL did not start: {log}");
            log.contains("ready to accept connections").then_some(())
        });
        assert!(ready.is_some(), "PostgreSQL does not become ready");
        self.process = Some(process);
    }
}

fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program(name, installed_folders()));
    // English messages: one of them tells that the server is ready.
    command.current_dir(folder).env("LC_ALL", "C").env("PGCONNECT_TIMEOUT", "10");
    if let Some((uid, gid)) = unprivileged_user() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Where Debian and its kin keep the server's programs, newest first.
fn installed_folders() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut folders: Vec<_> =
        versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// PostgreSQL refuses to run as root: the user and group to become, if that is who we are.
pub(super) fn unprivileged_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("the list of users is readable");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user to run PostgreSQL as"))
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("the process list");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The second field is the name in brackets and may hold anything.
            let rest = status.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
            rest.split(' ').nth(1).and_then(|field| field.parse().ok()) == Some(parent)
        })
        .collect()
}
