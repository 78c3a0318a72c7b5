//! What every session store promises, whichever engine is behind it.

use std::collections::HashSet;

use signet::domain::sessions::{Advance, CommitError, Login, Refusal, RotationError, Session};
use uuid::Uuid;

use super::engines::{
    ABSOLUTE, CLIENT, Engine, IDLE, Opened, at, exchange, new_id, new_session, open, origin, token,
};
use crate::support::on_each;

on_each!(Engine [Sqlite Postgres Pooler Redis], |engine| &open(engine).await, {
    a_session_is_kept_as_it_was_started,
    a_refresh_advances_a_retry_replays_and_reuse_ends_the_session,
    a_late_retry_recovers_and_displaces_the_lost_successor,
    the_fourth_recovery_in_a_row_ends_the_session,
    a_newer_token_heals_a_store_that_lost_its_last_writes,
    a_refused_token_leaves_the_session_alone,
    an_abandoned_rotation_changes_nothing,
    of_many_commits_of_one_decision_one_wins,
    parallel_refreshes_converge_on_one_successor,
    a_revocation_wins_over_a_commit_beside_it,
    the_oldest_sessions_beyond_the_limit_end,
    parallel_logins_keep_to_the_limit,
    sessions_that_ended_do_not_count_against_the_limit,
    lists_show_live_sessions_of_one_user_newest_first,
    all_sessions_of_one_user_end_together,
    access_tokens_live_with_their_session_until_revoked,
    expired_records_are_purged_in_batches,
    the_store_is_healthy,
});

async fn a_session_is_kept_as_it_was_started(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let new = new_session(user_id);
    let sid = new.sid;
    let started = sessions.start(new, at(0)).await.unwrap();
    let expected = Session {
        sid,
        user_id,
        client_id: CLIENT.into(),
        scope: "openid profile".into(),
        audience: "https://api.example".into(),
        epoch: 7,
        started_at: at(0),
        login: Login::by_password(at(0)),
        current: 1,
        parent: 0,
        advanced_at: at(0),
        origin: origin(1),
    };
    assert_eq!(started, expected);
    assert_eq!(sessions.find(user_id, sid, at(5)).await.unwrap(), Some(expected.clone()));
    assert_eq!(sessions.find(new_id(), sid, at(5)).await.unwrap(), None, "another user's");
    assert_eq!(sessions.find(user_id, sid, at(IDLE)).await.unwrap(), None, "idle");

    let rotation = sessions.open_rotation(user_id, sid, 1, CLIENT, at(60)).await.unwrap();
    let advanced = Session { current: 2, parent: 1, advanced_at: at(60), ..expected };
    assert_eq!(rotation.session(), &advanced);
    sessions.commit(rotation, at(60)).await.unwrap();
    assert_eq!(sessions.find(user_id, sid, at(61)).await.unwrap(), Some(advanced));
    assert!(sessions.find(user_id, sid, at(IDLE)).await.unwrap().is_some(), "it was used since");
}

async fn a_refresh_advances_a_retry_replays_and_reuse_ends_the_session(opened: &Opened) {
    let (sessions, user_id) = (&opened.sessions, new_id());
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let present = |generation, seconds| exchange(sessions, user_id, sid, generation, at(seconds));

    assert_eq!(present(1, 100).await.unwrap(), 2);
    let before = sessions.find(user_id, sid, at(100)).await.unwrap();
    assert_eq!(present(1, 105).await.unwrap(), 2);
    assert_eq!(present(1, 110).await.unwrap(), 2);
    assert_eq!(
        sessions.find(user_id, sid, at(110)).await.unwrap(),
        before,
        "replays slide nothing"
    );
    assert_eq!(present(2, 111).await.unwrap(), 3);

    let Err(RotationError::Reuse(session)) = present(1, 112).await else { panic!("no reuse") };
    assert_eq!((session.sid, session.user_id), (sid, user_id));
    for generation in [1, 2, 3] {
        let error = present(generation, 112).await.unwrap_err();
        assert!(matches!(error, RotationError::Invalid(Refusal::Unknown)), "{error}");
    }
    assert!(sessions.list(user_id, at(112)).await.unwrap().is_empty());
}

async fn a_late_retry_recovers_and_displaces_the_lost_successor(opened: &Opened) {
    let (sessions, user_id) = (&opened.sessions, new_id());
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let present = |generation, seconds| exchange(sessions, user_id, sid, generation, at(seconds));

    assert_eq!(present(1, 0).await.unwrap(), 2);
    assert_eq!(present(1, 11).await.unwrap(), 3);
    assert_eq!(present(1, 21).await.unwrap(), 3);
    assert!(matches!(present(2, 22).await, Err(RotationError::Reuse(_))));
    assert!(matches!(present(3, 22).await, Err(RotationError::Invalid(Refusal::Unknown))));
}

async fn the_fourth_recovery_in_a_row_ends_the_session(opened: &Opened) {
    let (sessions, user_id) = (&opened.sessions, new_id());
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let present = |generation, seconds| exchange(sessions, user_id, sid, generation, at(seconds));

    assert_eq!(present(1, 0).await.unwrap(), 2);
    for (seconds, next) in [(11, 3), (22, 4), (33, 5)] {
        assert_eq!(present(1, seconds).await.unwrap(), next);
    }
    // The successor is seen at last, so its holder may lose three answers too.
    assert_eq!(present(5, 44).await.unwrap(), 6);
    for (seconds, next) in [(55, 7), (66, 8), (77, 9)] {
        assert_eq!(present(5, seconds).await.unwrap(), next);
    }
    assert_eq!(present(5, 87).await.unwrap(), 9, "within the window it is a replay");
    assert!(matches!(present(5, 88).await, Err(RotationError::Reuse(_))));
    assert!(matches!(present(9, 88).await, Err(RotationError::Invalid(Refusal::Unknown))));
}

async fn a_newer_token_heals_a_store_that_lost_its_last_writes(opened: &Opened) {
    let (sessions, user_id) = (&opened.sessions, new_id());
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;

    let rotation = sessions.open_rotation(user_id, sid, 5, CLIENT, at(1)).await.unwrap();
    assert_eq!(rotation.advance(), Some(Advance::Healed));
    assert_eq!(rotation.next_generation(), 6);
    sessions.commit(rotation, at(1)).await.unwrap();
    let rotation = sessions.open_rotation(user_id, sid, 5, CLIENT, at(2)).await.unwrap();
    assert_eq!(rotation.advance(), None);
    assert_eq!(rotation.next_generation(), 6);
    sessions.commit(rotation, at(2)).await.unwrap();
}

async fn a_refused_token_leaves_the_session_alone(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let started = sessions.start(new_session(user_id), at(0)).await.unwrap();
    let sid = started.sid;
    for (generation, client_id, seconds, expected) in [
        (1, "another", 1, Refusal::OtherClient),
        (0, CLIENT, 1, Refusal::NeverIssued),
        (u64::MAX, CLIENT, 1, Refusal::NeverIssued),
        (1, CLIENT, IDLE, Refusal::Expired),
        (1, CLIENT, ABSOLUTE, Refusal::Expired),
    ] {
        let result = sessions.open_rotation(user_id, sid, generation, client_id, at(seconds)).await;
        let Err(RotationError::Invalid(refusal)) = result else { panic!("{expected:?}: accepted") };
        assert_eq!(refusal, expected);
    }
    let other_user = sessions.open_rotation(new_id(), sid, 1, CLIENT, at(1)).await;
    assert!(matches!(other_user, Err(RotationError::Invalid(Refusal::Unknown))));
    assert_eq!(sessions.find(user_id, sid, at(1)).await.unwrap(), Some(started));
}

async fn an_abandoned_rotation_changes_nothing(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let started = sessions.start(new_session(user_id), at(0)).await.unwrap();
    let rotation = sessions.open_rotation(user_id, started.sid, 1, CLIENT, at(1)).await.unwrap();
    drop(rotation);
    assert_eq!(sessions.find(user_id, started.sid, at(1)).await.unwrap(), Some(started));
}

async fn of_many_commits_of_one_decision_one_wins(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let mut commits = Vec::new();
    for _ in 0..50 {
        let rotation = sessions.open_rotation(user_id, sid, 1, CLIENT, at(1)).await.unwrap();
        let sessions = sessions.clone();
        // None runs before all are open: the commits wait for the same test of the record.
        commits.push(async move { sessions.commit(rotation, at(1)).await });
    }
    let commits: Vec<_> = commits.into_iter().map(tokio::spawn).collect();
    let mut won = 0;
    for commit in commits {
        match commit.await.unwrap() {
            Ok(()) => won += 1,
            Err(CommitError::LostRace) => {}
            Err(CommitError::Storage(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(sessions.find(user_id, sid, at(1)).await.unwrap().unwrap().current, 2);
}

async fn parallel_refreshes_converge_on_one_successor(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    for generation in 1..4 {
        let refreshes: Vec<_> = (0..100)
            .map(|_| {
                let sessions = sessions.clone();
                tokio::spawn(
                    async move { exchange(&sessions, user_id, sid, generation, at(1)).await },
                )
            })
            .collect();
        let mut successors = HashSet::new();
        for refresh in refreshes {
            successors.insert(refresh.await.unwrap().unwrap());
        }
        assert_eq!(successors, HashSet::from([generation + 1]));
    }
}

async fn a_revocation_wins_over_a_commit_beside_it(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let mut commits_won = 0;
    for round in 0..60 {
        let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
        let rotation = sessions.open_rotation(user_id, sid, 1, CLIENT, at(1)).await.unwrap();
        let (one, other) = (sessions.clone(), sessions.clone());
        let commit = tokio::spawn(async move { one.commit(rotation, at(1)).await });
        let revoked = if round % 2 == 0 {
            other.revoke(user_id, sid, at(0)).await.unwrap()
        } else {
            other.revoke_all(user_id, at(0)).await.unwrap() == 1
        };
        assert!(revoked, "round {round}");
        match commit.await.unwrap() {
            Ok(()) => commits_won += 1,
            Err(CommitError::LostRace) => {}
            Err(CommitError::Storage(error)) => panic!("{error:?}"),
        }
        assert_eq!(sessions.find(user_id, sid, at(1)).await.unwrap(), None, "round {round}");
        assert!(!sessions.revoke(user_id, sid, at(0)).await.unwrap());
    }
    println!("the commit came first in {commits_won} of 60 rounds");
}

async fn the_oldest_sessions_beyond_the_limit_end(Opened { sessions, .. }: &Opened) {
    let (user_id, other) = (new_id(), new_id());
    sessions.start(new_session(other), at(-9)).await.unwrap();
    let mut sids = Vec::new();
    // The clock was set back before the last login, which is not to end itself.
    for seconds in [0, 10, 20, 30, 5] {
        sids.push(sessions.start(new_session(user_id), at(seconds)).await.unwrap().sid);
    }
    let live = |sessions: Vec<Session>| sessions.iter().map(|s| s.sid).collect::<Vec<_>>();
    assert_eq!(live(sessions.list(user_id, at(40)).await.unwrap()), [sids[3], sids[2], sids[4]]);
    assert_eq!(sessions.find(user_id, sids[0], at(40)).await.unwrap(), None);
    assert_eq!(sessions.list(other, at(40)).await.unwrap().len(), 1, "another user's stays");
}

async fn parallel_logins_keep_to_the_limit(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let logins: Vec<_> = (0..30)
        .map(|seconds| {
            let sessions = sessions.clone();
            tokio::spawn(async move { sessions.start(new_session(user_id), at(seconds)).await })
        })
        .collect();
    for login in logins {
        login.await.unwrap().unwrap();
    }
    let listed = sessions.list(user_id, at(40)).await.unwrap();
    // Each login spares itself, so PostgreSQL may end one more where several run at once.
    assert!((2..=3).contains(&listed.len()), "{listed:?}");
    assert_eq!([listed[0].started_at, listed[1].started_at], [at(29), at(28)]);
}

async fn sessions_that_ended_do_not_count_against_the_limit(opened: &Opened) {
    let (sessions, user_id) = (&opened.sessions, new_id());
    let kept = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    for seconds in [1, 2] {
        let sid = sessions.start(new_session(user_id), at(seconds)).await.unwrap().sid;
        sessions.revoke(user_id, sid, at(0)).await.unwrap();
    }
    for seconds in [3, 4] {
        sessions.start(new_session(user_id), at(seconds)).await.unwrap();
    }
    assert!(sessions.find(user_id, kept, at(5)).await.unwrap().is_some());

    // Past their absolute end, what is left of them is cleared away: by a login or by the purge.
    sessions.start(new_session(user_id), at(ABSOLUTE + 10)).await.unwrap();
    sessions.purge(at(ABSOLUTE + 10), 1000).await.unwrap();
    let found = sessions.find(user_id, kept, at(5)).await.unwrap();
    assert_eq!(found, None, "nor does a clock set back bring them to life again");
    assert_eq!(sessions.revoke_all(user_id, at(0)).await.unwrap(), 1);
}

async fn lists_show_live_sessions_of_one_user_newest_first(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    assert!(sessions.list(user_id, at(0)).await.unwrap().is_empty());
    let first = sessions.start(new_session(user_id), at(0)).await.unwrap();
    let second = sessions.start(new_session(user_id), at(IDLE - 1)).await.unwrap();
    sessions.start(new_session(new_id()), at(0)).await.unwrap();
    let listed = sessions.list(user_id, at(IDLE - 1)).await.unwrap();
    assert_eq!(listed, [second.clone(), first]);
    assert_eq!(sessions.list(user_id, at(IDLE)).await.unwrap(), [second]);
}

async fn all_sessions_of_one_user_end_together(Opened { sessions, .. }: &Opened) {
    let (user_id, other) = (new_id(), new_id());
    let mut sids = Vec::new();
    for seconds in 0..3 {
        sids.push(sessions.start(new_session(user_id), at(seconds)).await.unwrap().sid);
    }
    let others = sessions.start(new_session(other), at(0)).await.unwrap().sid;
    assert!(!sessions.revoke(other, sids[0], at(0)).await.unwrap(), "not theirs");
    assert_eq!(sessions.revoke_all(user_id, at(0)).await.unwrap(), 3);
    assert_eq!(sessions.revoke_all(user_id, at(0)).await.unwrap(), 0);
    for sid in sids {
        assert_eq!(sessions.find(user_id, sid, at(4)).await.unwrap(), None);
    }
    assert!(sessions.find(other, others, at(4)).await.unwrap().is_some());
}

async fn access_tokens_live_with_their_session_until_revoked(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let subject = user_id.to_string();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let is_live = async |subject: &str, sid: Option<Uuid>, jti: &str, seconds: i64| {
        sessions.find_live(subject, sid, jti, at(seconds)).await.unwrap().is_some()
    };

    assert!(is_live(&subject, Some(sid), "one", 1).await);
    assert!(is_live("reports", None, "two", 1).await);
    assert!(!is_live(&subject, Some(new_id()), "one", 1).await, "no such session");
    assert!(!is_live(&new_id().to_string(), Some(sid), "one", 1).await, "not their session");
    assert!(!is_live("reports", Some(sid), "one", 1).await, "clients have no sessions");
    assert!(!is_live(&subject, Some(sid), "one", IDLE).await, "the session is idle");

    let one = token(&subject, Some(sid), "one", at(600));
    sessions.revoke_token(&one, at(1)).await.unwrap();
    sessions.revoke_token(&one, at(1)).await.unwrap();
    sessions.revoke_token(&token("reports", None, "two", at(600)), at(1)).await.unwrap();
    sessions.revoke_token(&token("reports", None, "long over", at(1)), at(1)).await.unwrap();
    assert!(!is_live(&subject, Some(sid), "one", 2).await);
    assert!(is_live(&subject, Some(sid), "three", 2).await, "the session goes on");
    assert!(!is_live(&subject, None, "one", 2).await);
    assert!(!is_live("reports", None, "two", 2).await);
    assert!(is_live("reports", None, "three", 2).await);
    assert_eq!(exchange(sessions, user_id, sid, 1, at(3)).await.unwrap(), 2);

    sessions.revoke(user_id, sid, at(0)).await.unwrap();
    assert!(!is_live(&subject, Some(sid), "three", 3).await);
}

async fn expired_records_are_purged_in_batches(Opened { sessions, db, .. }: &Opened) {
    if db.is_none() {
        assert_eq!(sessions.purge(at(ABSOLUTE), 100).await.unwrap(), 0, "it forgets by itself");
        return;
    }
    for seconds in 0..5 {
        sessions.start(new_session(new_id()), at(seconds)).await.unwrap();
    }
    for number in 0..5 {
        let over = token("reports", None, &number.to_string(), at(100 + number));
        sessions.revoke_token(&over, at(0)).await.unwrap();
    }
    let user_id = new_id();
    let used = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    exchange(sessions, user_id, used, 1, at(100)).await.unwrap();

    assert_eq!(sessions.purge(at(99), 100).await.unwrap(), 0);
    assert_eq!(sessions.purge(at(102), 100).await.unwrap(), 3);
    assert!(sessions.find_live("reports", None, "0", at(102)).await.unwrap().is_some());
    assert!(sessions.find_live("reports", None, "4", at(102)).await.unwrap().is_none());
    let (now, mut purged) = (at(IDLE + 4), Vec::new());
    for _ in 0..4 {
        purged.push(sessions.purge(now, 3).await.unwrap());
    }
    assert_eq!(purged, [3, 3, 1, 0]);
    assert!(sessions.find(user_id, used, now).await.unwrap().is_some(), "it was used since");
}

async fn the_store_is_healthy(Opened { sessions, .. }: &Opened) {
    sessions.check_health().await.unwrap();
}
