//! The connection to Redis, one face for a single server, a master watched by sentinels, and a
//! cluster. Each call answers or fails within about a second, and the first call after an outage
//! connects anew. Invariant: an unanswered command is `Unavailable`, never an empty result.
//!
//! A command whose connection breaks is sent once more and may then have been done twice; all of
//! Signet's commands bear that.

pub(crate) mod address;
mod certificates;
mod connection;
mod durability;
pub(crate) mod notices;

use std::sync::Arc;
use std::time::Duration;

use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::{
    Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, ScriptInvocation,
    ServerErrorKind, Value,
};

pub use certificates::Certificates;
use connection::Link;
use durability::Refusal;

use super::error::Unreachable;
use super::{StorageError, Stored, tls};
use crate::base::secret::Secret;

/// How long one call may take, whatever it has to wait for.
const CALL_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long the first connection may take, to find the master or the cluster's nodes included.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Where.
    pub servers: Servers,
    /// For TLS.
    pub certificates: Certificates,
}

impl From<Servers> for RedisConfig {
    fn from(servers: Servers) -> Self {
        Self { servers, certificates: Certificates::default() }
    }
}

/// Where Redis is. The URLs may carry passwords.
#[derive(Clone, Debug)]
pub enum Servers {
    /// One server.
    Single {
        /// `redis://…`, `rediss://…` or `unix:///…`.
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
pub struct Redis {
    link: Link,
    memory: Arc<Memory>,
}

/// What it refused to answer.
#[derive(Default)]
struct Memory {
    settings: Refusal,
    processes: Refusal,
}

impl Redis {
    /// Connects, and fails without an answer, so that a wrong address shows at the start. Later
    /// outages heal by themselves.
    pub async fn connect(config: &RedisConfig) -> Stored<Self> {
        let start = async {
            let redis = Self { link: Link::new(config).await?, memory: Arc::default() };
            let pong: RedisResult<Value> =
                redis::cmd("PING").query_async(&mut redis.link.clone()).await;
            match pong {
                // That this user may not ask is an answer.
                Err(error) if error.code() != Some("NOPERM") => Err(error),
                _ => Ok(redis),
            }
        };
        let (trouble, is_late) = match tokio::time::timeout(START_TIMEOUT, start).await {
            Ok(Ok(redis)) => return Ok(redis),
            Ok(Err(error)) => (error.to_string(), is_late(&error)),
            Err(_) => ("no answer in time".to_owned(), true),
        };
        let mut message = format!("cannot reach Redis at {}: {trouble}", addresses(config));
        if let Some(explanation) = tls::explain(&trouble) {
            message = format!("{message}: {explanation}");
        }
        Err(StorageError::Unavailable(Box::new(Unreachable { message, is_late })))
    }

    /// Whether the keys are spread over several servers.
    pub fn is_cluster(&self) -> bool {
        matches!(self.link, Link::Cluster(_))
    }

    /// Runs a command.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Stored<T> {
        within_time(command.query_async(&mut self.link.clone())).await
    }

    /// Runs a script by its hash; loads it first where the server does not know it (any more).
    pub async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Stored<T> {
        within_time(script.invoke_async(&mut self.link.clone())).await
    }

    async fn query_masters<T: FromRedisValue>(&self, command: &Cmd) -> Stored<Vec<T>> {
        let Link::Cluster(cluster) = &self.link else {
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

async fn within_time<T>(work: impl Future<Output = RedisResult<T>>) -> Stored<T> {
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

/// Whether a server that cannot be used yet is likely to be in a moment: it does not listen, or loads
/// its data. A wrong password or certificate is not mended by time.
fn is_late(error: &RedisError) -> bool {
    // The cluster's and the TLS library's errors say in words only what they are.
    let text = error.to_string().to_lowercase();
    let is_refusal = ["wrongpass", "noauth", "authentication", "certificate", "fatal alert"]
        .iter()
        .any(|word| text.contains(word));
    !is_refusal
        && (error.is_timeout()
            || matches!(
                error.kind(),
                ErrorKind::Io
                    | ErrorKind::ClusterConnectionNotFound
                    | ErrorKind::MasterNameNotFoundBySentinel
                    | ErrorKind::Server(
                        ServerErrorKind::BusyLoading
                            | ServerErrorKind::ClusterDown
                            | ServerErrorKind::MasterDown
                            | ServerErrorKind::TryAgain
                    )
            ))
}

/// Where the configuration points to, without users and passwords.
fn addresses(config: &RedisConfig) -> String {
    let urls = match &config.servers {
        Servers::Single { url } => std::slice::from_ref(url),
        Servers::Cluster { nodes } => nodes,
        Servers::Sentinel { sentinels, .. } => sentinels,
    };
    let address = |url: &Secret<String>| match url.expose().as_str().into_connection_info() {
        Ok(info) => info.addr().to_string(),
        Err(_) => "an address that cannot be read".to_owned(),
    };
    urls.iter().map(address).collect::<Vec<_>>().join(", ")
}
