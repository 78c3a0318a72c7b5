//! How rows are read page by page, and which ones are kept if there are too many.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{KeyStore, Rows, StoredKey};
use crate::base::time::Timestamp;
use crate::storage::Stored;

/// The maximum number of keys that are loaded, and of rows that are not keys; the oldest are left
/// out. All rows are read, a page at a time, so that planted rows displace no key.
const MAX_KEYS: usize = 500;
pub(super) const PAGE: i64 = 500;

impl KeyStore {
    /// All rows, newest first; of too many, those stay for which `counts` is true.
    pub async fn load_all(&self, counts: impl Fn(&StoredKey) -> bool) -> Stored<Rows> {
        self.load(None, counts).await
    }

    /// The rows that are not retired at `now`. A revoked key is not among them, however far behind
    /// the clock is.
    pub async fn load_published(
        &self,
        now: Timestamp,
        counts: impl Fn(&StoredKey) -> bool,
    ) -> Stored<Rows> {
        self.load(Some(now), counts).await
    }

    async fn load(
        &self,
        published_at: Option<Timestamp>,
        counts: impl Fn(&StoredKey) -> bool,
    ) -> Stored<Rows> {
        let (mut keys, mut others) = (Rows::default(), Rows::default());
        let mut after = Some(String::new());
        while let Some(last) = after {
            let query = match published_at {
                None => sqlx::query(select!("WHERE kid > $1 ORDER BY kid LIMIT $2")),
                Some(_) => sqlx::query(select!(
                    "WHERE kid > $1 AND (retires_at IS NULL OR retires_at > $3) \
                     AND revoked_at IS NULL ORDER BY kid LIMIT $2"
                )),
            };
            let mut query = query.bind(last).bind(PAGE);
            if let Some(now) = published_at {
                query = query.bind(now.as_unix());
            }
            let rows = self.db.fetch_all(query).await?;
            after = next_page(&rows);
            let mut page = Rows::of(&rows);
            let (count, rest) = page.keys.drain(..).partition(&counts);
            keys.add(count);
            others.add(rest);
            others.unreadable.append(&mut page.unreadable);
            others.unreadable.truncate(MAX_KEYS);
        }
        keys.unreadable = others.unreadable;
        keys.keys.append(&mut others.keys);
        keys.keys.sort_by_key(newest_first);
        Ok(keys)
    }
}

impl Rows {
    fn add(&mut self, mut keys: Vec<StoredKey>) {
        self.keys.append(&mut keys);
        self.keys.sort_by_key(newest_first);
        self.keys.truncate(MAX_KEYS);
    }
}

fn newest_first(key: &StoredKey) -> std::cmp::Reverse<(Timestamp, Timestamp)> {
    std::cmp::Reverse((key.times.activates_at, key.times.created_at))
}

/// The name after which the next page begins, if this one is full. In SQLite a name that is not
/// text sorts after all text, and belongs to no key.
pub(super) fn next_page(rows: &[AnyRow]) -> Option<String> {
    let last = rows.last().filter(|_| rows.len() as i64 == PAGE)?;
    last.try_get("kid").ok()
}
