//! The SQL database, one face for SQLite and PostgreSQL; Redis, small records on either, and the HTTP
//! client stand in modules. Stores write one SQL text in the portable subset (TEXT and BIGINT, `$n`,
//! bound times), run here, where every statement but a migration has a time limit and every failure is
//! classified. Invariant: an unanswered statement is `Unavailable`, never an empty result.

mod connections;
pub(crate) mod error;
mod migrate;
pub mod outbound;
pub mod records;
pub mod redis;
mod session;
pub(crate) mod sqlite;
mod statement;
pub(crate) mod tls;

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use deadpool::managed::Pool;
use sqlx::Row;
use sqlx::any::AnyRow;

use connections::{Connector, Lease};
pub use error::{StorageError, Stored};
pub use session::Transaction;
use session::{Options, Session};
pub use statement::Statement;
pub(crate) use statement::{Value, statement};

/// How long one statement, waiting for a connection included, may take before it counts as
/// unanswered. Below the two seconds within which a caller gets 503.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(1500);

/// SQLite takes one writer at a time. A second connection would meet the lock and sleep until it
/// is free; callers that queue for the one go on the moment it is.
const SQLITE_CONNECTIONS: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }
}

/// The database: a pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pool: Pool<Connector>,
    engine: Engine,
}

/// Pages of SQLite's write-ahead log after which it is begun anew: 32 MiB.
const MAX_LOG: i64 = 8192;

/// The time to wait for readers of the old log, during which the writer waits too.
const RESTART_PATIENCE: &str = "PRAGMA busy_timeout = 50";

const SQLITE_PREPARATION: &[&str] = &[
    "PRAGMA busy_timeout = 1000",
    // WAL lets readers and the writer work side by side. NORMAL flushes at checkpoints: a power cut
    // may lose the newest commits, a crash does not.
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    // Folding the log into the file flushes to disk, and the commit that happened to be due would
    // wait for it: `checkpoint` does it beside.
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA foreign_keys = ON",
    // A statement that stores many rows notes what it would have to undo, which is not for the disk.
    "PRAGMA temp_store = MEMORY",
];

impl Db {
    /// Prepares a pool for `url` (`sqlite://…` or `postgres://…`) of at most `max_connections`.
    /// A SQLite file is created with its folder where it is missing; a failure leaves neither behind.
    pub async fn connect(url: &str, max_connections: usize) -> Stored<Self> {
        sqlx::any::install_default_drivers();
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => Self::connect_sqlite(url).await,
            _ => Self::connect_postgres(Options::Direct(url.parse()?, &[]), max_connections).await,
        }
    }

    async fn connect_sqlite(url: &str) -> Stored<Self> {
        let failed = |path: &Path, error: &dyn Display| {
            let message = format!("the database file {} cannot be used: {error}", path.display());
            StorageError::Unavailable(message.into())
        };
        let (path, parameters) =
            sqlite::parse_url(url).map_err(|error| failed(Path::new(""), &error))?;
        let url = sqlite::address(&path, parameters).map_err(|error| failed(&path, &error))?;
        let options = Options::Direct(url.parse()?, SQLITE_PREPARATION);
        let db = Self::with_pool(Engine::Sqlite, options, SQLITE_CONNECTIONS)?;
        let made = sqlite::Made::create(&path).map_err(|error| failed(&path, &error))?;
        match db.connect_apart().await {
            Ok(session) => session.close().await?,
            Err(error) => {
                made.remove();
                return Err(failed(&path, &error));
            }
        }
        Ok(db)
    }

    /// The same for PostgreSQL behind a transaction pooler, such as pgbouncer with `pool_mode =
    /// transaction`: every statement runs inside a transaction, and nothing stays prepared beyond
    /// it. Four round trips a statement instead of one.
    pub async fn connect_through_pooler(url: &str, max_connections: usize) -> Stored<Self> {
        Self::connect_postgres(Options::pooled(url)?, max_connections).await
    }

    async fn connect_postgres(options: Options, max_connections: usize) -> Stored<Self> {
        let db = Self::with_pool(Engine::Postgres, options, max_connections)?;
        // A wrong address or password shows at the start.
        within_time(async {
            let session = db.connect_apart().await.map_err(error::explained)?;
            Ok(session.close().await?)
        })
        .await?;
        Ok(db)
    }

    fn with_pool(engine: Engine, options: Options, max_connections: usize) -> Stored<Self> {
        let pool = Pool::builder(Connector { options })
            .max_size(max_connections)
            .build()
            .map_err(|error| StorageError::Internal(error.into()))?;
        Ok(Self { pool, engine })
    }

    /// A connection outside of the pool, for what may take long.
    async fn connect_apart(&self) -> Result<Session, sqlx::Error> {
        Session::open(&self.pool.manager().options).await
    }

    /// Applies the migrations that are missing. Safe to run from many processes concurrently.
    pub async fn migrate(&self) -> Stored<()> {
        migrate::run(self).await
    }

    /// How many migrations this version has, and how many of them are applied.
    pub async fn migrations(&self) -> Stored<(usize, usize)> {
        Ok((migrate::known(), migrate::applied(self).await?))
    }

    /// Runs a statement; returns how many rows it changed.
    pub async fn execute(&self, statement: Statement<'_>) -> Stored<u64> {
        Ok(self.run(async |on| statement.execute(on).await).await?.rows_affected())
    }

    /// Runs a query for at most one row.
    pub async fn fetch_optional(&self, statement: Statement<'_>) -> Stored<Option<AnyRow>> {
        self.run(async |on| statement.fetch_optional(on).await).await
    }

    /// Runs a query for all of its rows. The statement itself must carry a LIMIT.
    pub async fn fetch_all(&self, statement: Statement<'_>) -> Stored<Vec<AnyRow>> {
        self.run(async |on| statement.fetch_all(on).await).await
    }

    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<T, sqlx::Error>,
    ) -> Stored<T> {
        within_time(async {
            let mut lease = Lease::take(&self.pool).await?;
            let result = lease.connection()?.run(work).await;
            lease.give_back_after(result)
        })
        .await
    }

    /// Runs `work` in a transaction that may write, committed where `work` succeeds. On SQLite it
    /// takes the write lock immediately, since a transaction that reads first and then writes fails
    /// as locked beside another writer.
    pub async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Stored<T>,
    ) -> Stored<T> {
        within_time(async {
            let mut lease = Lease::take(&self.pool).await?;
            let mut transaction = lease.connection()?.begin(self.engine.begin()).await?;
            let result = work(&mut transaction).await;
            let ended = transaction.end(result.is_ok()).await;
            match (result, lease.give_back_after(ended)) {
                (Ok(_), Err(error)) => Err(error),
                (result, _) => result,
            }
        })
        .await
    }

    /// Whether the database answers now, from its tables.
    pub async fn check_health(&self) -> Stored<()> {
        let query = sqlx::query("SELECT kid FROM signing_keys LIMIT 1");
        self.fetch_optional(query).await.map(drop)
    }

    /// On SQLite, folds the write-ahead log into the file, on a connection of its own that holds up
    /// neither readers nor the writer. To be called about once a second.
    pub async fn checkpoint(&self) -> Stored<()> {
        if self.engine == Engine::Sqlite {
            let mut session = self.connect_apart().await?;
            let passive = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)");
            let row = session.run(async |on| passive.fetch_one(on).await).await?;
            let pages: i64 = row.try_get("log")?;
            if pages > MAX_LOG {
                // While one write follows the other, the log never comes to its end, and grows. Now
                // that little is left to fold, the writer can wait for it, but not for a reader who
                // takes long: then it is tried again the next time.
                for restart in [RESTART_PATIENCE, "PRAGMA wal_checkpoint(RESTART)"] {
                    session.run(async |on| sqlx::query(restart).execute(on).await).await?;
                }
            }
            session.close().await?;
        }
        Ok(())
    }

    /// Leaves the database to others after a step of bulk work that wrote for `wrote` of the time
    /// that it `took`. On SQLite, whoever meets the one writer's lock sleeps before looking again,
    /// so it is to be free for as long as it is held.
    pub async fn make_room(&self, wrote: Duration, took: Duration) {
        if self.engine == Engine::Sqlite {
            let free = took.saturating_sub(wrote);
            tokio::time::sleep(wrote.saturating_sub(free).min(STATEMENT_TIMEOUT)).await;
        }
    }

    /// Closes the pool; on SQLite this also folds the write-ahead log into the file.
    pub async fn close(&self) {
        if self.engine == Engine::Sqlite
            && let Ok(lease) = within_time(Lease::take(&self.pool)).await
        {
            lease.close().await;
        }
        self.pool.close();
    }
}

/// The placeholders of a number of rows of values: `($1, $2), ($3, $4)` for two rows of two.
pub fn rows_of_values(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let numbers = row * columns + 1..=(row + 1) * columns;
        let values: Vec<_> = numbers.map(|number| format!("${number}")).collect();
        format!("({})", values.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

async fn within_time<T>(work: impl Future<Output = Stored<T>>) -> Stored<T> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, work).await {
        Ok(result) => result,
        Err(elapsed) => Err(StorageError::Unavailable(elapsed.into())),
    }
}
