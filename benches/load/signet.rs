//! Signet itself, as an operator meets it: the release binary in a folder of its own, prepared by
//! its command line, started and stopped as a process.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::clients::User;
use crate::cores::{Cores, resident_kib};
use crate::http::{BlockingConnection, get};
use crate::reference::JWKS_PATH;

const BINARY: &str = env!("CARGO_BIN_EXE_signet");

/// How long a start or a stop may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with everything that one Signet keeps, and the settings it is started with.
pub struct Installation {
    folder: TempDir,
    settings: Vec<(String, String)>,
    cores: Cores,
}

impl Installation {
    pub fn new(cores: Cores, settings: Vec<(String, String)>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("signet-bench-").tempdir()?;
        Ok(Self { folder, settings, cores })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.folder.path());
        // Settings of whoever runs the benchmark must not leak into it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SIGNET__") {
                command.env_remove(name);
            }
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs one command of the command line and returns what it printed.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context(BINARY)?;
        child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("signet {} failed: {error}", arguments.join(" "));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Creates the tables, without which nothing can be added yet.
    pub fn migrate(&self) -> Result<()> {
        self.run(&["migrate"], "").map(drop)
    }

    /// Registers a confidential client for `client_credentials` and introspection; returns its
    /// Authorization header.
    pub fn add_service_client(&self, id: &str) -> Result<String> {
        let arguments =
            ["clients", "add", id, "--confidential", "--grants", "client_credentials", "--json"];
        let output = self.run(&arguments, "")?;
        let client: serde_json::Value = serde_json::from_str(&output)?;
        let secret = client["client_secret"].as_str().context("no client_secret was printed")?;
        Ok(format!("Basic {}", base64(&format!("{id}:{secret}"))))
    }

    pub fn add_users(&self, count: usize) -> Result<Vec<User>> {
        let add = |number| {
            let user = User::numbered(number);
            let input = format!("{}\n", user.password);
            self.run(&["users", "add", &user.email, "--password-stdin"], &input)?;
            Ok(user)
        };
        (0..count).map(add).collect()
    }

    /// The same folder with other settings.
    pub fn with(self, settings: Vec<(String, String)>) -> Self {
        Self { settings, ..self }
    }

    /// The database that it keeps everything in.
    pub fn database_url(&self) -> String {
        let given = self.settings.iter().find(|(name, _)| name == "SIGNET__DATABASE__URL");
        let embedded = || format!("sqlite://{}/data/signet.db", self.folder.path().display());
        given.map_or_else(embedded, |(_, url)| url.clone())
    }

    /// Starts the service on the server's core, with one worker.
    pub fn start_pinned(&self) -> Result<Server> {
        self.start_pinned_at(SocketAddr::from(([127, 0, 0, 1], free_port()?)))
    }

    /// The same at this address.
    pub fn start_pinned_at(&self, address: SocketAddr) -> Result<Server> {
        let mut command = self.command();
        if self.cores.are_pinned() {
            command.env("SIGNET__HTTP__WORKERS", "1").env("SIGNET__PASSWORDS__THREADS", "1");
        }
        self.cores.on_server(|| self.start(command, address))
    }

    /// Starts the service as anybody does who sets nothing.
    pub fn start_unpinned(&self) -> Result<Server> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        self.cores.on_both(|| self.start(self.command(), address))
    }

    fn start(&self, mut command: Command, address: SocketAddr) -> Result<Server> {
        let log_path = self.folder.path().join("signet.log");
        let log = File::options().create(true).append(true).open(&log_path)?;
        command.env("SIGNET__HTTP__LISTEN", address.to_string());
        command.arg("serve").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let began = Instant::now();
        let mut process = command.spawn().context(BINARY)?;
        while began.elapsed() < PATIENCE {
            if let Some(status) = process.try_wait()? {
                bail!("signet ended with {status}: {}", tail(&log_path));
            }
            if answers(address) {
                return Ok(Server { process, address, started_in: began.elapsed() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = process.kill();
        bail!("signet did not answer within {PATIENCE:?}: {}", tail(&log_path))
    }
}

/// A running Signet; it ends with this value.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
    /// From the start of the process to the first answer.
    pub started_in: Duration,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn resident_mib(&self) -> Result<f64> {
        Ok(resident_kib(self.pid())? as f64 / 1024.0)
    }

    /// Ends the process in order, and waits for it.
    pub fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid())?;
        let pid = Pid::from_raw(pid).context("no process id")?;
        kill_process(pid, Signal::TERM)?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("signet did not stop within {PATIENCE:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Failing to end what has already ended is no failure.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn answers(address: SocketAddr) -> bool {
    BlockingConnection::open(address)
        .and_then(|mut connection| Ok(connection.exchange(&get(JWKS_PATH))?.status() == 200))
        .unwrap_or(false)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
