//! Signet itself: the real binary in a folder of its own, configured by its environment.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustix::process::Signal;

use super::folder::Folder;
use super::keys::{SHARED_SET, next_set};
use super::postgres::Postgres;
use super::process::{Process, free_port, poll};
use super::redis::Redis;

/// What it stores in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One file for everything.
    Sqlite,
    /// Accounts in PostgreSQL, sessions in Redis.
    PostgresRedis,
    /// Accounts and sessions in PostgreSQL.
    PostgresSql,
}

/// Settings of an instance to be started.
pub struct Builder {
    folder: Arc<Folder>,
    program: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Builder {
    fn new(keys: usize) -> Self {
        let (folder, port) = (Folder::new(keys), free_port());
        let [ready, clock] = [folder.ready_keys(), folder.clock()]
            .map(|path| path.to_str().expect("a path of text").to_owned());
        let program = env!("CARGO_BIN_EXE_signet").into();
        let builder = Self { folder, program, port, settings: Vec::new() };
        let address = format!("127.0.0.1:{port}");
        builder
            .set("http.listen", &address)
            .set("issuer", &format!("http://{address}"))
            // Hashing is tested where it matters; everywhere else it would only take time.
            .set("passwords.memory_kib", "8")
            .set("passwords.iterations", "1")
            // Tests come from one address, and sign up and ask for mail all the time.
            .set("signup_limits.network", "1000000")
            .set("mail_limits.network", "1000000")
            .variable("SIGNET_READY_KEYS", &ready)
            .variable("SIGNET_CLOCK_FILE", &clock)
    }

    /// Lets the instance make all of its keys itself, as it does anywhere else.
    pub fn without_ready_keys(self) -> Self {
        std::fs::remove_dir_all(self.folder.ready_keys()).expect("they are there");
        self
    }

    /// Sets a key of the configuration, such as `tokens.access_token_lifetime`.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let name = format!("SIGNET__{}", key.to_uppercase().replace('.', "__"));
        self.settings.retain(|(set, _)| *set != name);
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Leaves a key of the configuration at its default.
    pub fn unset(mut self, key: &str) -> Self {
        let name = format!("SIGNET__{}", key.to_uppercase().replace('.', "__"));
        self.settings.retain(|(set, _)| *set != name);
        self
    }

    /// Runs this binary, of another version.
    pub fn program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// Sets a variable that is not of Signet's configuration.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the process die at this point, as if it had been killed there.
    pub fn die_at(self, point: &str) -> Self {
        self.variable("SIGNET_FAULT", point)
    }

    /// Hashes passwords as the defaults say.
    pub fn with_default_hashing(self) -> Self {
        self.unset("passwords.memory_kib").unset("passwords.iterations")
    }

    /// Limits sign-ups and mail as the defaults say.
    pub fn with_default_limits(self) -> Self {
        self.unset("signup_limits.network").unset("mail_limits.network")
    }

    /// A fresh database (and Redis database) of the shared servers.
    pub fn backend(self, backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => self,
            Backend::PostgresSql => self.postgres(&Postgres::shared().fresh_database()),
            Backend::PostgresRedis => self
                .postgres(&Postgres::shared().fresh_database())
                .redis(&Redis::shared().fresh_database()),
        }
    }

    pub fn postgres(self, url: &str) -> Self {
        self.set("database.url", url)
    }

    pub fn redis(self, url: &str) -> Self {
        self.set("sessions.store", "redis").set("redis.url", url)
    }

    /// Everything but the process: for the command line alone.
    pub fn prepare(self) -> Signet {
        let base = format!("http://127.0.0.1:{}", self.port);
        Signet {
            folder: self.folder,
            program: self.program,
            base,
            settings: self.settings,
            process: None,
        }
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Signet {
        let mut signet = self.prepare();
        signet.restart();
        signet
    }
}

/// A running instance; ends with this value.
pub struct Signet {
    folder: Arc<Folder>,
    program: PathBuf,
    base: String,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

impl Signet {
    pub fn builder() -> Builder {
        Builder::new(next_set())
    }

    /// An instance with the embedded store and all defaults.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// One instance for all tests that neither change it nor mind other tests' users.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Signet> = LazyLock::new(|| Builder::new(SHARED_SET).start());
        &SHARED
    }

    /// Another process on the same stores, with the same issuer and another port; not started.
    pub fn sibling(&self) -> Self {
        self.sibling_with(|builder| builder)
    }

    /// The same with some settings changed.
    pub fn sibling_with(&self, change: impl FnOnce(Builder) -> Builder) -> Self {
        let port = free_port();
        let settings = self.settings.clone();
        let (folder, program) = (self.folder.clone(), self.program.clone());
        let builder = Builder { folder, program, port, settings };
        change(builder.set("http.listen", &format!("127.0.0.1:{port}"))).prepare()
    }

    /// Sets a key of the configuration from the next start on.
    pub fn change(&mut self, key: &str, value: &str) {
        let name = format!("SIGNET__{}", key.to_uppercase().replace('.', "__"));
        self.settings.retain(|(set, _)| *set != name);
        self.settings.push((name, value.to_owned()));
    }

    /// Where it listens, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same as host and port.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// The issuer it was configured with.
    pub fn issuer(&self) -> &str {
        self.setting("SIGNET__ISSUER").expect("it is always set")
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    /// Its settings, as the environment of a process.
    pub fn environment(&self) -> impl Iterator<Item = (&String, &String)> {
        self.settings.iter().map(|(name, value)| (name, value))
    }

    /// Its working folder.
    pub fn folder(&self) -> &Path {
        &self.folder.own
    }

    /// Sets the clock ahead, further each time: that of all processes on this folder, commands too.
    /// What an instance does every so many seconds still takes its time.
    pub fn advance(&mut self, seconds: u64) {
        let new = self.folder.clock().with_extension("new");
        let ahead = std::fs::read_to_string(self.folder.clock()).unwrap_or_default();
        let ahead = ahead.parse::<u64>().unwrap_or_default() + seconds;
        std::fs::write(&new, ahead.to_string()).expect("a file");
        std::fs::rename(new, self.folder.clock()).expect("a file replaces another");
    }

    /// Everything it has written to its standard output and error so far, restarts included.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(self.folder.output(self.address())).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder.own).env_clear();
        command.envs(self.environment());
        command
    }

    /// Starts the process and does not wait for anything.
    pub fn spawn(&mut self) {
        self.process = None;
        let mut command = self.command(&[]);
        // A file and no pipe: what was written before an answer can be read after it.
        let [out, err] = [(); 2].map(|()| self.folder.open_output(self.address()));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        self.process = Some(Process::spawn(&mut command, "KILL"));
    }

    /// Starts the process, again if need be, and waits until it is ready.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    pub fn wait_until_ready(&mut self) {
        let address = self.address().to_owned();
        let process = self.process.as_mut().expect("it was started");
        let ready = poll(Duration::from_secs(60), || {
            if let Some(status) = process.ended() {
                return Some(Err(format!("it ended with {status}")));
            }
            (status_of(&address, "/health/ready") == Some(200)).then_some(Ok(()))
        });
        if ready != Some(Ok(())) {
            panic!("Signet does not become ready: {ready:?}\n{}", self.output());
        }
    }

    /// Runs the same binary with the same environment as a command.
    pub fn cli(&self, arguments: &[&str], input: &str) -> Output {
        self.cli_after(arguments, || (), input)
    }

    /// The same, with `before` run while the command waits for its input.
    pub fn cli_after(&self, arguments: &[&str], before: impl FnOnce(), input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command, "KILL");
        let mut pipe = process.child().stdin.take().expect("a pipe");
        before();
        // A command that reads nothing may have closed its end.
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        let read = |mut pipe: Box<dyn Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                pipe.read_to_end(&mut bytes).map(|_| bytes).expect("a pipe can be read")
            })
        };
        let stdout = read(Box::new(process.child().stdout.take().expect("a pipe")));
        let stderr = read(Box::new(process.child().stderr.take().expect("a pipe")));
        let status = process.wait(Duration::from_secs(60));
        process.kill();
        let [stdout, stderr] = [stdout, stderr].map(|thread| thread.join().expect("a reader"));
        let status = status.unwrap_or_else(|| panic!("signet {arguments:?} does not end"));
        Output { status, stdout, stderr }
    }

    /// The same for a command that must succeed; returns its standard output.
    pub fn cli_ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.cli(arguments, input);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "signet {arguments:?}: {} {error}", output.status);
        String::from_utf8(output.stdout).expect("it speaks UTF-8")
    }

    /// The same with `--json`, parsed.
    pub fn cli_json(&self, arguments: &[&str], input: &str) -> serde_json::Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
        let text = self.cli_ok(&arguments, input);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Registers a confidential client with these options of `clients add`; returns its secret.
    pub fn add_confidential(&self, client_id: &str, options: &[&str]) -> String {
        let arguments = [&["clients", "add", client_id, "--confidential"], options].concat();
        let added = self.cli_json(&arguments, "");
        added["client_secret"].as_str().expect("the secret, once").to_owned()
    }

    /// Registers a public client with these options of `clients add`.
    pub fn add_public(&self, client_id: &str, options: &[&str]) {
        self.cli_ok(&[&["clients", "add", client_id, "--public"], options].concat(), "");
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    pub fn kill9(&mut self) {
        self.process().kill();
    }

    /// Asks it to stop and waits; returns how it ended.
    pub fn term(&mut self) -> ExitStatus {
        self.process().signal(Signal::TERM);
        self.process().wait(Duration::from_secs(30)).expect("it stops when asked")
    }
}

impl Drop for Signet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let tail = &lines[lines.len().saturating_sub(30)..];
            eprintln!("--- the end of Signet's output\n{}\n---", tail.join("\n"));
        }
    }
}

/// The status of one GET, without an HTTP client: starting a server needs no runtime.
pub fn status_of(address: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}
