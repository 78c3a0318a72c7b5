//! How many entries of the revocation feed one session, client or user can make.

use std::collections::HashSet;

use signet::base::random::Random;
use signet::base::sealing::SealingKey;
use signet::domain::keys::Algorithm;
use signet::domain::revocations::{FollowError, Revocations, Revoked, TokenRevocation};
use signet::domain::sessions::{Recovery, Sessions};
use signet::domain::tokens::Signer;
use signet::storage::Db;
use sqlx::Row;
use uuid::Uuid;

use super::engines::{ABSOLUTE, Engine, Opened, at, new_id, new_session, open, policy, token};
use crate::support::on_each;
use crate::support::postgres::Postgres;

on_each!(Engine [Sqlite Postgres Pooler Redis], |engine| &open(engine).await, {
    the_eleventh_token_of_a_session_ends_it,
    of_fifty_at_once_ten_are_single,
    the_eleventh_token_of_a_client_is_a_cut_off,
});

/// Revokes `count` tokens of the subject one after the other.
async fn revoke(
    sessions: &Sessions,
    subject: &str,
    sid: Option<Uuid>,
    count: usize,
) -> Vec<TokenRevocation> {
    let mut outcomes = Vec::new();
    for number in 0..count {
        let token = token(subject, sid, &format!("{subject} {sid:?} {number}"), at(600));
        outcomes.push(sessions.revoke_token(&token, at(1)).await.unwrap());
    }
    outcomes
}

async fn the_eleventh_token_of_a_session_ends_it(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let other = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let subject = user_id.to_string();
    let outcomes = revoke(sessions, &subject, Some(sid), 10).await;
    assert_eq!(outcomes, [TokenRevocation::Token; 10]);
    // Another session has ten of its own.
    assert_eq!(revoke(sessions, &subject, Some(other), 1).await, [TokenRevocation::Token]);
    assert!(sessions.find(user_id, sid, at(1)).await.unwrap().is_some());
    let eleventh = token(&subject, Some(sid), "eleventh", at(600));
    let outcome = sessions.revoke_token(&eleventh, at(1)).await.unwrap();
    assert_eq!(outcome, TokenRevocation::Session { sid, user_id });
    assert!(sessions.find(user_id, sid, at(1)).await.unwrap().is_none());
    assert!(sessions.find(user_id, other, at(1)).await.unwrap().is_some());
}

async fn of_fifty_at_once_ten_are_single(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let all = (0..50).map(|number| {
        let token = token(&user_id.to_string(), Some(sid), &format!("t{number}"), at(600));
        let sessions = sessions.clone();
        tokio::spawn(async move { sessions.revoke_token(&token, at(1)).await.unwrap() })
    });
    let mut single = 0;
    for task in all.collect::<Vec<_>>() {
        single += usize::from(task.await.unwrap() == TokenRevocation::Token);
    }
    assert_eq!(single, 10);
    assert!(sessions.find(user_id, sid, at(1)).await.unwrap().is_none());
}

async fn the_eleventh_token_of_a_client_is_a_cut_off(Opened { sessions, .. }: &Opened) {
    let outcomes = revoke(sessions, "reports", None, 11).await;
    let (single, last) = (&outcomes[..10], outcomes[10]);
    assert_eq!(single, [TokenRevocation::Token; 10]);
    assert_eq!(last, TokenRevocation::Subject);
    assert_eq!(revoke(sessions, "billing", None, 1).await, [TokenRevocation::Token]);
    // The token itself is dead at once.
    let name = format!("reports {:?} 10", None::<Uuid>);
    assert!(sessions.find_live("reports", None, &name, at(2)).await.unwrap().is_none());
    assert!(sessions.find_live("reports", None, "another", at(2)).await.unwrap().is_some());
}

/// Runs `test` with sessions in each SQL database. The last argument takes over what was recorded,
/// as instances do.
async fn on_both(test: impl AsyncFn(Db, Sessions, Revocations)) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}/test.db", folder.path().display());
    for url in [file, Postgres::shared().fresh_database()] {
        let db = Db::connect(&url, 4).await.unwrap();
        db.migrate().await.unwrap();
        let revocations = Revocations::open(db.clone(), Random::system()).await.unwrap();
        let policy = policy(Recovery::Recover, 3);
        let sessions = Sessions::in_sql(db.clone(), revocations.clone(), policy);
        test(db, sessions, revocations).await;
    }
}

/// The claim and value of each entry on record, in the order of their numbers.
async fn recorded(db: &Db) -> Vec<(String, String)> {
    let query = sqlx::query("SELECT claim, value FROM revocations ORDER BY seq, part LIMIT 10000");
    let rows = db.fetch_all(query).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn one_entry_stands_for_the_session() {
    on_both(async |db, sessions, _| {
        let user_id = new_id();
        let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
        revoke(&sessions, &user_id.to_string(), Some(sid), 11).await;
        let entries = recorded(&db).await;
        assert_eq!(entries.len(), 11);
        assert_eq!(entries[10], ("sid".to_owned(), sid.to_string()));
        assert!(entries[..10].iter().all(|(claim, _)| claim == "jti"), "{entries:?}");
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_that_is_too_old_adds_nothing() {
    on_both(async |db, sessions, revocations| {
        let random = Random::system();
        // Access tokens live for 600 s, and a minute of leeway.
        let life = std::time::Duration::from_secs(660);
        revocations.observe_token_life(life, at(0)).await.unwrap();
        let (user_id, sid) = (new_id(), random.uuid_at(at(0)));
        sessions.record_lost(user_id, sid, at(ABSOLUTE + 660)).await.unwrap();
        assert_eq!(recorded(&db).await, []);
        sessions.record_lost(user_id, sid, at(ABSOLUTE + 659)).await.unwrap();
        assert_eq!(recorded(&db).await, [("sid".to_owned(), sid.to_string())]);
    })
    .await;
}

#[tokio::test]
async fn beyond_a_hundred_entries_a_cut_off_stands_for_a_user() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/keys.db", folder.path().display());
    let kek = SealingKey::generate(&Random::system());
    let keys = super::keys::open(&url, kek.expose(), Algorithm::Es256, at(0)).await;
    let signer = Signer::new(keys, "https://id.example.com".into());
    on_both(async |db, sessions, revocations| {
        let user_id = new_id();
        let mut sids = HashSet::new();
        // Three sessions stay; each further login ends the oldest.
        for second in 0..150 {
            sids.insert(sessions.start(new_session(user_id), at(second)).await.unwrap().sid);
            match revocations.follow(&signer, async || {}, at(0)).await {
                Err(FollowError::Storage(error)) => panic!("{error}"),
                // Whether a key signs it for listeners does not matter here.
                Ok(()) | Err(FollowError::Sign(_)) => {}
            }
        }
        let claims = recorded(&db).await;
        let count = |claim: &str| claims.iter().filter(|(found, _)| found == claim).count();
        assert_eq!((count("sid"), count("ended")), (100, 47));
        assert_eq!(revocations.count(), 101, "the sessions and one cut-off");
        // Each has ended, as far as Signet is concerned, and nothing younger is cut off.
        let live = sessions.list(user_id, at(150)).await.unwrap();
        let live: HashSet<_> = live.iter().map(|session| session.sid).collect();
        assert_eq!(live.len(), 3);
        for sid in &sids {
            assert_ne!(revocations.has_session(*sid), live.contains(sid));
        }
        let entries = revocations.entries(at(150));
        let before = entries.iter().find_map(|entry| match &entry.revoked {
            Revoked::Subject { before, .. } => Some(*before),
            _ => None,
        });
        // The last one to end began at 146.
        assert_eq!(before, Some(at(147)));
        // A token of a session that goes on ends alone all the same, and the eleventh ends the
        // session, which is not published any more.
        let sid = *live.iter().next().unwrap();
        let mut outcomes = Vec::new();
        for number in 0..11 {
            let mut token = token(&user_id.to_string(), Some(sid), &format!("{number}"), at(800));
            token.issued_at = Some(at(150));
            outcomes.push(sessions.revoke_token(&token, at(150)).await.unwrap());
        }
        assert_eq!(outcomes[..10], [TokenRevocation::Token; 10]);
        assert_eq!(outcomes[10], TokenRevocation::Session { sid, user_id });
        assert!(sessions.find(user_id, sid, at(150)).await.unwrap().is_none());
        assert_eq!(sessions.list(user_id, at(150)).await.unwrap().len(), 2);
        let claims = recorded(&db).await;
        let count = |claim: &str| claims.iter().filter(|(found, _)| found == claim).count();
        assert_eq!((count("sid"), count("ended")), (100, 48));
    })
    .await;
}
