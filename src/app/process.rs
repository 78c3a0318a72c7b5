//! The parts of one process that do not depend on its issuer: configuration, clock, stores,
//! threads, metrics, and the notices between instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::{StartError, Stores};
use crate::base::metrics::Metrics;
use crate::base::time::Clock;
use crate::config::{Config, SessionBackend};
use crate::domain::clients::ClientRegistry;
use crate::domain::credentials::Hashing;
use crate::domain::roles::{RoleRegistry, RoleStore};
use crate::services::authentication::SharedStores;
use crate::services::key_management::KEYS_CHANGED;
use crate::storage::Db;
use crate::storage::redis::notices::{self, Notices};

/// The channel on which instances notify each other that something was revoked.
const REVOKED: &str = "signet:revocations";

pub(crate) struct Process {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) db: Db,
    pub(crate) stores: SharedStores,
    pub(crate) hashing: Arc<Hashing>,
    pub(crate) metrics: Arc<Metrics>,
    pub(super) notices: Notices,
    /// Another instance, or the command line, has changed the signing keys.
    pub(crate) keys_changed: Notify,
    pub(crate) revoked: Notify,
    draining: AtomicBool,
}

impl Process {
    /// Starts the hashing threads and the metrics of a process on `stores`.
    pub(crate) fn start(config: Config, stores: &Stores, clock: Clock) -> Result<Self, StartError> {
        let hashing = Hashing::start(config.passwords.clone(), stores.random.clone())
            .map_err(|error| StartError::Process(error.into()))?;
        let metrics = Metrics::new().map_err(|error| StartError::Process(error.into()))?;
        let shared = SharedStores {
            users: stores.users.clone(),
            clients: ClientRegistry::new(stores.clients.clone()),
            roles: RoleRegistry::new(RoleStore::new(stores.db.clone())),
            sessions: stores.sessions.clone(),
            revocations: stores.revocations.clone(),
            audit: stores.audit.clone(),
            random: stores.random.clone(),
        };
        Ok(Self {
            config,
            clock,
            db: stores.db.clone(),
            stores: shared,
            hashing: hashing.into(),
            metrics: metrics.into(),
            notices: stores.redis.clone().map_or(Notices::Nowhere, Notices::Connected),
            keys_changed: Notify::new(),
            revoked: Notify::new(),
            draining: AtomicBool::new(false),
        })
    }

    pub(crate) async fn notify_revoked(&self) {
        self.notices.send(REVOKED).await;
    }

    /// Receives the notices of other instances. Never returns if the instances share a Redis, and
    /// returns immediately if they do not.
    pub(crate) async fn receive_notices(&self) {
        if let SessionBackend::Redis(redis) = &self.config.sessions.backend {
            let keys = notices::listen(redis, KEYS_CHANGED, || self.keys_changed.notify_one());
            let revoked = notices::listen(redis, REVOKED, || self.revoked.notify_one());
            futures_util::future::join(keys, revoked).await;
        }
    }

    /// Starts draining: readiness turns false, and the streams of the feed end, so that their
    /// listeners connect to another instance.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.stores.revocations.close();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
