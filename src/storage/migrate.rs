//! The numbered migrations, compiled in. They only go forward, by expand and contract, so that two
//! neighbouring versions of Signet can run on one database.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::migrate::{Migrate, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{Connection, SqlSafeStr};

use super::{Db, Engine, StorageError};

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../../migrations/0001_initial.sql")),
    (2, "key life cycle", include_str!("../../migrations/0002_key_life_cycle.sql")),
    (3, "details", include_str!("../../migrations/0003_details.sql")),
    (4, "mail", include_str!("../../migrations/0004_mail.sql")),
];

/// The advisory lock that keeps PostgreSQL's migrations apart; on SQLite the transaction does.
const MIGRATION_LOCK: i64 = 0x7369_676e_6574; // "signet"

#[derive(Debug)]
struct Embedded;

impl MigrationSource<'static> for Embedded {
    fn resolve(
        self,
    ) -> BoxFuture<'static, Result<Vec<Migration>, Box<dyn std::error::Error + Send + Sync>>> {
        let migrations = MIGRATIONS
            .iter()
            .map(|&(version, name, sql)| {
                Migration::new(
                    version,
                    name.into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .collect();
        async { Ok(migrations) }.boxed()
    }
}

/// Applies what is missing, all or nothing, in one transaction.
pub(super) async fn run(db: &Db) -> Result<(), StorageError> {
    let mut migrator = Migrator::new(Embedded).await.map_err(internal)?;
    // A newer neighbour may already have added its own.
    migrator.set_ignore_missing(true);
    // sqlx would give its lock back before the transaction has committed.
    migrator.set_locking(false);
    // Apart from the pool, whose statements have a time limit.
    let mut connection = db.connect_apart().await?;
    let mut transaction = connection.begin_with(db.engine.begin()).await?;
    if db.engine == Engine::Postgres {
        let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK);
        lock.fetch_one(&mut *transaction).await?;
    }
    migrator.run_direct(None, &mut *transaction, false).await.map_err(internal)?;
    transaction.commit().await?;
    Ok(connection.close().await?)
}

pub(super) fn known() -> usize {
    MIGRATIONS.len()
}

pub(super) async fn applied(db: &Db) -> Result<usize, StorageError> {
    let mut connection = db.connect_apart().await?;
    connection.ensure_migrations_table("_sqlx_migrations").await.map_err(internal)?;
    let applied = connection.list_applied_migrations("_sqlx_migrations").await.map_err(internal)?;
    connection.close().await?;
    Ok(applied.iter().filter(|a| MIGRATIONS.iter().any(|m| m.0 == a.version)).count())
}

fn internal(error: sqlx::migrate::MigrateError) -> StorageError {
    match error {
        sqlx::migrate::MigrateError::Execute(error) => error.into(),
        other => StorageError::Internal(other.into()),
    }
}
