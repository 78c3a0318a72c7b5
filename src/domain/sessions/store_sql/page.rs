//! All sessions, a part at a time, in the order of their `sid`.

use uuid::Uuid;

use super::{SqlStore, read_session};
use crate::base::time::Timestamp;
use crate::domain::sessions::store::{Page, PageError};

impl SqlStore {
    pub(super) async fn read_page(
        &self,
        from: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Page, PageError> {
        let after = match from {
            Some(sid) => Uuid::parse_str(sid).map_err(|_| PageError::Cursor)?.to_string(),
            None => String::new(),
        };
        let query =
            sqlx::query(select!("WHERE sid > $1 AND expires_at > $2 ORDER BY sid LIMIT $3"))
                .bind(after)
                .bind(now.as_unix())
                .bind(i64::from(limit) + 1);
        let rows = self.0.fetch_all(query).await?;
        let limit = limit as usize;
        let shown = rows.iter().take(limit).map(read_session);
        let sessions = shown.collect::<Result<Vec<_>, _>>()?;
        let next = sessions.last().filter(|_| rows.len() > limit).map(|last| last.sid.to_string());
        Ok(Page { sessions, next })
    }
}
