//! The connection to Redis through outages and failovers of real servers.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redis::cmd;
use signet::base::secret::Secret;
use signet::domain::sessions::{PageError, Recovery};
use signet::storage::StorageError;
use signet::storage::redis::{Redis, RedisConfig, Servers};

use super::engines::{at, connect, in_redis, policy};
use crate::support::process::{Process, free_port, poll, program};
use crate::support::redis::Redis as Server;

/// No call takes longer, whatever happens; with room for a busy machine.
const MAX_CALL: Duration = Duration::from_millis(1500);

async fn get(redis: &Redis) -> Result<Option<String>, StorageError> {
    let called = Instant::now();
    let result = redis.query(cmd("GET").arg("{a}key")).await;
    assert!(called.elapsed() < MAX_CALL, "a call took {:?}", called.elapsed());
    result
}

async fn set(redis: &Redis, value: &str) -> Result<(), StorageError> {
    let called = Instant::now();
    let result = redis.query(cmd("SET").arg("{a}key").arg(value)).await;
    assert!(called.elapsed() < MAX_CALL, "a call took {:?}", called.elapsed());
    result
}

/// Calls until one succeeds.
async fn recovery(redis: &Redis, limit: Duration) -> Duration {
    let start = Instant::now();
    while let Err(error) = set(redis, "after").await {
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
        assert!(start.elapsed() < limit, "no recovery: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_after_an_outage_succeeds() {
    let mut server = Server::start_with(&[("appendfsync", "always")]);
    let redis = connect(&server.url()).await;
    set(&redis, "kept").await.unwrap();

    server.kill();
    for _ in 0..20 {
        let error = get(&redis).await.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    }
    server.restart();
    assert_eq!(get(&redis).await.unwrap().as_deref(), Some("kept"));

    // A restart that nobody noticed, since there was nothing to do meanwhile.
    server.stop();
    server.restart();
    assert_eq!(get(&redis).await.unwrap().as_deref(), Some("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_unavailable_for_all_and_comes_back() {
    let mut server = Server::start();
    let redis = connect(&server.url()).await;
    set(&redis, "kept").await.unwrap();
    server.freeze();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let redis = redis.clone();
            tokio::spawn(async move { get(&redis).await })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    }
    assert!(get(&redis).await.is_err());
    server.thaw();
    assert_eq!(get(&redis).await.unwrap().as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_start_without_redis_fails_and_says_where_it_looked() {
    let url = format!("redis://:hunter2@127.0.0.1:{}", free_port());
    let config = RedisConfig::from(Servers::Single { url: Secret::new(url.clone()) });
    let Err(StorageError::Unavailable(cause)) = Redis::connect(&config).await else {
        panic!("connected to nobody")
    };
    let message = cause.to_string();
    assert!(message.contains(url.split_once('@').unwrap().1), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn troubles_that_pass_are_told_from_bugs() {
    let server = Server::start();
    let redis = connect(&server.url()).await;
    let configure = async |name: &str, value: &str| {
        redis.query::<()>(cmd("CONFIG").arg("SET").arg(name).arg(value)).await.unwrap();
    };
    configure("maxmemory", "1").await;
    let full = set(&redis, "more").await.unwrap_err();
    assert!(matches!(full, StorageError::Unavailable(_)), "{full:?}");
    configure("maxmemory", "0").await;
    configure("min-replicas-to-write", "1").await;
    let lonely = set(&redis, "more").await.unwrap_err();
    assert!(matches!(lonely, StorageError::Unavailable(_)), "{lonely:?}");
    configure("min-replicas-to-write", "0").await;
    configure("replica-serve-stale-data", "yes").await;
    let replicate = async |host: &str, port: &str| {
        redis.query::<()>(cmd("REPLICAOF").arg(host).arg(port)).await.unwrap();
    };
    replicate("127.0.0.1", &free_port().to_string()).await;
    let demoted = set(&redis, "more").await.unwrap_err();
    assert!(matches!(demoted, StorageError::Unavailable(_)), "{demoted:?}");
    replicate("no", "one").await;
    set(&redis, "more").await.unwrap();
    let bug = redis.query::<()>(&cmd("NONSENSE")).await.unwrap_err();
    assert!(matches!(bug, StorageError::Internal(_)), "{bug:?}");
}

/// A Redis process with settings of the test's own.
fn spawn(folder: &std::path::Path, port: u16, arguments: &[&str]) -> Process {
    let mut command = Command::new(program("redis-server", Vec::new()));
    command.current_dir(folder).args(arguments);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::spawn(&mut command, "TERM");
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
    poll(Duration::from_secs(10), listens).expect("Redis listens");
    process
}

async fn ask(port: u16, command: &mut redis::Cmd) -> String {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_sentinels_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (master_port, replica_port) = (free_port(), free_port());
    let mut master = spawn(folder.path(), master_port, &[]);
    let replicaof = format!("127.0.0.1 {master_port}");
    let _replica = spawn(folder.path(), replica_port, &["--replicaof", &replicaof]);
    let mut sentinels = Vec::new();
    let mut urls = Vec::new();
    for number in 0..3 {
        let file = folder.path().join(format!("sentinel-{number}.conf"));
        let settings = format!(
            "sentinel monitor main 127.0.0.1 {master_port} 2\n\
             sentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 5000\n"
        );
        std::fs::write(&file, settings).unwrap();
        let port = free_port();
        sentinels.push(spawn(folder.path(), port, &[file.to_str().unwrap(), "--sentinel"]));
        urls.push((port, Secret::new(format!("redis://127.0.0.1:{port}"))));
    }
    let sentinel_port = urls[0].0;
    let config = Servers::Sentinel {
        sentinels: urls.into_iter().map(|(_, url)| url).collect(),
        master: "main".into(),
        login: None,
    };
    let redis = Redis::connect(&config.into()).await.unwrap();
    set(&redis, "before").await.unwrap();
    // The sentinels must have found each other and the replica before there can be a failover.
    let start = Instant::now();
    loop {
        let mut command = cmd("SENTINEL");
        let client = redis::Client::open(format!("redis://127.0.0.1:{sentinel_port}")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let known: std::collections::HashMap<String, String> =
            command.arg("MASTER").arg("main").query_async(&mut connection).await.unwrap();
        if known["num-other-sentinels"] == "2" && known["num-slaves"] == "1" {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{known:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    master.kill();
    let took = recovery(&redis, Duration::from_secs(30)).await;
    println!("back {took:?} after the master was killed");
    assert_eq!(ask(replica_port, cmd("GET").arg("{a}key")).await, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_used_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port()];
    // The bus port, by default 10000 above the other, may be taken.
    let bus_ports = [free_port(), free_port()];
    let start_node = |number: usize| {
        let (config, bus) = (format!("nodes-{number}.conf"), bus_ports[number].to_string());
        let arguments =
            ["--cluster-enabled", "yes", "--cluster-config-file", &config, "--cluster-port", &bus];
        spawn(folder.path(), ports[number], &arguments)
    };
    let mut nodes: Vec<_> = (0..2).map(start_node).collect();
    for (port, slots) in [(ports[0], ["0", "8191"]), (ports[1], ["8192", "16383"])] {
        ask(port, cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(&slots)).await;
    }
    let mut meet = cmd("CLUSTER");
    ask(ports[0], meet.arg("MEET").arg("127.0.0.1").arg(ports[1]).arg(bus_ports[1])).await;
    let ready = async || {
        let start = Instant::now();
        for &port in &ports {
            while !ask(port, cmd("CLUSTER").arg("INFO")).await.contains("cluster_state:ok") {
                assert!(start.elapsed() < Duration::from_secs(30), "the cluster does not form");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    ready().await;
    let nodes_config = |ports: &[u16]| Servers::Cluster {
        nodes: ports.iter().map(|port| Secret::new(format!("redis://127.0.0.1:{port}"))).collect(),
    };
    let redis = Redis::connect(&nodes_config(&ports[..1]).into()).await.unwrap();
    for number in 0..20 {
        let key = format!("{{{number}}}key");
        redis.query::<()>(cmd("SET").arg(&key).arg(number)).await.unwrap();
        assert_eq!(redis.query::<i64>(cmd("GET").arg(&key)).await.unwrap(), number);
    }
    // Both nodes are asked whether they keep their data, and neither does.
    let Err(StorageError::Unavailable(cause)) = redis.check_keeps_data().await else {
        panic!("a cluster without persistence is called healthy")
    };
    assert!(cause.to_string().contains("appendonly"), "{cause}");
    ask(ports[0], cmd("CONFIG").arg("SET").arg("appendonly").arg("yes")).await;
    assert!(redis.check_keeps_data().await.is_err(), "one of two is not enough");
    ask(ports[1], cmd("CONFIG").arg("SET").arg("appendonly").arg("yes")).await;
    redis.check_keeps_data().await.unwrap();
    // All keys of a cluster cannot be gone through from one place.
    let sessions = in_redis(redis.clone(), policy(Recovery::Recover, 3)).await;
    assert!(matches!(sessions.page(None, 10, at(0)).await, Err(PageError::OnlyByUser)));

    nodes.clear();
    assert!(matches!(get(&redis).await, Err(StorageError::Unavailable(_))));
    nodes.extend((0..2).map(start_node));
    ready().await;
    let took = recovery(&redis, Duration::from_secs(30)).await;
    println!("back {took:?} after the cluster was ready");
}
