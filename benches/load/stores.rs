//! PostgreSQL and Redis for a run: real servers on free ports, with the settings that keep data
//! safe, in folders that go away with them.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::signet::free_port;

const PATIENCE: Duration = Duration::from_secs(30);

/// Both servers; they end with this value.
pub struct Stores {
    _postgres: Process,
    _redis: Process,
    pub postgres_url: String,
    pub redis_url: String,
}

impl Stores {
    /// Starts both, on the core of the caller.
    pub fn start() -> Result<Self> {
        let (postgres, postgres_url) = start_postgres()?;
        let (redis, redis_url) = start_redis()?;
        Ok(Self { _postgres: postgres, _redis: redis, postgres_url, redis_url })
    }
}

/// A server process and its folder.
struct Process {
    child: Child,
    stop: Signal,
    folder: TempDir,
}

impl Process {
    fn start(mut command: Command, folder: TempDir, stop: Signal) -> Result<Self> {
        let log = fs::File::create(folder.path().join("server.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, stop, folder })
    }

    /// Waits until `is_ready` says so.
    fn wait(&mut self, is_ready: impl Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_ready() {
            let ended = self.child.try_wait()?.is_some();
            if ended || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.path().join("server.log"));
                bail!("a store did not start: {}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What cannot be stopped any more has stopped.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, self.stop);
        }
        let _ = self.child.wait();
    }
}

fn start_redis() -> Result<(Process, String)> {
    let folder = tempfile::Builder::new().prefix("signet-bench-redis-").tempdir()?;
    let port = free_port()?.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "everysec"]);
    command.args(["--maxmemory-policy", "noeviction", "--dir"]).arg(folder.path());
    let mut process = Process::start(command, folder, Signal::TERM)?;
    let url = format!("redis://127.0.0.1:{port}");
    let client = redis::Client::open(url.as_str())?;
    process.wait(|| client.get_connection().is_ok())?;
    Ok((process, url))
}

fn start_postgres() -> Result<(Process, String)> {
    let folder = tempfile::Builder::new().prefix("signet-bench-postgres-").tempdir()?;
    let programs = postgres_programs()?;
    let owner = postgres_owner()?;
    if let Some((uid, gid)) = owner {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    let data = folder.path().join("data");
    let command = |name: &str| {
        let mut command = Command::new(programs.join(name));
        command.current_dir(folder.path());
        if let Some((uid, gid)) = owner {
            command.uid(uid).gid(gid);
        }
        command
    };

    let mut initdb = command("initdb");
    initdb.args(["--auth=trust", "--username=signet", "--encoding=UTF8", "--locale=C", "-D"]);
    let output = initdb.arg(&data).stdin(Stdio::null()).output().context("running initdb")?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    }

    let port = free_port()?.to_string();
    let mut server = command("postgres");
    server.arg("-D").arg(&data).args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
    server.args(["-c", "unix_socket_directories="]);
    // An immediate shutdown: nobody will read this database again.
    let mut process = Process::start(server, folder, Signal::QUIT)?;
    process.wait(|| accepts_connections(&programs, &port))?;
    Ok((process, format!("postgres://signet@127.0.0.1:{port}/postgres")))
}

fn accepts_connections(programs: &Path, port: &str) -> bool {
    let mut command = Command::new(programs.join("pg_isready"));
    command.args(["-q", "-h", "127.0.0.1", "-p", port]).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The folder of PostgreSQL's programs: the newest of Debian's, or wherever PATH has them.
fn postgres_programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = debian.collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    let has_all = |folder: &PathBuf| folder.join("initdb").exists();
    folders.into_iter().find(has_all).context("PostgreSQL is not installed (no initdb found)")
}

/// Whom PostgreSQL shall run as: it refuses root. `None` is the caller.
fn postgres_owner() -> Result<Option<(u32, u32)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("reading the accounts")?;
    let find = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
        Some((ids.next()??, ids.next()??))
    };
    let owner = find("postgres").or_else(|| find("nobody"));
    owner.map(Some).context("no account that PostgreSQL may run as")
}
