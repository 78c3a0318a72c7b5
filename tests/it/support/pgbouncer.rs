//! pgbouncer in front of a test's PostgreSQL, as its distribution configures it but for the pool:
//! `pool_mode = transaction`, few servers a database, and no startup parameter ignored.

use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::postgres::{Postgres, unprivileged_user};
use super::process::{Process, free_port, poll, program};
use super::reaper;

/// A running pooler; ends with this value.
pub struct PgBouncer {
    port: u16,
    _folder: TempDir,
    _process: Process,
}

impl PgBouncer {
    /// One pooler in front of the shared PostgreSQL, with four servers a database.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<PgBouncer> =
            LazyLock::new(|| PgBouncer::start(Postgres::shared().port(), 4));
        &SHARED
    }

    /// A pooler in front of the shared PostgreSQL, with this many servers a database.
    pub fn with_servers(servers: u32) -> Self {
        Self::start(Postgres::shared().port(), servers)
    }

    fn start(server: u16, servers: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("signet-pgb-").tempdir().expect("a folder");
        reaper::remove_at_exit(folder.path());
        let port = free_port();
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server} user=signet\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = {servers}\n\
             server_idle_timeout = 2\n\
             max_client_conn = 500\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("a file");
        let mut command =
            Command::new(program("pgbouncer", vec!["/usr/sbin".into(), "/usr/local/sbin".into()]));
        if let Some((uid, gid)) = unprivileged_user() {
            chown(folder.path(), Some(uid), Some(gid)).expect("root can give folders away");
            command.uid(uid).gid(gid);
        }
        command.current_dir(folder.path()).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::spawn(&mut command, "INT");
        let listens = || TcpStream::connect(("127.0.0.1", port)).ok();
        poll(Duration::from_secs(20), listens).expect("pgbouncer listens");
        Self { port, _folder: folder, _process: process }
    }

    /// The way through the pooler to the database at `url`, an address of its server.
    pub fn url(&self, url: &str) -> String {
        let database = url.rsplit('/').next().expect("a database");
        format!("postgres://signet@127.0.0.1:{}/{database}", self.port)
    }
}
