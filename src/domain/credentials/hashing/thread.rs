//! The threads of the pool, counted, so that the end of the service can wait until all have wiped
//! their memory.

use std::sync::Arc;

use super::Shared;

/// Counts a thread while it lives.
pub(super) struct Thread(Arc<Shared>);

impl Thread {
    /// Counts one more.
    pub(super) fn begin(shared: Arc<Shared>) -> Self {
        shared.lock().threads += 1;
        Self(shared)
    }

    /// The state that all of them share.
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}
