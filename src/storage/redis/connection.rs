//! What carries commands to Redis and finds it again: one multiplexed connection to a server or to
//! the master that sentinels name, or a cluster's own connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{
    SentinelClient, SentinelClientBuilder, SentinelNodeConnectionInfo, SentinelServerType,
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisError, RedisFuture, RedisResult, ServerErrorKind, TlsMode, Value,
};
use tokio::sync::Mutex;

use super::{CALL_TIMEOUT, Certificates, RedisConfig, Servers};
use crate::base::secret::Secret;

const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Commands under way on one connection before callers wait; the default of 50 holds them up.
const PIPELINE_BUFFER: usize = 1024;

/// What commands go through.
#[derive(Clone)]
pub(super) enum Link {
    Direct(Arc<Direct>),
    /// The client library finds the nodes again automatically.
    Cluster(ClusterConnection),
}

impl Link {
    /// Prepares the way; a cluster is also connected to, to find its nodes.
    pub(super) async fn new(config: &RedisConfig) -> RedisResult<Self> {
        let certificates = &config.certificates;
        let source = match &config.servers {
            Servers::Single { url } => {
                Source::Server(Client::open(certificates.connection_info(url)?)?)
            }
            Servers::Sentinel { sentinels, master, login } => {
                let client = sentinel_client(sentinels, master, login.as_ref(), certificates)?;
                Source::Sentinel(Mutex::new(client))
            }
            Servers::Cluster { nodes } => {
                let mut client =
                    ClusterClientBuilder::new(nodes.iter().map(|url| url.expose().as_str()))
                        .connection_timeout(CONNECT_TIMEOUT)
                        .response_timeout(RESPONSE_TIMEOUT)
                        .overall_response_timeout(Some(CALL_TIMEOUT))
                        .max_retry_wait(200);
                if let Some(certificates) = certificates.to_library() {
                    client = client.certs(certificates);
                }
                let client = client.build()?;
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
pub(super) struct Direct {
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

/// A client that asks the sentinels for the master. The library takes certificates for the master
/// only together with one login for all sentinels: then it is that of the first one's address.
pub(super) fn sentinel_client(
    sentinels: &[Secret<String>],
    master: &str,
    login: Option<&Secret<String>>,
    certificates: &Certificates,
) -> RedisResult<SentinelClient> {
    let login = login.map(|login| login.expose().as_str().into_connection_info()).transpose()?;
    let tls_mode = login.as_ref().and_then(|login| match login.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => Some(TlsMode::Insecure),
        ConnectionAddr::TcpTls { .. } => Some(TlsMode::Secure),
        _ => None,
    });
    let infos = sentinels.iter().map(|url| certificates.connection_info(url));
    let infos = infos.collect::<RedisResult<Vec<_>>>()?;
    let Some(node_certificates) = certificates.to_library() else {
        let mut node = SentinelNodeConnectionInfo::default();
        if let Some(mode) = tls_mode {
            node = node.set_tls_mode(mode);
        }
        if let Some(login) = login {
            node = node.set_redis_connection_info(login.redis_settings().clone());
        }
        return SentinelClient::build(infos, master, Some(node), SentinelServerType::Master);
    };
    let addresses: Vec<_> = infos.iter().map(|info| info.addr().clone()).collect();
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_certificates(node_certificates);
    if let Some(mode) = tls_mode {
        builder = builder.set_client_to_redis_tls_mode(mode);
    }
    if let Some(settings) = login.as_ref().map(|login| login.redis_settings()) {
        builder = builder.set_client_to_redis_db(settings.db());
        builder = builder.set_client_to_redis_protocol(settings.protocol());
        if let Some(username) = settings.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
    }
    if let Some(settings) = infos.first().map(|info| info.redis_settings()) {
        if let Some(username) = settings.username() {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
    }
    builder.build()
}
