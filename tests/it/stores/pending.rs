//! What the store of pending sign-ups promises on both databases, at times set by hand.

use futures_util::future::join_all;
use signet::base::secret::{Fingerprint, Secret};
use signet::base::time::Timestamp;
use signet::domain::outbox::{Entry, Kind, Outbox};
use signet::domain::users::store::Changed;
use signet::domain::users::{
    Email, MailedToken, PendingSignup, Purpose, TokenOwner, User, UserStore,
};
use signet::storage::{Db, StorageError};
use uuid::Uuid;

use super::engines::{Engine, at, database, new_id};
use crate::support::on_each;

on_each!(Engine [Sqlite Postgres Pooler], |engine| database(engine).await, {
    five_of_an_address_stand_beside_each_other,
    many_at_once_leave_five,
    a_token_changes_nothing_about_its_sign_up,
    what_is_over_is_forgotten,
    a_signup_token_is_the_users_until_sessions_end,
});

const KEY: &str = "ann@example.com";

/// The `number`th sign-up: later ones sort after it.
fn signup(number: u128, expires_at: Timestamp) -> PendingSignup {
    PendingSignup {
        id: Uuid::from_u128(number),
        email: "Ann@example.com".into(),
        name: Some("Ann".into()),
        password_hash: Secret::new(format!("hash {number}")),
        fingerprint: Fingerprint::of(&number.to_be_bytes()),
        expires_at,
    }
}

async fn add(db: &Db, users: &UserStore, signup: &PendingSignup, now: Timestamp) {
    let add = async |transaction: &mut signet::storage::Transaction<'_>| {
        users.add_pending_in(transaction, signup, now).await
    };
    db.write(add).await.unwrap();
}

async fn standing(users: &UserStore, now: Timestamp) -> Vec<u128> {
    let found = users.find_pending(KEY, now).await.unwrap();
    found.iter().map(|signup| signup.id.as_u128()).collect()
}

async fn five_of_an_address_stand_beside_each_other(db: Db) {
    let users = UserStore::new(db.clone());
    for number in 1..=5 {
        add(&db, &users, &signup(number, at(100)), at(0)).await;
    }
    assert_eq!(standing(&users, at(0)).await, [5, 4, 3, 2, 1]);
    let found = &users.find_pending(KEY, at(0)).await.unwrap()[4];
    assert_eq!((found.email.as_str(), found.name.as_deref()), ("Ann@example.com", Some("Ann")));
    assert_eq!((found.password_hash.expose().as_str(), found.expires_at), ("hash 1", at(100)));
    assert!(found.fingerprint == Fingerprint::of(&1_u128.to_be_bytes()));
    add(&db, &users, &signup(6, at(100)), at(0)).await;
    assert_eq!(standing(&users, at(0)).await, [6, 5, 4, 3, 2]);
    let other = PendingSignup { email: "bob@example.com".into(), ..signup(7, at(100)) };
    add(&db, &users, &other, at(0)).await;
    assert_eq!(standing(&users, at(0)).await, [6, 5, 4, 3, 2], "each address has its own");
    // One that has expired does not take the place of one that stands.
    add(&db, &users, &signup(8, at(5)), at(0)).await;
    add(&db, &users, &signup(9, at(100)), at(5)).await;
    assert_eq!(standing(&users, at(5)).await, [9, 6, 5, 4, 3]);
    assert!(standing(&users, at(100)).await.is_empty());
    assert!(users.find_pending("ann\0@example.com", at(0)).await.unwrap().is_empty());
}

async fn many_at_once_leave_five(db: Db) {
    let users = UserStore::new(db.clone());
    let signups: Vec<_> = (1..=20).map(|number| signup(number, at(100))).collect();
    join_all(signups.iter().map(|signup| add(&db, &users, signup, at(0)))).await;
    assert_eq!(standing(&users, at(0)).await.len(), 5);
}

/// A token of `signup_id` whose message waits.
async fn issued(db: &Db, users: &UserStore, signup_id: Option<Uuid>) -> MailedToken {
    let email = "Ann@example.com".to_owned();
    let purpose = Purpose::VerifyEmail;
    let (owner, epoch) = (TokenOwner::SignUp(signup_id), None);
    let token = MailedToken { id: new_id(), purpose, owner, email, epoch, expires_at: at(50) };
    // Only while its message is there.
    assert!(!users.issue_token(&token, &fingerprint(&token)).await.unwrap());
    let (id, kind, recipient) = (token.id, Kind::SignUp, token.email.clone());
    let entry = Entry { id, kind, recipient, user_id: signup_id, epoch: None };
    Outbox::new(db.clone(), 9).ask(&entry, at(0)).await.unwrap();
    assert!(users.issue_token(&token, &fingerprint(&token)).await.unwrap());
    token
}

fn fingerprint(token: &MailedToken) -> Fingerprint {
    Fingerprint::of(token.id.as_bytes())
}

async fn a_token_changes_nothing_about_its_sign_up(db: Db) {
    let users = UserStore::new(db.clone());
    for number in 1..=2 {
        add(&db, &users, &signup(number, at(100)), at(0)).await;
    }
    let token = issued(&db, &users, Some(Uuid::from_u128(1))).await;
    assert_eq!(standing(&users, at(49)).await, [2, 1]);
    assert_eq!(standing(&users, at(99)).await, [2, 1], "it stays as long as it was to");
    let found = users.find_token(&fingerprint(&token), at(49)).await.unwrap().unwrap();
    assert_eq!((found.id, found.purpose, found.owner), (token.id, token.purpose, token.owner));
    assert_eq!((found.email, found.expires_at), (token.email.clone(), at(50)));
    assert!(users.find_token(&fingerprint(&token), at(50)).await.unwrap().is_none());
    // One for any of them keeps none of them for longer.
    let any = issued(&db, &users, None).await;
    let later = MailedToken { expires_at: at(200), ..any.clone() };
    assert!(users.issue_token(&later, &fingerprint(&any)).await.unwrap());
    assert!(standing(&users, at(100)).await.is_empty());
    let redeem = async |seconds: i64| {
        let redeem = async |transaction: &mut signet::storage::Transaction<'_>| {
            let taken = users.take_pending_in(transaction, Uuid::from_u128(1), at(seconds)).await?;
            let redeemed = users.redeem_in(transaction, &later, at(seconds)).await?;
            if !(taken && redeemed) {
                return Err(StorageError::Conflict);
            }
            users.end_pending_in(transaction, KEY, at(seconds)).await
        };
        db.write(redeem).await.is_ok()
    };
    assert!(!redeem(100).await, "expired");
    assert_eq!(standing(&users, at(99)).await, [2, 1]);
    let redeemed = join_all((0..10).map(|_| redeem(99))).await;
    assert_eq!(redeemed.into_iter().filter(|done| *done).count(), 1);
    assert!(standing(&users, at(0)).await.is_empty());
    // Nor does any other token prove the address now, sent again or not.
    for token in [&token, &later] {
        assert!(users.find_token(&fingerprint(token), at(1)).await.unwrap().is_none());
        assert!(!users.issue_token(token, &fingerprint(token)).await.unwrap());
    }
}

async fn what_is_over_is_forgotten(db: Db) {
    let users = UserStore::new(db.clone());
    add(&db, &users, &signup(1, at(60)), at(0)).await;
    let token = issued(&db, &users, None).await;
    users.purge_tokens(at(59), at(49)).await.unwrap();
    assert_eq!(standing(&users, at(0)).await, [1]);
    assert!(users.find_token(&fingerprint(&token), at(1)).await.unwrap().is_some());
    users.purge_tokens(at(60), at(50)).await.unwrap();
    assert!(standing(&users, at(0)).await.is_empty());
    assert!(users.find_token(&fingerprint(&token), at(1)).await.unwrap().is_none());
}

async fn a_signup_token_is_the_users_until_sessions_end(db: Db) {
    let users = UserStore::new(db.clone());
    let email = Email::parse("ann@example.com").unwrap();
    let user = User::new(new_id(), &email, None, Secret::new("hash".into()), vec![], at(0));
    let other = User { id: new_id(), ..user.clone() };
    let (right, wrong) = (Fingerprint::of(b"right"), Fingerprint::of(b"wrong"));
    db.write(async |transaction| {
        assert!(users.create_unless_taken_in(transaction, &user).await?);
        users.keep_signup_token_in(transaction, &user, &right).await
    })
    .await
    .unwrap();
    let has = async |user: &User, fingerprint: &Fingerprint| {
        users.has_signup_token(user, fingerprint).await.unwrap()
    };
    assert!(has(&user, &right).await && !has(&user, &wrong).await && !has(&other, &right).await);
    users.end_sessions(user.id).await.unwrap();
    let user = users.find(user.id).await.unwrap().unwrap();
    assert!(!has(&user, &right).await);
    assert_eq!(users.delete(&user, true).await.unwrap(), Changed::Done);
}
