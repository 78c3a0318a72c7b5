//! What every session store promises to who looks at their sessions: where each was used from, and
//! that all others can be ended at once.

use signet::domain::sessions::{CommitError, Origin};

use super::engines::{CLIENT, Engine, Opened, at, exchange, new_id, new_session, open, origin};
use crate::support::on_each;

on_each!(Engine [Sqlite Postgres Pooler Redis], |engine| &open(engine).await, {
    a_refresh_notes_where_it_came_from,
    an_unknown_origin_stays_unknown,
    all_sessions_but_one_end_together,
    the_session_that_is_kept_counts_against_the_limit_as_before,
    a_session_is_kept_while_it_is_refreshed,
    a_session_is_kept_while_others_begin,
});

async fn a_refresh_notes_where_it_came_from(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let refresh = async |generation, from, seconds| {
        let now = at(seconds);
        let rotation = sessions.open_rotation(user_id, sid, generation, CLIENT, now).await.unwrap();
        sessions.commit(rotation.asked_from(from), now).await.unwrap();
        let found = sessions.find(user_id, sid, now).await.unwrap().unwrap();
        assert_eq!(sessions.list(user_id, now).await.unwrap(), std::slice::from_ref(&found));
        found.origin
    };
    let v4 = Origin { address: Some("203.0.113.9".parse().unwrap()), user_agent: None };
    assert_eq!(refresh(1, origin(2), 100).await, origin(2));
    assert_eq!(refresh(1, origin(3), 105).await, origin(2), "a retry changes nothing");
    assert_eq!(refresh(2, v4.clone(), 200).await, v4);
    assert_eq!(refresh(3, Origin::default(), 300).await, Origin::default());
}

async fn an_unknown_origin_stays_unknown(Opened { sessions, .. }: &Opened) {
    let mut new = new_session(new_id());
    new.origin = Origin::default();
    let started = sessions.start(new, at(0)).await.unwrap();
    let found = sessions.find(started.user_id, started.sid, at(1)).await.unwrap();
    assert_eq!(found, Some(started));
}

async fn all_sessions_but_one_end_together(Opened { sessions, .. }: &Opened) {
    let (user_id, other) = (new_id(), new_id());
    let subject = user_id.to_string();
    let mut sids = Vec::new();
    for seconds in 0..3 {
        sids.push(sessions.start(new_session(user_id), at(seconds)).await.unwrap().sid);
    }
    let of_another = sessions.start(new_session(other), at(0)).await.unwrap().sid;
    let kept = sids[1];
    let before = sessions.find(user_id, kept, at(4)).await.unwrap();
    assert_eq!(sessions.revoke_others(user_id, kept, at(0)).await.unwrap(), 2);
    assert_eq!(sessions.revoke_others(user_id, kept, at(0)).await.unwrap(), 0);
    assert_eq!(sessions.find(user_id, kept, at(4)).await.unwrap(), before, "untouched");
    for sid in [sids[0], sids[2]] {
        assert_eq!(sessions.find(user_id, sid, at(4)).await.unwrap(), None);
        assert_eq!(sessions.find_live(&subject, Some(sid), "one", at(4)).await.unwrap(), None);
    }
    assert!(sessions.find_live(&subject, Some(kept), "one", at(4)).await.unwrap().is_some());
    assert_eq!(exchange(sessions, user_id, kept, 1, at(5)).await.unwrap(), 2);
    assert!(sessions.find(other, of_another, at(5)).await.unwrap().is_some(), "another user's");
    // Another's session is none to keep.
    assert_eq!(sessions.revoke_others(user_id, of_another, at(0)).await.unwrap(), 1);
    assert!(sessions.find(other, of_another, at(5)).await.unwrap().is_some());
}

async fn the_session_that_is_kept_counts_against_the_limit_as_before(opened: &Opened) {
    let (sessions, user_id) = (&opened.sessions, new_id());
    let kept = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    sessions.start(new_session(user_id), at(1)).await.unwrap();
    assert_eq!(sessions.revoke_others(user_id, kept, at(0)).await.unwrap(), 1);
    for seconds in [2, 3] {
        sessions.start(new_session(user_id), at(seconds)).await.unwrap();
        assert!(sessions.find(user_id, kept, at(4)).await.unwrap().is_some(), "{seconds}");
    }
    sessions.start(new_session(user_id), at(4)).await.unwrap();
    assert_eq!(sessions.find(user_id, kept, at(5)).await.unwrap(), None, "now it is the oldest");
    assert_eq!(sessions.revoke_all(user_id, at(0)).await.unwrap(), 3);
}

async fn a_session_is_kept_while_it_is_refreshed(Opened { sessions, .. }: &Opened) {
    let mut commits_won = 0;
    for round in 0..40 {
        let user_id = new_id();
        let kept = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
        let other = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
        let rotation = sessions.open_rotation(user_id, other, 1, CLIENT, at(1)).await.unwrap();
        let (one, two) = (sessions.clone(), sessions.clone());
        let commit = tokio::spawn(async move { one.commit(rotation, at(1)).await });
        let refresh = tokio::spawn(async move { exchange(&two, user_id, kept, 1, at(1)).await });
        assert_eq!(sessions.revoke_others(user_id, kept, at(0)).await.unwrap(), 1, "round {round}");
        match commit.await.unwrap() {
            Ok(()) => commits_won += 1,
            Err(CommitError::LostRace) => {}
            Err(CommitError::Storage(error)) => panic!("{error:?}"),
        }
        assert_eq!(refresh.await.unwrap().unwrap(), 2, "round {round}");
        let listed = sessions.list(user_id, at(1)).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|session| (session.sid, session.current)).collect();
        assert_eq!(listed, [(kept, 2)], "round {round}");
    }
    println!("the commit came first in {commits_won} of 40 rounds");
}

async fn a_session_is_kept_while_others_begin(Opened { sessions, .. }: &Opened) {
    for round in 0..20 {
        let user_id = new_id();
        let ended = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
        // The newest, so that the limit does not end it.
        let kept = sessions.start(new_session(user_id), at(9)).await.unwrap().sid;
        let login = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.start(new_session(user_id), at(1)).await }
        });
        sessions.revoke_others(user_id, kept, at(0)).await.unwrap();
        let begun = login.await.unwrap().unwrap().sid;
        let mut listed: Vec<_> =
            sessions.list(user_id, at(10)).await.unwrap().iter().map(|s| s.sid).collect();
        listed.retain(|sid| *sid != begun);
        assert_eq!(listed, [kept], "round {round}: {ended} is over, {begun} may be");
        sessions.revoke_all(user_id, at(0)).await.unwrap();
    }
}
