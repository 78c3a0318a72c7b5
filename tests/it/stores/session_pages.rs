//! All sessions, a part at a time, on every engine.

use std::collections::{BTreeMap, BTreeSet};

use redis::cmd;
use signet::domain::sessions::{PageError, Recovery, Session, Sessions};
use uuid::Uuid;

use super::engines::{Engine, IDLE, at, connect, in_redis, new_id, new_session, policy};
use crate::support::redis::Redis as Server;

/// How often each session was shown, going from the first part to the last.
async fn shown(sessions: &Sessions, limit: u32, now: i64) -> BTreeMap<Uuid, usize> {
    let (mut shown, mut from) = (BTreeMap::new(), None);
    loop {
        let page = sessions.page(from.as_deref(), limit, at(now)).await.unwrap();
        for Session { sid, .. } in &page.sessions {
            *shown.entry(*sid).or_default() += 1;
        }
        from = page.next;
        if from.is_none() {
            return shown;
        }
    }
}

async fn every_live_session_is_shown(sessions: &Sessions, exactly_once: bool) {
    let mut expected = BTreeSet::new();
    for _ in 0..30 {
        let user_id = new_id();
        for second in 0..3 {
            let started = sessions.start(new_session(user_id), at(second)).await.unwrap();
            expected.insert(started.sid);
        }
    }
    for limit in [1, 7, 45, 89, 90, 200] {
        let shown = shown(sessions, limit, 5).await;
        assert_eq!(shown.keys().copied().collect::<BTreeSet<_>>(), expected, "{limit}");
        assert!(!exactly_once || shown.values().all(|times| *times == 1), "{limit}: {shown:?}");
    }
    let first = sessions.page(None, 10, at(5)).await.unwrap();
    let session = &first.sessions[0];
    let found = sessions.find(session.user_id, session.sid, at(5)).await.unwrap();
    assert_eq!(found.as_ref(), Some(session));
    for from in ["x", "-1", "1.5", ""] {
        let page = sessions.page(Some(from), 10, at(5)).await;
        assert!(matches!(page, Err(PageError::Cursor)), "{from:?}: {page:?}");
    }
    assert!(shown(sessions, 7, IDLE + 3).await.is_empty(), "they are over");
}

#[tokio::test]
async fn sqlite() {
    let opened = Engine::Sqlite.open(policy(Recovery::Recover, 3)).await;
    every_live_session_is_shown(&opened.sessions, true).await;
}

#[tokio::test]
async fn postgres() {
    let opened = Engine::Postgres.open(policy(Recovery::Recover, 3)).await;
    every_live_session_is_shown(&opened.sessions, true).await;
}

#[tokio::test]
async fn redis_among_other_keys() {
    let redis = connect(&Server::shared().fresh_database()).await;
    for number in 0..500 {
        for key in [format!("other:{number}"), format!("signet:{{{number}}}:s:not-ours")] {
            redis.query::<()>(cmd("SET").arg(key).arg(number)).await.unwrap();
        }
    }
    let sessions = in_redis(redis, policy(Recovery::Recover, 3)).await;
    every_live_session_is_shown(&sessions, false).await;
}
