//! The catalogue with a short-lived cache, since every login and refresh needs it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::{Catalogue, RoleStore};
use crate::storage::Stored;

/// How long an instance may use the cached catalogue. A change of a role is acknowledged only after
/// this time, so that it is in force on every instance by then.
pub(crate) const STALENESS: Duration = Duration::from_secs(1);

/// Caches the catalogue. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub(crate) struct RoleRegistry {
    store: RoleStore,
    remembered: Arc<RwLock<Option<Remembered>>>,
}

struct Remembered {
    catalogue: Arc<Catalogue>,
    since: Instant,
}

impl RoleRegistry {
    pub(crate) fn new(store: RoleStore) -> Self {
        Self { store, remembered: Arc::default() }
    }

    /// The present catalogue, or the one from less than [`STALENESS`] ago.
    pub(crate) async fn catalogue(&self) -> Stored<Arc<Catalogue>> {
        if let Some(known) = self.recall() {
            return Ok(known);
        }
        // Taken before the read, so the catalogue is at least as new as this moment.
        let since = Instant::now();
        let catalogue = Arc::new(Catalogue::new(&self.store.list().await?));
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        // Of two concurrent reads, the one that began first must not store its result last.
        if remembered.as_ref().is_none_or(|known| known.since < since) {
            *remembered = Some(Remembered { catalogue: catalogue.clone(), since });
        }
        Ok(catalogue)
    }

    fn recall(&self) -> Option<Arc<Catalogue>> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        let known = remembered.as_ref().filter(|known| known.since.elapsed() < STALENESS)?;
        Some(known.catalogue.clone())
    }
}
