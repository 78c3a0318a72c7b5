//! The connection to Redis, one face for a single server, a master watched by sentinels, and a
//! cluster. Each call answers or fails within about a second, and the first call after an outage
//! connects anew. Invariant: an unanswered command is `Unavailable`, never an empty result.
//!
//! A command whose connection breaks is sent once more and may then have been done twice; all of
//! Signet's commands bear that.

mod connection;
pub mod notices;

use std::time::Duration;

use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::{
    Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, ScriptInvocation,
    ServerErrorKind, Value,
};

use connection::Link;

use super::StorageError;
use crate::secret::Secret;

/// How long one call may take, whatever it has to wait for.
const CALL_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long the first connection may take, to find the master or the cluster's nodes included.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// How Redis is reached. The URLs may carry passwords.
#[derive(Clone, Debug)]
pub enum RedisConfig {
    /// One server.
    Single {
        /// `redis://…` or `rediss://…`.
        url: Secret<String>,
    },
    /// Redis Cluster.
    Cluster {
        /// Some of its nodes; the others are found from them.
        nodes: Vec<Secret<String>>,
    },
    /// A master that sentinels watch.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<Secret<String>>,
        /// The name that they know the master by.
        master: String,
        /// User, password, database number and TLS of the master; the host does not count.
        login: Option<Secret<String>>,
    },
}

/// Redis. Cheap to clone; all clones share one connection to each server.
#[derive(Clone)]
pub struct Redis(Link);

impl Redis {
    /// Connects, and fails if nobody answers: a wrong address is to be seen at the start. Later
    /// outages heal by themselves.
    pub async fn connect(config: &RedisConfig) -> Result<Self, StorageError> {
        let start = async {
            let redis = Self(Link::new(config).await?);
            let _: Value = redis::cmd("PING").query_async(&mut redis.0.clone()).await?;
            Ok::<_, RedisError>(redis)
        };
        let trouble = match tokio::time::timeout(START_TIMEOUT, start).await {
            Ok(Ok(redis)) => return Ok(redis),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        let message = format!("cannot reach Redis at {}: {trouble}", addresses(config));
        Err(StorageError::Unavailable(message.into()))
    }

    /// Whether the keys are spread over several servers.
    pub fn is_cluster(&self) -> bool {
        matches!(self.0, Link::Cluster(_))
    }

    /// Runs a command.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StorageError> {
        within_time(command.query_async(&mut self.0.clone())).await
    }

    /// Runs a script by its hash; loads it first where the server does not know it (any more).
    pub async fn invoke<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StorageError> {
        within_time(script.invoke_async(&mut self.0.clone())).await
    }

    /// Whether Redis answers, writes to disk what it is told, and never drops it to make room. The
    /// error says which setting is wrong.
    pub async fn check_keeps_data(&self) -> Result<(), StorageError> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("maxmemory-policy").arg("appendonly").arg("save");
        let problem = match self.query_masters::<Vec<(String, String)>>(&command).await {
            Ok(servers) => servers.iter().find_map(|settings| find_problem(settings)),
            // A hosted Redis may keep its settings to itself. It still tells whether it evicts;
            // that it persists is then its operator's word.
            Err(StorageError::Internal(_)) => {
                let servers: Vec<String> =
                    self.query_masters(redis::cmd("INFO").arg("memory")).await?;
                let told = |info: &String| {
                    let line = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
                    find_eviction(line.unwrap_or_default())
                };
                servers.iter().find_map(told)
            }
            Err(error) => return Err(error),
        };
        problem.map_or(Ok(()), |problem| Err(StorageError::Unavailable(problem.into())))
    }

    /// The names of the server processes that hold the data now: another after each restart and
    /// failover. What a hosted Redis keeps to itself counts as never changing.
    pub async fn run_ids(&self) -> Result<String, StorageError> {
        let servers: Vec<String> = match self.query_masters(redis::cmd("INFO").arg("server")).await
        {
            Err(StorageError::Internal(_)) => Vec::new(),
            answer => answer?,
        };
        let run_id = |info: &String| {
            let line = info.lines().find_map(|line| line.strip_prefix("run_id:"));
            line.unwrap_or_default().trim().to_owned()
        };
        let mut run_ids: Vec<_> = servers.iter().map(run_id).collect();
        run_ids.sort();
        Ok(format!("[{}]", run_ids.join(" ")))
    }

    /// Runs a command on every server that holds data.
    async fn query_masters<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<Vec<T>, StorageError> {
        let Link::Cluster(cluster) = &self.0 else {
            return Ok(vec![self.query(command).await?]);
        };
        let masters = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::Special));
        let mut cluster = cluster.clone();
        let answers = cluster.route_command(command.clone(), RoutingInfo::MultiNode(masters));
        let answers: Vec<(String, Value)> =
            within_time(async { Ok(redis::from_redis_value(answers.await?)?) }).await?;
        let read = |(_, answer)| redis::from_redis_value(answer).map_err(|e| classify(e.into()));
        answers.into_iter().map(read).collect()
    }
}

fn find_problem(settings: &[(String, String)]) -> Option<String> {
    let find = |name: &str| {
        settings.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    find_eviction(find("maxmemory-policy")).or_else(|| {
        (find("appendonly") != "yes" && find("save").is_empty()).then(|| {
            "Redis forgets all sessions when it restarts: set appendonly to 'yes', or save points"
                .to_owned()
        })
    })
}

fn find_eviction(policy: &str) -> Option<String> {
    (policy != "noeviction").then(|| {
        format!(
            "Redis may drop sessions when its memory is full: maxmemory-policy is '{policy}', \
             and must be 'noeviction'"
        )
    })
}

async fn within_time<T>(work: impl Future<Output = RedisResult<T>>) -> Result<T, StorageError> {
    match tokio::time::timeout(CALL_TIMEOUT, work).await {
        Ok(result) => result.map_err(classify),
        Err(elapsed) => Err(StorageError::Unavailable(elapsed.into())),
    }
}

/// Troubles of a server that is stopping, starting, failing over, full or unable to write to disk
/// pass; so does a password that is being changed. The rest are bugs.
fn classify(error: RedisError) -> StorageError {
    let passes = match error.kind() {
        ErrorKind::Io
        | ErrorKind::AuthenticationFailed
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        ),
        _ => matches!(
            error.code(),
            Some("OOM" | "MISCONF" | "BUSY" | "NOREPLICAS" | "NOAUTH" | "WRONGPASS" | "UNBLOCKED")
        ),
    };
    if passes {
        StorageError::Unavailable(error.into())
    } else {
        StorageError::Internal(error.into())
    }
}

/// Where the configuration points to, without users and passwords.
fn addresses(config: &RedisConfig) -> String {
    let urls = match config {
        RedisConfig::Single { url } => std::slice::from_ref(url),
        RedisConfig::Cluster { nodes } => nodes,
        RedisConfig::Sentinel { sentinels, .. } => sentinels,
    };
    let address = |url: &Secret<String>| match url.expose().as_str().into_connection_info() {
        Ok(info) => info.addr().to_string(),
        Err(_) => "an address that cannot be read".to_owned(),
    };
    urls.iter().map(address).collect::<Vec<_>>().join(", ")
}
