//! The examples that are services, started on a free port.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{AUDIENCE, folder};
use crate::interop::{installed, python};
use crate::support::client::{Answer, Client, Send};
use crate::support::process::{Process, free_port, poll, program};
use crate::support::reaper;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    FastApi,
    Django,
    Express,
    Go,
    Java,
    /// Spring Boot 4.
    Spring,
    /// Spring Boot 3.5.
    Spring35,
}

/// An example at work; ends with this value.
pub struct Service {
    pub client: Client,
    process: Process,
    _folder: Option<TempDir>,
}

impl Drop for Service {
    fn drop(&mut self) {
        // Killed outright, the gateways would leave their workers behind.
        self.process.signal(Signal::TERM);
        self.process.wait(Duration::from_secs(5));
    }
}

impl Example {
    /// Starts it for this issuer; `staleness` is in seconds.
    pub fn start(self, issuer: &str, staleness: u32, secret: &str) -> Service {
        self.start_in(&folder(), issuer, staleness, secret)
    }

    /// Starts what is in `examples`, which is docs/integrate or a copy of it.
    pub fn start_in(self, examples: &Path, issuer: &str, staleness: u32, secret: &str) -> Service {
        let port = free_port();
        let (mut command, folder) = self.command(examples, port);
        command
            .env("ISSUER", issuer)
            .env("AUDIENCE", AUDIENCE)
            .env("MAX_STALENESS", staleness.to_string())
            .env("PORT", port.to_string())
            .env("CLIENT_ID", "gateway")
            .env("CLIENT_SECRET", secret)
            .env("PYTHONPATH", examples.join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut process = Process::spawn(&mut command, "TERM");
        // On a busy machine a JVM takes its time.
        let ready = poll(Duration::from_secs(180), || {
            assert!(process.ended().is_none(), "the {self:?} service ended");
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        assert!(ready.is_some(), "the {self:?} service does not listen");
        let client = Client::new(&format!("http://127.0.0.1:{port}"));
        Service::new(client, process, folder)
    }

    fn command(self, examples: &Path, port: u16) -> (Command, Option<TempDir>) {
        let port = port.to_string();
        match self {
            Self::FastApi => {
                let mut command = Command::new(python());
                command.args(["-m", "uvicorn", "orders:app", "--port", &port, "--app-dir"]);
                command.arg(examples.join("fastapi")).args(["--log-level", "warning"]);
                (command, None)
            }
            Self::Django => {
                let mut command = Command::new(python());
                command.arg(examples.join("django/orders.py"));
                command.args(["runserver", "--noreload", &port]).stderr(Stdio::null());
                (command, None)
            }
            Self::Express => {
                // Packages are looked for from the file on: it is copied to where they are.
                let copy = beside(&installed("node_modules"), &examples.join("express"));
                let mut command = Command::new(program("node", Vec::new()));
                command.arg(copy.path().join("orders.mjs"));
                (command, Some(copy))
            }
            Self::Go => (Command::new(installed(".go/orders")), None),
            Self::Java => {
                let mut command = Command::new(program("java", Vec::new()));
                command.arg(examples.join("java/Orders.java"));
                (command, None)
            }
            Self::Spring => (spring(".java/spring-pom.jar"), None),
            Self::Spring35 => (spring(".java/spring-pom-3.5.jar"), None),
        }
    }
}

fn spring(jar: &str) -> Command {
    let mut command = Command::new(program("java", Vec::new()));
    // It starts in half the time, and runs for seconds only.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar"]).arg(installed(jar));
    command
}

fn beside(modules: &Path, example: &Path) -> TempDir {
    let copy = tempfile::Builder::new().prefix("signet-ex-").tempdir().expect("a folder");
    reaper::remove_at_exit(copy.path());
    std::os::unix::fs::symlink(modules, copy.path().join("node_modules")).expect("a link");
    for entry in std::fs::read_dir(example).expect("the example") {
        let file = entry.expect("an entry").path();
        let name = file.file_name().expect("a name");
        std::fs::copy(&file, copy.path().join(name)).expect("a copy");
    }
    copy
}

impl Service {
    pub fn new(client: Client, process: Process, folder: Option<TempDir>) -> Self {
        Self { client, process, _folder: folder }
    }

    /// `GET /orders`.
    pub async fn orders(&self, token: &str) -> Answer {
        self.client.get("/orders").bearer_auth(token).answer().await
    }

    /// `DELETE /orders/1`.
    pub async fn delete(&self, token: &str) -> Answer {
        self.client.request(reqwest::Method::DELETE, "/orders/1").bearer_auth(token).answer().await
    }

    /// Asks again and again until the orders are answered with `status`; how long that took.
    #[track_caller]
    pub fn answers<'a>(
        &'a self,
        token: &'a str,
        status: u16,
        limit: Duration,
    ) -> impl Future<Output = Duration> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let start = std::time::Instant::now();
            loop {
                let answer = self.orders(token).await;
                if answer.status == status {
                    return start.elapsed();
                }
                assert!(start.elapsed() < limit, "{caller}: not {status}: {answer:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
