//! The catalogue as requests meet it: remembered for a moment, since every login and refresh asks.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::{Catalogue, RoleStore};
use crate::storage::StorageError;

/// How long an instance may go on with what it has read. Whoever changes a role waits this long
/// before saying that it is done, so that the change is in force when it is acknowledged.
pub const STALENESS: Duration = Duration::from_secs(1);

/// Remembers the catalogue. Cheap to clone; clones share what is remembered.
#[derive(Clone)]
pub struct RoleRegistry {
    store: RoleStore,
    remembered: Arc<RwLock<Option<Remembered>>>,
}

struct Remembered {
    catalogue: Arc<Catalogue>,
    since: Instant,
}

impl RoleRegistry {
    /// A registry on `store`.
    pub fn new(store: RoleStore) -> Self {
        Self { store, remembered: Arc::default() }
    }

    /// What the roles say now, or said less than [`STALENESS`] ago.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, StorageError> {
        if let Some(known) = self.recall() {
            return Ok(known);
        }
        // Taken before the read: what is read is at least as new as this moment.
        let since = Instant::now();
        let catalogue = Arc::new(Catalogue::new(&self.store.list().await?));
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        // Of two reads at once the one that began first must not have the last word.
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
