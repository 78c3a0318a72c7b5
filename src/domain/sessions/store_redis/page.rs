//! All sessions, page by page, in the order of Redis. Its SCAN returns every key that exists all the
//! time, and takes a short time for each page, however many keys there are.

use redis::cmd;
use uuid::Uuid;

use super::{RedisStore, decode, parse_short};
use crate::base::time::Timestamp;
use crate::domain::sessions::read::{Page, PageError};

/// Sessions' records; the two stars stand for the user and the sid.
const RECORDS: &str = "signet:{*}:s:*";
/// The most steps of SCAN for one page: where few keys are sessions, a page has few.
const MAX_STEPS: u32 = 20;

impl RedisStore {
    pub(in crate::domain::sessions) async fn page(
        &self,
        from: Option<&str>,
        limit: u32,
        _now: Timestamp,
    ) -> Result<Page, PageError> {
        if self.redis.is_cluster() {
            return Err(PageError::OnlyByUser);
        }
        let mut place: u64 = from.map_or(Ok(0), str::parse).map_err(|_| PageError::Cursor)?;
        let mut page = Page::default();
        for _ in 0..MAX_STEPS {
            let wanted = (limit as usize).saturating_sub(page.sessions.len()).max(10);
            let mut scan = cmd("SCAN");
            scan.arg(place).arg("MATCH").arg(RECORDS).arg("COUNT").arg(wanted);
            let (next, keys): (u64, Vec<String>) = self.redis.query(&scan).await?;
            self.read_records(&keys, &mut page).await?;
            place = next;
            if place == 0 || page.sessions.len() >= limit as usize {
                break;
            }
        }
        page.next = (place != 0).then(|| place.to_string());
        Ok(page)
    }

    async fn read_records(&self, keys: &[String], page: &mut Page) -> Result<(), PageError> {
        if keys.is_empty() {
            return Ok(());
        }
        let records: Vec<Option<Vec<u8>>> = self.redis.query(cmd("MGET").arg(keys)).await?;
        for (key, record) in keys.iter().zip(records) {
            // A session that has ended in between has no record any more.
            if let (Some((user_id, sid)), Some(record)) = (parse_key(key), record) {
                page.sessions.push(decode(user_id, sid, &record)?);
            }
        }
        Ok(())
    }
}

fn parse_key(key: &str) -> Option<(Uuid, Uuid)> {
    let (user_id, sid) = key.strip_prefix("signet:{")?.split_once("}:s:")?;
    Some((parse_short(user_id).ok()?, parse_short(sid).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::{index_key, session_key};
    use super::*;

    #[test]
    fn the_keys_of_records_are_told_from_others() {
        let (user_id, sid) = (Uuid::from_u128(2), Uuid::from_u128(1));
        assert_eq!(parse_key(&session_key(user_id, sid)), Some((user_id, sid)));
        for other in [&*index_key(user_id), "signet:{reports}:s:x", "signet:{", ""] {
            assert_eq!(parse_key(other), None, "{other}");
        }
    }
}
