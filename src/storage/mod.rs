//! The SQL database, one face for SQLite and PostgreSQL. Stores write one SQL text in the portable
//! subset (TEXT and BIGINT, `$n`, bound times) and run it here, where every statement but a
//! migration has a time limit and every failure is classified. Invariant: an unanswered statement is `Unavailable`,
//! never an empty result.

pub mod error;
mod migrate;
pub mod redis;

use std::time::Duration;

use sqlx::any::{AnyArguments, AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, Connection, Transaction};

pub use error::StorageError;

/// A statement with its bound values.
pub type Statement<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// How long one statement, waiting for a connection included, may take before it counts as
/// unanswered. Below the two seconds within which a caller is told to come back.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1200);

/// SQLite takes one writer at a time. A second connection would meet the lock and sleep until it
/// is free; callers that queue for the one go on the moment it is.
const SQLITE_CONNECTIONS: u32 = 1;

/// Which of the two databases this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// The database: a pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pool: AnyPool,
    engine: Engine,
}

impl Db {
    /// Prepares a pool for `url` (`sqlite://…` or `postgres://…`) of at most `max_connections`.
    /// Connects on first use, except that a SQLite file is created with its folder.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, StorageError> {
        sqlx::any::install_default_drivers();
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => Self::connect_sqlite(url).await,
            _ => Self::connect_postgres(url, max_connections).await,
        }
    }

    async fn connect_sqlite(url: &str) -> Result<Self, StorageError> {
        let path = url.trim_start_matches("sqlite://").split('?').next().unwrap_or_default();
        create_sqlite_file(path).map_err(|error| {
            let message = format!("cannot create the database file {path}: {error}");
            StorageError::Unavailable(message.into())
        })?;
        let pool = pool_options(SQLITE_CONNECTIONS)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // WAL lets readers and the writer work side by side. NORMAL flushes at
                    // checkpoints: a power cut may lose the newest commits, a crash does not.
                    for pragma in [
                        "PRAGMA busy_timeout = 1000",
                        "PRAGMA journal_mode = WAL",
                        "PRAGMA synchronous = NORMAL",
                        // Folding the log into the file flushes to disk, and the commit that
                        // happened to be due would wait for it: `checkpoint` does it beside.
                        "PRAGMA wal_autocheckpoint = 0",
                        "PRAGMA foreign_keys = ON",
                    ] {
                        sqlx::query(pragma).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy(url)?;
        Ok(Self { pool, engine: Engine::Sqlite })
    }

    async fn connect_postgres(url: &str, max_connections: u32) -> Result<Self, StorageError> {
        // Once without the pool, whose time-out would hide what is wrong.
        within_time(async { Ok(AnyConnection::connect(url).await?.close().await?) }).await?;
        let pool = pool_options(max_connections).connect_lazy(url)?;
        Ok(Self { pool, engine: Engine::Postgres })
    }

    /// Applies the migrations that are missing. Safe to run by many processes at once.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        migrate::run(self).await
    }

    /// How many migrations this version has, and how many of them are applied.
    pub async fn migrations(&self) -> Result<(usize, usize), StorageError> {
        Ok((migrate::known(), migrate::applied(self).await?))
    }

    /// Runs a statement; returns how many rows it changed.
    pub async fn execute(&self, statement: Statement<'_>) -> Result<u64, StorageError> {
        within_time(async { Ok(statement.execute(&self.pool).await?.rows_affected()) }).await
    }

    /// Runs a query for at most one row.
    pub async fn fetch_optional(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<AnyRow>, StorageError> {
        within_time(async { Ok(statement.fetch_optional(&self.pool).await?) }).await
    }

    /// Runs a query for all of its rows. The statement itself must carry a LIMIT.
    pub async fn fetch_all(&self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StorageError> {
        within_time(async { Ok(statement.fetch_all(&self.pool).await?) }).await
    }

    /// Begins a transaction that will write. On SQLite it takes the write lock at once, since a
    /// transaction that reads first and then writes fails as locked beside another writer.
    pub async fn begin_write(&self) -> Result<Transaction<'static, Any>, StorageError> {
        let begin = match self.engine {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN",
        };
        within_time(async { Ok(self.pool.begin_with(begin).await?) }).await
    }

    /// Whether the database answers now, from its tables.
    pub async fn check_health(&self) -> Result<(), StorageError> {
        let query = sqlx::query("SELECT kid FROM signing_keys LIMIT 1");
        self.fetch_optional(query).await.map(drop)
    }

    /// On SQLite, folds the write-ahead log into the file, on a connection of its own that holds up
    /// neither readers nor the writer. To be called about once a second.
    pub async fn checkpoint(&self) -> Result<(), StorageError> {
        if self.engine == Engine::Sqlite {
            let mut connection = AnyConnection::connect_with(&self.pool.connect_options()).await?;
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut connection).await?;
            connection.close().await?;
        }
        Ok(())
    }

    /// Closes all connections; on SQLite this also folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn pool_options(max_connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                // A busy connection proves itself by use; one that has rested may have lost its
                // server meanwhile, and a request should not be what finds out.
                if meta.idle_for > Duration::from_millis(500) {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Runs statements of a transaction, or any others that are not run by [`Db`], within the time of
/// one.
pub async fn within_time<T>(
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, work).await {
        Ok(result) => result,
        Err(elapsed) => Err(StorageError::Unavailable(elapsed.into())),
    }
}

/// Creates the file readable by its owner alone: it holds password hashes.
fn create_sqlite_file(path: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if path.is_empty() || path == ":memory:" {
        return Err(std::io::Error::other("a file path is needed"));
    }
    if let Some(folder) = std::path::Path::new(path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}
