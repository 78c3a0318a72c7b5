//! What only SQLite has to answer for: its write-ahead log is folded into the file beside all else.

use std::time::{Duration, Instant};

use signet::storage::Db;
use sqlx::{AnyConnection, Connection};

/// More than the length at which the log is begun anew.
const LOG: usize = 40 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_who_takes_long_does_not_hold_up_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/test.db", folder.path().display());
    let db = Db::connect(&url, 1).await.unwrap();
    db.migrate().await.unwrap();
    let create = sqlx::query("CREATE TABLE filler (content TEXT NOT NULL)");
    db.execute(create).await.unwrap();
    let write = async |content: String| {
        db.execute(sqlx::query("INSERT INTO filler (content) VALUES ($1)").bind(content)).await
    };

    // A copy being made, say: nothing that is written from now on can be folded beneath it.
    let mut reader = AnyConnection::connect(&url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT kid FROM signing_keys").fetch_all(&mut *reading).await.unwrap();
    for _ in 0..LOG / 1024 / 1024 {
        write("x".repeat(1024 * 1024)).await.unwrap();
    }
    let beside = db.clone();
    let checkpoint = tokio::spawn(async move { beside.checkpoint().await });
    let mut longest = Duration::ZERO;
    while !checkpoint.is_finished() {
        let start = Instant::now();
        write("a little".into()).await.expect("the writer is not locked out");
        longest = longest.max(start.elapsed());
    }
    checkpoint.await.unwrap().unwrap();
    assert!(longest < Duration::from_millis(700), "a write waited for {longest:?}");
    reading.rollback().await.unwrap();
}
