//! The connection to Redis, one face for a single server, a master watched by sentinels, and a
//! cluster. Each call answers or fails within about a second, and the first call after an outage
//! connects anew. Invariant: an unanswered command is `Unavailable`, never an empty result.
//!
//! A command whose connection breaks is sent once more and may then have been done twice; all of
//! Signet's commands bear that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult, ScriptInvocation,
    ServerErrorKind, TlsMode, Value,
};
use tokio::sync::Mutex;

use super::StorageError;
use crate::secret::Secret;

/// How long one call may take, whatever it has to wait for.
const CALL_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long the server may take to answer a command.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the first connection may take, to find the master or the cluster's nodes included.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands under way on one connection before callers wait; the default of 50 holds them up.
const PIPELINE_BUFFER: usize = 1024;

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
    /// error says which setting of which server is wrong.
    pub async fn check_keeps_data(&self) -> Result<(), StorageError> {
        let mut settings = redis::cmd("CONFIG");
        settings.arg("GET").arg("maxmemory-policy").arg("appendonly").arg("save");
        for settings in self.query_masters(&settings).await? {
            let settings: Vec<(String, String)> =
                redis::from_redis_value(settings).map_err(|error| classify(error.into()))?;
            if let Some(problem) = find_problem(&settings) {
                return Err(StorageError::Unavailable(problem.into()));
            }
        }
        Ok(())
    }

    /// Runs a command on every server that holds data.
    async fn query_masters(&self, command: &Cmd) -> Result<Vec<Value>, StorageError> {
        let Link::Cluster(cluster) = &self.0 else {
            return Ok(vec![self.query(command).await?]);
        };
        let masters = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::Special));
        let mut cluster = cluster.clone();
        let answers = cluster.route_command(command.clone(), RoutingInfo::MultiNode(masters));
        match within_time(answers).await? {
            Value::Map(answers) => Ok(answers.into_iter().map(|(_, answer)| answer).collect()),
            other => Ok(vec![other]),
        }
    }
}

fn find_problem(settings: &[(String, String)]) -> Option<String> {
    let find = |name: &str| {
        settings.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    let policy = find("maxmemory-policy");
    if policy != "noeviction" {
        return Some(format!(
            "Redis may drop sessions when its memory is full: maxmemory-policy is '{policy}', \
             and must be 'noeviction'"
        ));
    }
    (find("appendonly") != "yes" && find("save").is_empty()).then(|| {
        "Redis forgets all sessions when it restarts: set appendonly to 'yes' (or save points)"
            .to_owned()
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

/// What commands go through.
#[derive(Clone)]
enum Link {
    Direct(Arc<Direct>),
    /// It finds its nodes again by itself.
    Cluster(ClusterConnection),
}

impl Link {
    async fn new(config: &RedisConfig) -> RedisResult<Self> {
        let source = match config {
            RedisConfig::Single { url } => Source::Server(Client::open(url.expose().as_str())?),
            RedisConfig::Sentinel { sentinels, master, login } => {
                let client = sentinel_client(sentinels, master, login.as_ref())?;
                Source::Sentinel(Mutex::new(client))
            }
            RedisConfig::Cluster { nodes } => {
                let client =
                    ClusterClientBuilder::new(nodes.iter().map(|url| url.expose().as_str()))
                        .connection_timeout(CONNECT_TIMEOUT)
                        .response_timeout(RESPONSE_TIMEOUT)
                        .overall_response_timeout(Some(CALL_TIMEOUT))
                        .max_retry_wait(200)
                        .build()?;
                return Ok(Self::Cluster(client.get_async_connection().await?));
            }
        };
        Ok(Self::Direct(Arc::new(Direct {
            source,
            connection: ArcSwapOption::empty(),
            last_failure: Mutex::new(None),
        })))
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Direct(direct) => Box::pin(direct.send(command)),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Direct(direct) => Box::pin(direct.send_pipeline(pipeline, offset, count)),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// One multiplexed connection to a server that is asked for again whenever the connection fails:
/// a sentinel may then name another. (The client library's own sentinel client keeps a demoted
/// master, and its connection manager fails the first call after an outage.)
struct Direct {
    source: Source,
    connection: ArcSwapOption<MultiplexedConnection>,
    /// Held while connecting, so that many callers make one connection and share one failure.
    last_failure: Mutex<Option<(Instant, RedisError)>>,
}

enum Source {
    Server(Client),
    Sentinel(Mutex<SentinelClient>),
}

impl Direct {
    async fn send(self: &Arc<Self>, command: &Cmd) -> RedisResult<Value> {
        let called = Instant::now();
        let mut is_retry = false;
        loop {
            let connection = self.connection(called).await?;
            let mut sender = MultiplexedConnection::clone(&connection);
            match sender.send_packed_command(command).await {
                Err(error) => {
                    self.drop_if_broken(&connection, &error);
                    if is_retry || !error.is_connection_dropped() {
                        return Err(error);
                    }
                    is_retry = true;
                }
                answer => return answer,
            }
        }
    }

    async fn send_pipeline(
        self: &Arc<Self>,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let connection = self.connection(Instant::now()).await?;
        let mut sender = MultiplexedConnection::clone(&connection);
        let answer = sender.send_packed_commands(pipeline, offset, count).await;
        answer.inspect_err(|error| self.drop_if_broken(&connection, error))
    }

    async fn connection(
        self: &Arc<Self>,
        called: Instant,
    ) -> RedisResult<Arc<MultiplexedConnection>> {
        match self.connection.load_full() {
            Some(connection) => Ok(connection),
            None => self.reconnect(called).await,
        }
    }

    /// Of many callers that see the same connection fail, one drops it.
    fn drop_if_broken(&self, connection: &Arc<MultiplexedConnection>, error: &RedisError) {
        if is_broken(error) {
            self.connection.compare_and_swap(connection, None);
        }
    }

    /// Connects in a task of its own: a caller that gives up does not undo the others' progress.
    async fn reconnect(
        self: &Arc<Self>,
        called: Instant,
    ) -> RedisResult<Arc<MultiplexedConnection>> {
        let direct = Arc::clone(self);
        let attempt = async move {
            let mut last_failure = direct.last_failure.lock().await;
            if let Some(connection) = direct.connection.load_full() {
                return Ok(connection);
            }
            // An attempt that began after this call has failed for this call too.
            if let Some((_, error)) = last_failure.as_ref().filter(|(began, _)| *began >= called) {
                return Err(error.clone());
            }
            let began = Instant::now();
            match direct.source.connect().await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    direct.connection.store(Some(Arc::clone(&connection)));
                    Ok(connection)
                }
                Err(error) => {
                    *last_failure = Some((began, error.clone()));
                    Err(error)
                }
            }
        };
        match tokio::spawn(attempt).await {
            Ok(result) => result,
            Err(_) => Err((ErrorKind::Io, "the connection attempt was cut off").into()),
        }
    }
}

impl Source {
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_pipeline_buffer_size(PIPELINE_BUFFER);
        match self {
            Self::Server(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await
            }
            Self::Sentinel(client) => {
                client.lock().await.get_async_connection_with_config(&config).await
            }
        }
    }
}

/// Whether the connection, or the server behind it, is of no more use.
fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_timeout()
        || matches!(
            error.kind(),
            // A master that has become a replica; the sentinels know the new one.
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

fn sentinel_client(
    sentinels: &[Secret<String>],
    master: &str,
    login: Option<&Secret<String>>,
) -> RedisResult<SentinelClient> {
    let mut node = SentinelNodeConnectionInfo::default();
    if let Some(login) = login {
        let info = login.expose().as_str().into_connection_info()?;
        if let ConnectionAddr::TcpTls { insecure, .. } = info.addr() {
            let mode = if *insecure { TlsMode::Insecure } else { TlsMode::Secure };
            node = node.set_tls_mode(mode);
        }
        node = node.set_redis_connection_info(info.redis_settings().clone());
    }
    let urls = sentinels.iter().map(|url| url.expose().as_str()).collect();
    SentinelClient::build(urls, master, Some(node), SentinelServerType::Master)
}
