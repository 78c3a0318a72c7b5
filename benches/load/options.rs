//! What can be asked of a run, after `cargo bench --bench load --`.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub const HELP: &str = "\
cargo bench --bench load -- [OPTIONS]
  --seconds N       measured seconds of one round (3)
  --rounds N        rounds of each row; the table shows medians (5)
  --only a,b        rows: jwks, client_credentials, refresh, introspection, login, storm, memory,
                    rotation, revocations
  --stores a,b      embedded, postgres (PostgreSQL and Redis)
  --connections N   connections of the driver (32)
  --clients N       virtual clients with a session each (256)
  --sessions N      sessions issued while memory is watched (20000)
  --wait            stop before each row until Enter is pressed (to attach a profiler)";

/// The rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowName {
    Jwks,
    ClientCredentials,
    Refresh,
    Introspection,
    Login,
    Storm,
    Memory,
    Rotation,
    Revocations,
}

impl RowName {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Jwks, "jwks"),
        (Self::ClientCredentials, "client_credentials"),
        (Self::Refresh, "refresh"),
        (Self::Introspection, "introspection"),
        (Self::Login, "login"),
        (Self::Storm, "storm"),
        (Self::Memory, "memory"),
        (Self::Rotation, "rotation"),
        (Self::Revocations, "revocations"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(row, _)| *row == self).map_or("", |(_, name)| name)
    }
}

/// Where Signet keeps its state in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreName {
    Embedded,
    Postgres,
}

impl StoreName {
    const ALL: [(Self, &'static str); 2] =
        [(Self::Embedded, "embedded"), (Self::Postgres, "postgres")];

    pub fn title(self) -> &'static str {
        match self {
            Self::Embedded => "embedded store (SQLite)",
            Self::Postgres => "PostgreSQL and Redis",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub round: Duration,
    pub rounds: usize,
    pub rows: Vec<RowName>,
    pub stores: Vec<StoreName>,
    pub connections: usize,
    pub clients: usize,
    pub sessions: usize,
    pub wait: bool,
}

impl Options {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            round: Duration::from_secs(3),
            rounds: 5,
            rows: RowName::ALL.map(|(row, _)| row).to_vec(),
            stores: StoreName::ALL.map(|(store, _)| store).to_vec(),
            connections: 32,
            clients: 256,
            sessions: 20_000,
            wait: false,
        };
        let mut arguments = arguments.peekable();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                // What cargo adds by itself.
                "--bench" => continue,
                "--wait" => {
                    options.wait = true;
                    continue;
                }
                "--help" | "-h" => bail!("{HELP}"),
                _ => {}
            }
            let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--seconds" => options.round = Duration::from_secs_f64(number(&name, &value)?),
                "--rounds" => options.rounds = number(&name, &value)?,
                "--connections" => options.connections = number(&name, &value)?,
                "--clients" => options.clients = number(&name, &value)?,
                "--sessions" => options.sessions = number(&name, &value)?,
                "--only" => options.rows = names(&value, &RowName::ALL)?,
                "--stores" => options.stores = names(&value, &StoreName::ALL)?,
                _ => bail!("unknown option {name}\n{HELP}"),
            }
        }
        if options.rounds == 0 || options.connections == 0 || options.round.is_zero() {
            bail!("--rounds, --connections and --seconds must be above zero");
        }
        // A virtual client waits for its answer, so fewer clients would leave connections idle.
        options.clients = options.clients.max(options.connections);
        Ok(options)
    }

    pub fn wants(&self, row: RowName) -> bool {
        self.rows.contains(&row)
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().ok().with_context(|| format!("{name}: {value:?} is not a number"))
}

fn names<T: Copy>(value: &str, known: &[(T, &str)]) -> Result<Vec<T>> {
    let find = |part: &str| {
        let found = known.iter().find(|(_, name)| *name == part);
        found.map(|(item, _)| *item).with_context(|| format!("unknown name {part:?}\n{HELP}"))
    };
    value.split(',').map(find).collect()
}
