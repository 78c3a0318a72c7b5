//! PostgreSQL behind a transaction pooler: two servers for many clients, and each transaction of a
//! client may meet the other one.

use signet::storage::{Db, StorageError};
use sqlx::{AssertSqlSafe, Row};

use crate::support::client::{Client, PASSWORD};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::Postgres;
use crate::support::signet::Signet;

/// A pooler with two servers, and the way through it to an empty database.
fn two_servers() -> (PgBouncer, String) {
    let pooler = PgBouncer::with_servers(2);
    let url = pooler.url(&Postgres::shared().fresh_database());
    (pooler, url)
}

async fn fetch_number(db: &Db, text: String, value: i64) -> Result<i64, StorageError> {
    let statement = sqlx::query(AssertSqlSafe(text)).bind(value).bind("x");
    let row = db.fetch_optional(statement).await?.expect("one row");
    Ok(row.try_get("number").expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_different_statements_share_two_servers() {
    let (_pooler, url) = two_servers();
    let db = Db::connect_through_pooler(&url, 50).await.unwrap();
    for round in 0..10 {
        let tasks: Vec<_> = (0..50)
            .map(|task| {
                let db = db.clone();
                // Each statement has a text of its own, and in each round a task has another one.
                let added = (task + round) % 50;
                let text =
                    format!("SELECT CAST($1 AS BIGINT) + {added} AS number WHERE $2 = 'x' LIMIT 1");
                tokio::spawn(async move {
                    assert_eq!(fetch_number(&db, text, 1000).await.unwrap(), 1000 + added);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_stays_prepared_and_no_transaction_stays_open() {
    let direct = Postgres::shared().fresh_database();
    let pooler = PgBouncer::with_servers(2);
    let url = pooler.url(&direct);
    let db = Db::connect_through_pooler(&url, 8).await.unwrap();
    // Several at once: one applies them, the others find them applied.
    let migrations = (0..4).map(|_| db.migrate());
    futures_util::future::try_join_all(migrations).await.unwrap();
    let (known, applied) = db.migrations().await.unwrap();
    assert_eq!(known, applied);
    for _ in 0..3 {
        let insert = || {
            sqlx::query(
                "INSERT INTO sealed_secrets (name, sealed_value, created_at) VALUES ($1, $2, 0)",
            )
        };
        let twice = db
            .write(async |transaction| {
                insert().bind("a").bind("b").execute(&mut *transaction).await?;
                insert().bind("a").bind("b").execute(&mut *transaction).await?;
                Ok(())
            })
            .await;
        assert!(matches!(twice, Err(StorageError::Conflict)), "{twice:?}");
        let wrong = db.execute(sqlx::query("INSERT INTO nonsense VALUES ($1)").bind("a")).await;
        assert!(matches!(wrong, Err(StorageError::Internal(_))), "{wrong:?}");
    }
    // Both servers are asked: the transactions run side by side.
    let prepared = || async {
        db.write(async |transaction| {
            let query = sqlx::query(
                "SELECT COUNT(*) AS number FROM pg_prepared_statements WHERE name <> ''",
            );
            let count: i64 = query.fetch_one(&mut *transaction).await?.try_get("number")?;
            let sleep = sqlx::query("SELECT pg_sleep(0.2)");
            sleep.execute(&mut *transaction).await?;
            Ok(count)
        })
        .await
        .unwrap()
    };
    assert_eq!(futures_util::future::join(prepared(), prepared()).await, (0, 0));
    let left = Postgres::shared().sql(&direct, "SELECT COUNT(*) FROM sealed_secrets");
    assert_eq!(left, "0", "what failed was rolled back");
    let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    assert_eq!(Postgres::shared().sql(&direct, open), "0");
}

/// As after years without the setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_others_left_prepared_is_in_nobodys_way() {
    let (_pooler, url) = two_servers();
    let db = Db::connect_through_pooler(&url, 8).await.unwrap();
    // Side by side, so that each has a server of its own.
    let leave = || {
        db.write(async |transaction| {
            for number in 1..=20 {
                let prepare = AssertSqlSafe(format!("PREPARE sqlx_s_{number} AS SELECT 1"));
                sqlx::query(prepare).execute(&mut *transaction).await?;
            }
            sqlx::query("SELECT pg_sleep(0.2)").execute(&mut *transaction).await?;
            Ok(())
        })
    };
    let (one, other) = futures_util::future::join(leave(), leave()).await;
    one.unwrap();
    other.unwrap();
    for _ in 0..4 {
        db.migrate().await.unwrap();
        let (known, applied) = db.migrations().await.unwrap();
        assert_eq!(known, applied);
    }
    db.check_health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_serve_through_a_pooler() {
    let (_pooler, url) = two_servers();
    let first = Signet::builder().postgres(&url).set("database.pooler", "transaction").start();
    let mut second = first.sibling();
    second.restart();
    let clients = [Client::new(first.base()), Client::new(second.base())];
    let users: Vec<_> = (0..24)
        .map(|number| {
            let [here, there] = clients.clone();
            let client = if number % 2 == 0 { here.clone() } else { there.clone() };
            tokio::spawn(async move {
                let user = client.new_user().await;
                let tokens = there.login(&user.email, PASSWORD).await;
                let tokens = here.refresh(&tokens.refresh_token).await.tokens();
                let tokens = there.refresh(&tokens.refresh_token).await.tokens();
                here.me(&tokens.access_token).await.expect(200);
            })
        })
        .collect();
    for user in users {
        user.await.unwrap();
    }
    first.cli_ok(&["keys", "rotate"], "");
    first.cli_ok(&["migrate"], "");
    first.add_confidential("reports", &["--grants", "client_credentials"]);
}

#[test]
fn a_pooler_is_for_postgresql() {
    let signet = Signet::builder().set("database.pooler", "transaction").prepare();
    let output = signet.cli(&["config", "check"], "");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("database.pooler"), "{text}");
    let signet = Signet::builder().set("database.pooler", "statement").prepare();
    let output = signet.cli(&["config", "check"], "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("must be none or transaction"), "{text}");
}
