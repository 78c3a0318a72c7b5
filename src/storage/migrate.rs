//! The numbered migrations, compiled in. They only go forward, by expand and contract, so that two
//! neighbouring versions of Signet can run on one database. One text serves both engines, but for
//! what only one of them has a need of.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::migrate::{
    AppliedMigration, Migrate, Migration, MigrationSource, MigrationType, Migrator,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqlSafeStr};

use super::session::Session;
use super::{Db, Engine, StorageError, Stored};

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
    (11, "sign-ups", include_str!("../../migrations/0011_sign_ups.sql")),
    (12, "limits", include_str!("../../migrations/0012_limits.sql")),
    (13, "revocation limits", include_str!("../../migrations/0013_revocation_limits.sql")),
    (14, "handover", include_str!("../../migrations/0014_handover.sql")),
    (15, "session logins", include_str!("../../migrations/0015_session_logins.sql")),
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
pub(super) async fn run(db: &Db) -> Stored<()> {
    let mut migrator = Migrator::new(Embedded(db.engine)).await.map_err(internal)?;
    // A newer neighbour may already have added its own.
    migrator.set_ignore_missing(true);
    // sqlx would give its lock back before the transaction has committed.
    migrator.set_locking(false);
    // Apart from the pool, whose statements have a time limit.
    let mut session = db.connect_apart().await?;
    let begin = db.engine.begin();
    match &mut session {
        Session::Direct(connection) => {
            let mut transaction = connection.begin_with(begin).await?;
            if db.engine == Engine::Postgres {
                let lock = sqlx::query(LOCK).bind(MIGRATION_LOCK);
                lock.fetch_one(&mut *transaction).await?;
            }
            migrator.run_direct(None, &mut *transaction, false).await.map_err(internal)?;
            transaction.commit().await?;
        }
        Session::Pooled(connection) => {
            let mut transaction = connection.begin_with(begin).await?;
            forget_prepared(&mut transaction).await?;
            let lock = sqlx::query(LOCK).bind(MIGRATION_LOCK).persistent(false);
            lock.fetch_one(&mut *transaction).await?;
            migrator.run_direct(None, &mut *transaction, false).await.map_err(internal)?;
            // What sqlx prepared by name is closed while the server is still this connection's. After
            // a failure above the connection drops with its transaction open, and a pooler closes
            // the server.
            transaction.clear_cached_statements().await?;
            transaction.commit().await?;
        }
    }
    Ok(session.close().await?)
}

/// Frees sqlx's names on a server where a client without `database.pooler` left statements, such as
/// Signet itself before the setting was made.
async fn forget_prepared(connection: &mut PgConnection) -> Stored<()> {
    let left = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'sqlx\\_s\\_%' LIMIT 1000";
    let rows = sqlx::query(left).persistent(false).fetch_all(&mut *connection).await?;
    for row in rows {
        let name: String = row.try_get("name")?;
        let name = name.replace('"', "\"\"");
        let statement = AssertSqlSafe(format!("DEALLOCATE \"{name}\""));
        sqlx::raw_sql(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

pub(super) fn known() -> usize {
    MIGRATIONS.len()
}

pub(super) async fn applied(db: &Db) -> Stored<usize> {
    let mut session = db.connect_apart().await?;
    let applied = match &mut session {
        Session::Direct(connection) => list_applied(connection).await?,
        Session::Pooled(connection) => {
            let mut transaction = connection.begin().await?;
            forget_prepared(&mut transaction).await?;
            let applied = list_applied(&mut *transaction).await?;
            transaction.clear_cached_statements().await?;
            transaction.commit().await?;
            applied
        }
    };
    session.close().await?;
    Ok(applied.iter().filter(|a| MIGRATIONS.iter().any(|m| m.0 == a.version)).count())
}

async fn list_applied(connection: &mut impl Migrate) -> Stored<Vec<AppliedMigration>> {
    connection.ensure_migrations_table("_sqlx_migrations").await.map_err(internal)?;
    connection.list_applied_migrations("_sqlx_migrations").await.map_err(internal)
}

fn internal(error: sqlx::migrate::MigrateError) -> StorageError {
    match error {
        sqlx::migrate::MigrateError::Execute(error) => error.into(),
        other => StorageError::Internal(other.into()),
    }
}
