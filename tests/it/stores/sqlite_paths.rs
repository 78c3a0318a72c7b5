//! Where a SQLite file comes to lie, and what a failed start leaves.

use std::path::Path;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::process::free_port;
use crate::support::signet::Signet;

/// The files below `folder`, without those of SQLite's log.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            match path.is_dir() {
                true => folders.push(path),
                false if name.ends_with("-wal") || name.ends_with("-shm") => {}
                false => found.push(name),
            }
        }
    }
    found.retain(|name| !name.starts_with("keys"));
    found.sort();
    found
}

#[tokio::test]
async fn spaces_and_escapes_name_one_file() {
    for (url, file) in [
        ("sqlite://my data/the file.db", "my data/the file.db"),
        ("sqlite://my%20data/the%20file.db", "my data/the file.db"),
        ("sqlite://100%25%3F/b%C3%BCcher%2520.db", "100%?/bücher%20.db"),
    ] {
        let signet = Signet::builder().set("database.url", url).start();
        Client::new(signet.base()).new_user().await;
        assert_eq!(files(signet.folder()), [file], "{url}");
        // Every way in finds the same one.
        let users = signet.cli_json(&["users", "list"], "");
        assert!(!users.to_string().is_empty());
        assert_eq!(files(signet.folder()), [file], "{url}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b/c d.db");
    let signet = Signet::builder().set("database.url", &format!("sqlite://{}", path.display()));
    drop(signet.start());
    assert_eq!(files(folder.path()), ["a b/c d.db"]);
}

#[test]
fn a_failed_start_leaves_nothing_behind() {
    let missing = format!("redis://127.0.0.1:{}", free_port());
    let file = tempfile::NamedTempFile::new().unwrap();
    let below_a_file = format!("sqlite://{}/new/signet.db", file.path().display());
    for (key, value) in [
        ("redis.url", missing.as_str()),
        ("database.url", "sqlite://new/signet.db?mode=ro"),
        ("database.url", "sqlite://new/signet.db?mode=never"),
        ("database.url", "sqlite://new/signet.db?unknown=1"),
        ("database.url", &below_a_file),
    ] {
        let mut builder = Signet::builder().set("startup_timeout", "0s");
        if key == "redis.url" {
            builder = builder.set("sessions.store", "redis");
        }
        let mut signet = builder.set(key, value).prepare();
        signet.spawn();
        let ended = signet.process().wait(Duration::from_secs(30)).expect("it ends");
        assert_eq!(ended.code(), Some(1), "{value}: {}", signet.output());
        let left: Vec<_> = std::fs::read_dir(signet.folder()).unwrap().collect();
        assert!(left.is_empty(), "{value}: {left:?}");
    }
}
