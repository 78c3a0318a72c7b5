//! Short notices between instances, by Redis' publish and subscribe. Nothing rests on their arrival:
//! who waits for one also looks for itself every now and then.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use redis::sentinel::SentinelClient;
use redis::{Client, ErrorKind, RedisResult};

use super::connection::sentinel_client;
use super::{Certificates, Redis, RedisConfig, Servers};
use crate::base::secret::Secret;
use crate::storage::Stored;

const PAUSE: Duration = Duration::from_secs(1);

/// The way to notify the other instances, if they share a Redis.
#[derive(Clone)]
pub(crate) enum Notices {
    Nowhere,
    Connected(Redis),
    /// A Redis to connect to for each notice: a command that needs it for nothing else does not fail
    /// where it is out of reach.
    OnDemand(Box<RedisConfig>),
}

impl Notices {
    pub(crate) async fn send(&self, channel: &str) {
        let sent = match self {
            Self::Nowhere => Ok(()),
            Self::Connected(redis) => redis.publish(channel).await,
            Self::OnDemand(config) => match Redis::connect(config).await {
                Ok(redis) => redis.publish(channel).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = sent {
            tracing::warn!(%error, channel, "the other instances find a change a little later: no notice was sent");
        }
    }
}

impl Redis {
    async fn publish(&self, channel: &str) -> Stored<()> {
        self.query(redis::cmd("PUBLISH").arg(channel).arg("changed")).await
    }
}

/// Calls `heard` for each notice on `channel`, and after each time that some may have been missed.
/// Runs until it is dropped.
pub(crate) async fn listen(config: &RedisConfig, channel: &str, heard: impl Fn()) {
    loop {
        if let Ok(mut subscription) = subscribe(config, channel).await {
            heard();
            let mut messages = subscription.on_message();
            while messages.next().await.is_some() {
                heard();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn subscribe(config: &RedisConfig, channel: &str) -> RedisResult<PubSub> {
    let certificates = &config.certificates;
    let client = match &config.servers {
        Servers::Single { url } => Client::open(certificates.connection_info(url)?)?,
        // Every node of a cluster passes notices on to all others.
        Servers::Cluster { nodes } => first_that_answers(nodes, certificates).await?,
        Servers::Sentinel { sentinels, master, login } => {
            let mut sentinels: SentinelClient =
                sentinel_client(sentinels, master, login.as_ref(), certificates)?;
            sentinels.async_get_client().await?
        }
    };
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    Ok(subscription)
}

async fn first_that_answers(
    nodes: &[Secret<String>],
    certificates: &Certificates,
) -> RedisResult<Client> {
    for node in nodes {
        let client = Client::open(certificates.connection_info(node)?)?;
        if client.get_multiplexed_async_connection().await.is_ok() {
            return Ok(client);
        }
    }
    Err((ErrorKind::ClusterConnectionNotFound, "no node of the cluster answers").into())
}
