//! Authentication of clients, with a short-lived cache: the same few clients make most requests,
//! and a database round trip costs as much as half a signature.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::{Client, ClientStore, Credentials};
use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored};

/// How long an instance may use a cached client. A change of a client is acknowledged only after
/// this time, so that it is in force on every instance by then.
pub(crate) const STALENESS: Duration = Duration::from_secs(1);

const MAX_REMEMBERED: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthenticationError {
    #[error("client authentication failed")]
    Invalid {
        /// Whether a client of this id is registered, for the audit trail alone.
        registered: bool,
    },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Authenticates clients. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub(crate) struct ClientRegistry {
    store: ClientStore,
    remembered: Arc<RwLock<HashMap<String, Remembered>>>,
}

struct Remembered {
    client: Arc<Client>,
    since: Instant,
}

impl ClientRegistry {
    pub(crate) fn new(store: ClientStore) -> Self {
        Self { store, remembered: Arc::default() }
    }

    pub(crate) async fn authenticate(
        &self,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Arc<Client>, AuthenticationError> {
        let good = |client: &Arc<Client>| {
            client.disabled_at.is_none() && credentials.match_client(client, now)
        };
        if let Some(client) = self.recall(&credentials.client_id).filter(good) {
            return Ok(client);
        }
        // A cached client never leads to a refusal, since the secret may be newer than the cache.
        let client = self.load(&credentials.client_id).await?;
        let registered = client.is_some();
        client.filter(good).ok_or(AuthenticationError::Invalid { registered })
    }

    /// The client of this id, unless it is unknown or disabled.
    pub(crate) async fn find_enabled(&self, client_id: &str) -> Stored<Option<Arc<Client>>> {
        let client = match self.recall(client_id) {
            Some(client) => Some(client),
            None => self.load(client_id).await?,
        };
        Ok(client.filter(|client| client.disabled_at.is_none()))
    }

    async fn load(&self, client_id: &str) -> Stored<Option<Arc<Client>>> {
        // Taken before the read, so the client is at least as new as this moment.
        let since = Instant::now();
        let client = self.store.find(client_id).await?.map(Arc::new);
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        match &client {
            Some(client) => {
                if remembered.len() >= MAX_REMEMBERED {
                    remembered.clear();
                }
                let client = client.clone();
                remembered.insert(client_id.to_owned(), Remembered { client, since });
            }
            None => drop(remembered.remove(client_id)),
        }
        Ok(client)
    }

    fn recall(&self, client_id: &str) -> Option<Arc<Client>> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        let found = remembered.get(client_id)?;
        (found.since.elapsed() < STALENESS).then(|| found.client.clone())
    }
}
