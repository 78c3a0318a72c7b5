//! The numbered migrations, compiled in. They only go forward, by expand and contract, so that two
//! neighbouring versions of Signet can run on one database. One text serves both engines, but for
//! what only one of them has a need of.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::migrate::{Migrate, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};

use super::{Db, Engine, StorageError};

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../../migrations/0001_initial.sql")),
    (2, "key life cycle", include_str!("../../migrations/0002_key_life_cycle.sql")),
    (3, "details", include_str!("../../migrations/0003_details.sql")),
    (4, "mail", include_str!("../../migrations/0004_mail.sql")),
    (5, "attempts", include_str!("../../migrations/0005_attempts.sql")),
    (6, "session origin", include_str!("../../migrations/0006_session_origin.sql")),
    (7, "roles", include_str!("../../migrations/0007_roles.sql")),
    (8, "admin", include_str!("../../migrations/0008_admin.sql")),
    (9, "revocations", include_str!("../../migrations/0009_revocations.sql")),
    (10, "key tags", include_str!("../../migrations/0010_key_tags.sql")),
];

/// What a migration begins with on PostgreSQL alone.
const ON_POSTGRES: &[(i64, &str)] =
    &[(8, include_str!("../../migrations/0008_admin_postgres.sql"))];

/// The advisory lock that keeps PostgreSQL's migrations apart; on SQLite the transaction does.
const MIGRATION_LOCK: i64 = 0x7369_676e_6574; // "signet"

#[derive(Debug)]
struct Embedded(Engine);

impl MigrationSource<'static> for Embedded {
    fn resolve(
        self,
    ) -> BoxFuture<'static, Result<Vec<Migration>, Box<dyn std::error::Error + Send + Sync>>> {
        let migrations = MIGRATIONS
            .iter()
            .map(|&(version, name, sql)| {
                let sql = AssertSqlSafe(text_for(self.0, version, sql)).into_sql_str();
                Migration::new(version, name.into(), MigrationType::Simple, sql, false)
            })
            .collect();
        async { Ok(migrations) }.boxed()
    }
}

fn text_for(engine: Engine, version: i64, sql: &str) -> String {
    let own = match engine {
        Engine::Postgres => ON_POSTGRES.iter().find(|(known, _)| *known == version),
        Engine::Sqlite => None,
    };
    // A text without an addition stays as it is, byte for byte: its checksum is in the database.
    own.map_or_else(|| sql.to_owned(), |(_, own)| format!("{own}{sql}"))
}

/// Applies what is missing, all or nothing, in one transaction.
pub(super) async fn run(db: &Db) -> Result<(), StorageError> {
    let mut migrator = Migrator::new(Embedded(db.engine)).await.map_err(internal)?;
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
