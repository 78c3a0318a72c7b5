//! What the stores return of sessions: one as it was read, or a page of them all.

use super::Session;
use crate::storage::StorageError;

/// A session as it was read, with what its store needs to find it unchanged.
#[derive(Debug)]
pub(super) struct Held {
    pub session: Session,
    /// The record byte for byte, for a store that compares records; otherwise empty.
    pub record: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Page {
    /// The sessions of this page; there may be none although others follow.
    pub sessions: Vec<Session>,
    /// Where the next page begins, in the store's own words.
    pub next: Option<String>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The cursor is not one that this store returned.
    #[error("the cursor is not one that was given here")]
    Cursor,
    /// The store finds sessions by their user alone.
    #[error("sessions in a Redis Cluster can only be listed by user: give user_id")]
    OnlyByUser,
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
