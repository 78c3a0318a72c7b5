//! What the outbox and the store of mailed tokens promise on both databases, at times set by hand.

use futures_util::future::join_all;
use signet::base::secret::{Fingerprint, Secret};
use signet::domain::outbox::{Entry, Kind, Outbox};
use signet::domain::users::store::Changed;
use signet::domain::users::{Email, MailedToken, Purpose, Redemption, TokenOwner, User, UserStore};
use signet::storage::{Db, StorageError};
use uuid::Uuid;

use super::engines::{Engine, at, database, new_id};
use crate::support::on_each;

on_each!(Engine [Sqlite Postgres Pooler], |engine| database(engine).await, {
    a_row_goes_from_asked_to_sorted_to_claimed_to_gone,
    of_twenty_one_claims_a_row,
    a_claim_that_runs_out_is_the_next_ones,
    one_a_minute_and_five_an_hour_are_let_through,
    a_full_outbox_takes_only_what_tells_of_what_happened,
    what_is_not_sorted_yet_takes_no_place_of_what_is,
    a_token_is_good_once_until_it_expires,
    a_used_token_does_not_come_back,
    changes_are_guarded_by_address_epoch_and_state,
});

fn entry(kind: Kind) -> Entry {
    let recipient = "ann@example.com".to_owned();
    Entry { id: new_id(), kind, recipient, user_id: Some(new_id()), epoch: Some(3) }
}

/// A row that is ready to be delivered.
async fn sorted(outbox: &Outbox) -> Entry {
    let entry = entry(Kind::PasswordReset);
    outbox.ask(&entry, at(0)).await.unwrap();
    outbox.set_sorted(&entry, at(0)).await.unwrap();
    entry
}

async fn a_row_goes_from_asked_to_sorted_to_claimed_to_gone(db: Db) {
    let outbox = Outbox::new(db, 100);
    let asked = Entry { user_id: None, epoch: None, ..entry(Kind::PasswordReset) };
    outbox.ask(&asked, at(0)).await.unwrap();
    assert_eq!((outbox.count().await.unwrap(), outbox.due(9, at(9)).await.unwrap().len()), (1, 0));
    assert!(outbox.claim(asked.id, at(9), at(0)).await.unwrap().is_none(), "not sorted yet");
    let row = &outbox.unsorted(9).await.unwrap()[0].entry;
    assert_eq!((row.id, row.kind, row.user_id, row.epoch), (asked.id, asked.kind, None, None));

    let user_id = Some(new_id());
    let sorted = Entry { recipient: "Ann@example.com".into(), user_id, epoch: Some(2), ..asked };
    outbox.set_sorted(&sorted, at(1)).await.unwrap();
    assert!(outbox.unsorted(9).await.unwrap().is_empty());
    let other = Entry { id: new_id(), ..entry(Kind::PasswordReset) };
    let same = Entry { recipient: sorted.recipient.clone(), user_id, epoch: Some(2), ..other };
    assert!(outbox.has_same(&same).await.unwrap());
    for different in [
        Entry { id: sorted.id, recipient: same.recipient.clone(), ..same },
        Entry { id: new_id(), recipient: "other@example.com".into(), ..same },
        Entry { id: new_id(), recipient: same.recipient.clone(), epoch: Some(3), ..same },
        Entry { id: new_id(), recipient: same.recipient.clone(), epoch: None, ..same },
        Entry { id: new_id(), recipient: same.recipient.clone(), kind: Kind::Verification, ..same },
    ] {
        assert!(!outbox.has_same(&different).await.unwrap(), "{different:?}");
    }

    assert_eq!(outbox.due(9, at(1)).await.unwrap(), [sorted.id]);
    let claimed = outbox.claim(sorted.id, at(60), at(1)).await.unwrap().unwrap();
    assert_eq!((claimed.attempts, claimed.entry.recipient.as_str()), (1, "Ann@example.com"));
    assert_eq!((claimed.entry.user_id, claimed.entry.epoch), (user_id, Some(2)));
    let error = "é".repeat(400);
    outbox.put_off(&claimed, at(5), &error).await.unwrap();
    assert!(outbox.due(9, at(4)).await.unwrap().is_empty());
    let listed = outbox.list("", 9).await.unwrap().remove(0);
    assert_eq!((listed.due_at, listed.created_at, listed.attempts), (at(5), at(0), 1));
    assert!(listed.last_error.is_some_and(|kept| kept.len() == 300 && error.starts_with(&kept)));
    assert!(outbox.remove(sorted.id).await.unwrap() && !outbox.remove(sorted.id).await.unwrap());
}

async fn of_twenty_one_claims_a_row(db: Db) {
    let outbox = Outbox::new(db, 100);
    let id = sorted(&outbox).await.id;
    let claims = join_all((0..20).map(|_| outbox.claim(id, at(60), at(1)))).await;
    let won = claims.into_iter().filter(|claim| claim.as_ref().unwrap().is_some()).count();
    assert_eq!(won, 1);
}

async fn a_claim_that_runs_out_is_the_next_ones(db: Db) {
    let outbox = Outbox::new(db, 100);
    let id = sorted(&outbox).await.id;
    let first = outbox.claim(id, at(60), at(1)).await.unwrap().unwrap();
    assert!(outbox.claim(id, at(60), at(59)).await.unwrap().is_none());
    let second = outbox.claim(id, at(120), at(60)).await.unwrap().unwrap();
    assert_eq!((first.attempts, second.attempts), (1, 2));
    // The first has lost it, and cannot bring it forward.
    outbox.put_off(&first, at(61), "too late").await.unwrap();
    assert!(outbox.due(9, at(119)).await.unwrap().is_empty());
}

async fn one_a_minute_and_five_an_hour_are_let_through(db: Db) {
    let outbox = Outbox::new(db, 100);
    let admit = async |seconds: i64, id: Uuid| {
        outbox.admit(Kind::PasswordReset, "ann", id, at(seconds)).await.unwrap()
    };
    let first = new_id();
    assert!(admit(0, first).await && admit(1, first).await, "the same row may ask again");
    assert!(!admit(30, new_id()).await && !admit(60, new_id()).await, "counted from the last");
    for seconds in [61, 121, 181, 241] {
        assert!(admit(seconds, new_id()).await, "{seconds}");
    }
    for seconds in [301, 1000, 3599] {
        assert!(!admit(seconds, new_id()).await, "{seconds}");
    }
    assert!(outbox.admit(Kind::Verification, "ann", new_id(), at(301)).await.unwrap());
    assert!(outbox.admit(Kind::PasswordReset, "bob", new_id(), at(301)).await.unwrap());
    assert!(admit(3600, new_id()).await && !admit(3601, new_id()).await, "a new hour");
    // Of many at once for one address, one.
    let all = join_all((0..20).map(|_| outbox.admit(Kind::Verification, "eve", new_id(), at(0))));
    assert_eq!(all.await.into_iter().filter(|admitted| *admitted.as_ref().unwrap()).count(), 1);
    outbox.purge(at(3600 + 241)).await.unwrap();
    assert!(!admit(3602, new_id()).await, "what matters is not forgotten");
}

async fn what_is_not_sorted_yet_takes_no_place_of_what_is(db: Db) {
    let outbox = Outbox::new(db, 3);
    let letters = [sorted(&outbox).await, sorted(&outbox).await];
    let asked: Vec<_> = (0..3).map(|_| entry(Kind::PasswordReset)).collect();
    for entry in &asked {
        outbox.ask(entry, at(0)).await.unwrap();
    }
    let full = async || {
        let refused = outbox.ask(&entry(Kind::PasswordReset), at(0)).await;
        assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    };
    full().await;
    outbox.remove_unsorted(&[asked[0].id, asked[1].id, letters[0].id]).await.unwrap();
    assert_eq!(outbox.count().await.unwrap(), 3, "a letter is not removed unsent");
    // The third letter finds its place, and then there is none for more.
    outbox.set_sorted(&asked[2], at(0)).await.unwrap();
    full().await;
    assert_eq!(outbox.due(9, at(0)).await.unwrap().len(), 3);
    outbox.remove(letters[1].id).await.unwrap();
    outbox.ask(&entry(Kind::PasswordReset), at(0)).await.unwrap();
}

async fn a_full_outbox_takes_only_what_tells_of_what_happened(db: Db) {
    let outbox = Outbox::new(db.clone(), 2);
    for _ in 0..2 {
        outbox.ask(&entry(Kind::PasswordReset), at(0)).await.unwrap();
    }
    let refused = outbox.ask(&entry(Kind::PasswordReset), at(0)).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    let refused = db
        .write(async |transaction| {
            outbox.ask_in(transaction, &entry(Kind::EmailChange), at(0)).await
        })
        .await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    let notice = entry(Kind::EmailChanged);
    db.write(async |transaction| outbox.tell_in(transaction, &notice, at(0)).await).await.unwrap();
    assert_eq!(outbox.due(9, at(0)).await.unwrap(), [notice.id]);
    assert_eq!(outbox.count().await.unwrap(), 3);
}

/// A user, and a token of theirs that was issued at 0 and is good for 100 seconds.
async fn issued(db: &Db, users: &UserStore, purpose: Purpose) -> (User, MailedToken) {
    let email = Email::parse(&format!("{}@example.com", new_id())).unwrap();
    let user = User::new(new_id(), &email, None, Secret::new("hash".into()), vec![], at(0));
    users.create(&user).await.unwrap();
    let token = MailedToken {
        id: new_id(),
        purpose,
        owner: TokenOwner::User(user.id),
        email: user.email.clone(),
        epoch: Some(user.session_epoch),
        expires_at: at(100),
    };
    // Only while its letter is there.
    assert!(!users.issue_token(&token, &fingerprint(&token)).await.unwrap());
    let letter = Entry { id: token.id, ..entry(Kind::PasswordReset) };
    Outbox::new(db.clone(), 9).ask(&letter, at(0)).await.unwrap();
    assert!(users.issue_token(&token, &fingerprint(&token)).await.unwrap());
    (user, token)
}

fn fingerprint(token: &MailedToken) -> Fingerprint {
    Fingerprint::of(token.id.as_bytes())
}

async fn redeem(db: &Db, users: &UserStore, token: &MailedToken, seconds: i64) -> bool {
    let redeem = async |transaction: &mut signet::storage::Transaction<'_>| {
        users.redeem_in(transaction, token, at(seconds)).await
    };
    db.write(redeem).await.unwrap()
}

async fn a_token_is_good_once_until_it_expires(db: Db) {
    let users = UserStore::new(db.clone());
    let (_, token) = issued(&db, &users, Purpose::VerifyEmail).await;
    let found = users.find_token(&fingerprint(&token), at(99)).await.unwrap().unwrap();
    assert_eq!((found.id, found.purpose, found.owner), (token.id, token.purpose, token.owner));
    assert_eq!((found.email, found.epoch), (token.email.clone(), token.epoch));
    assert!(users.find_token(&fingerprint(&token), at(100)).await.unwrap().is_none());
    assert!(users.find_token(&Fingerprint::of(b"x"), at(0)).await.unwrap().is_none());
    assert!(!redeem(&db, &users, &token, 100).await, "expired");
    let redeemed = join_all((0..20).map(|_| redeem(&db, &users, &token, 99))).await;
    assert_eq!(redeemed.into_iter().filter(|redeemed| *redeemed).count(), 1);
    assert!(users.find_token(&fingerprint(&token), at(1)).await.unwrap().is_none());
}

async fn a_used_token_does_not_come_back(db: Db) {
    let users = UserStore::new(db.clone());
    let (_, token) = issued(&db, &users, Purpose::ResetPassword).await;
    // Sent once more, it is good for longer.
    let again = MailedToken { expires_at: at(200), ..token.clone() };
    assert!(users.issue_token(&again, &fingerprint(&token)).await.unwrap());
    assert!(redeem(&db, &users, &token, 150).await);
    assert!(!users.issue_token(&again, &fingerprint(&token)).await.unwrap());
    users.purge_tokens(at(199), at(199)).await.unwrap();
    assert!(!users.issue_token(&again, &fingerprint(&token)).await.unwrap(), "still known");
    users.purge_tokens(at(200), at(200)).await.unwrap();
    let (user, token) = issued(&db, &users, Purpose::ResetPassword).await;
    assert_eq!(users.delete(&user, true).await.unwrap(), Changed::Done);
    assert!(users.find_token(&fingerprint(&token), at(1)).await.unwrap().is_none());
}

async fn changes_are_guarded_by_address_epoch_and_state(db: Db) {
    let users = UserStore::new(db.clone());
    let apply = async |token: &MailedToken, user: &User, redemption: Redemption<'_>| {
        db.write(async |transaction| {
            users.apply_in(transaction, token, user, redemption, at(5)).await
        })
        .await
    };
    let hash = Secret::new("new".to_owned());
    let reset =
        async |token: &MailedToken, user: &User| apply(token, user, Redemption::Reset(&hash)).await;
    let verify =
        async |token: &MailedToken, user: &User| apply(token, user, Redemption::Verify).await;
    let change =
        async |token: &MailedToken, user: &User| apply(token, user, Redemption::Move).await;
    let moved = |user: &User| User { email_key: "elsewhere@example.com".into(), ..user.clone() };
    let (user, token) = issued(&db, &users, Purpose::ResetPassword).await;
    let elsewhere = MailedToken { email: "elsewhere@example.com".into(), ..token.clone() };
    let later = MailedToken { epoch: Some(1), ..token.clone() };
    let any = MailedToken { epoch: None, ..token.clone() };
    for wrong in [&later, &any] {
        assert!(!reset(wrong, &user).await.unwrap(), "{wrong:?}");
    }
    assert!(!reset(&token, &moved(&user)).await.unwrap());
    assert!(!elsewhere.fits(&user) && token.fits(&user));
    assert!(!verify(&token, &moved(&user)).await.unwrap());
    assert!(reset(&token, &user).await.unwrap());
    assert!(!reset(&token, &user).await.unwrap(), "the epoch was raised");
    let changed = users.find(user.id).await.unwrap().unwrap();
    assert_eq!(changed.password_hash.expose(), "new");
    assert_eq!((changed.email_verified_at, changed.session_epoch), (Some(at(5)), 1));

    let to_new = MailedToken { epoch: Some(1), ..elsewhere };
    assert!(
        !change(&to_new, &User { email_key: "not@example.com".into(), ..user.clone() })
            .await
            .unwrap()
    );
    assert!(change(&to_new, &user).await.unwrap());
    let changed = users.find_by_email_key("elsewhere@example.com").await.unwrap().unwrap();
    assert_eq!((changed.id, changed.session_epoch), (user.id, 1), "sessions go on");
    let (other, token) = issued(&db, &users, Purpose::ChangeEmail).await;
    let taken = MailedToken { email: "ELSEWHERE@example.com".into(), ..token.clone() };
    let conflict = change(&taken, &other).await;
    assert!(matches!(conflict, Err(StorageError::Conflict)), "{conflict:?}");

    let disabled =
        User { disabled_at: Some(at(6)), session_epoch: other.session_epoch + 1, ..other.clone() };
    assert_eq!(users.replace(&other, &disabled, true).await.unwrap(), Changed::Done);
    let present = MailedToken { epoch: Some(1), ..token.clone() };
    assert!(!reset(&present, &other).await.unwrap() && !verify(&present, &other).await.unwrap());
    assert!(!change(&present, &other).await.unwrap());
}
