//! What the stores of roles and of users promise of each other on both databases, however many change
//! them at once.

use futures_util::future::join_all;
use signet::base::random::Random;
use signet::base::secret::Secret;
use signet::domain::audit::{Audit, Initiator};
use signet::domain::outbox::Outbox;
use signet::domain::revocations::Revocations;
use signet::domain::roles::{Change, Expect, Refusal, RoleStore, Step, What};
use signet::domain::sessions::{Recovery, Sessions};
use signet::domain::tokens::Scope;
use signet::domain::users::store::Changed;
use signet::domain::users::{Email, Metadata, User, UserStore};
use signet::services::accounts::Accounts;
use signet::services::accounts::administration::ChangeError;
use signet::services::role_management::{RoleChangeError, RoleManagement};
use signet::storage::{Db, StorageError};
use uuid::Uuid;

use super::engines::{Engine, at, database, new_id, policy};
use crate::support::on_each;

on_each!(Engine [Sqlite Postgres Pooler], |engine| Stores::on(engine).await, {
    roles_given_at_once_are_all_there,
    one_of_the_last_two_administrators_stays,
    of_two_roles_that_carry_a_word_one_stays_unless_forced,
    a_role_is_taken_from_exactly_those_who_have_it,
    a_change_from_an_older_version_changes_nothing,
    the_built_in_role_is_made_once,
});

struct Stores {
    engine: Engine,
    db: Db,
    users: UserStore,
    store: RoleStore,
    definitions: RoleManagement,
    accounts: Accounts,
}

impl Stores {
    async fn on(engine: Engine) -> Self {
        let db = database(engine).await;
        let (users, store) = (UserStore::new(db.clone()), RoleStore::new(db.clone()));
        store.ensure_built_in(at(0)).await.unwrap();
        let audit = Audit::new(db.clone(), Random::system());
        let definitions = RoleManagement::new(store.clone(), users.clone(), audit.clone());
        let revocations = Revocations::open(db.clone(), Random::system()).await.unwrap();
        let sessions = Sessions::in_sql(db.clone(), revocations, policy(Recovery::Recover, 3));
        let (outbox, random) = (Outbox::new(db.clone(), 9), Random::system());
        let accounts = Accounts::new(db.clone(), users.clone(), sessions, outbox, audit, random);
        Self { engine, db, users, store, definitions, accounts }
    }

    async fn user(&self, roles: &str) -> Uuid {
        let id = new_id();
        let email = Email::parse(&format!("{id}@example.com")).unwrap();
        let roles = roles.split_whitespace().map(str::to_owned).collect();
        let user = User::new(id, &email, None, Secret::new("hash".into()), roles, at(0));
        self.users.create(&user).await.unwrap();
        id
    }

    async fn roles_of(&self, id: Uuid) -> String {
        self.users.find(id).await.unwrap().unwrap().roles.join(" ")
    }

    async fn change(&self, change: Change) -> Result<Step, RoleChangeError> {
        let by = &Initiator::system();
        self.definitions.change(change, by, at(1)).await.map(|decision| decision.step)
    }

    async fn define(&self, name: &str, scope: &str) {
        let scope = Scope::parse(scope).ok();
        let what = What::Put { scope, description: None };
        let change = Change { name: name.into(), what, expect: Expect::Absent, force: false };
        self.change(change).await.unwrap();
    }
}

fn removal(name: &str, force: bool) -> Change {
    Change { name: name.into(), what: What::Remove, expect: Expect::Present, force }
}

/// Gives a role or takes one away, as an operator does.
async fn turn(accounts: Accounts, id: Uuid, role: String, give: bool) -> Result<bool, ChangeError> {
    accounts.set_role(id, &role, give, false, &Initiator::system(), at(1)).await
}

async fn roles_given_at_once_are_all_there(stores: Stores) {
    let id = stores.user("").await;
    let given: Vec<_> = (0..8).map(|n| format!("role-{n}")).collect();
    let turns = given.iter().map(|role| turn(stores.accounts.clone(), id, role.clone(), true));
    let done = join_all(turns).await;
    let mut expected = Vec::new();
    for (done, role) in done.into_iter().zip(given) {
        match done {
            Ok(true) => expected.push(role),
            // Told, not swallowed; eight that go one after the other all find their turn.
            Err(ChangeError::Stale | ChangeError::Storage(StorageError::Unavailable(_)))
                if !matches!(stores.engine, Engine::Sqlite) => {}
            other => panic!("{other:?}"),
        }
    }
    let mut roles: Vec<_> =
        stores.roles_of(id).await.split_whitespace().map(str::to_owned).collect();
    roles.sort();
    assert!(!expected.is_empty());
    assert_eq!(roles, expected);
}

async fn one_of_the_last_two_administrators_stays(stores: Stores) {
    // One who may not sign in does not count.
    let disabled = stores.user("admin").await;
    let active = stores.users.find(disabled).await.unwrap().unwrap();
    let next = User { disabled_at: Some(at(0)), ..active.clone() };
    assert_eq!(stores.users.replace(&active, &next, true).await.unwrap(), Changed::Done);
    let two = [stores.user("admin clerk").await, stores.user("clerk admin").await];
    for round in 0..10 {
        let turns = two.map(|id| turn(stores.accounts.clone(), id, "admin".into(), false));
        let mut taken = 0;
        for done in join_all(turns).await {
            match done {
                Ok(done) => taken += u32::from(done),
                Err(ChangeError::LastAdministrator) => {}
                // Two that wait for each other: one of them is told to come back.
                Err(ChangeError::Storage(StorageError::Unavailable(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        let mut left = 0;
        for id in two {
            let roles = stores.roles_of(id).await;
            assert!(roles.contains("clerk"), "{roles}");
            left += u32::from(roles.contains("admin"));
        }
        assert!(left >= 1 && left + taken == 2, "round {round}: {left} left, {taken} taken");
        for id in two {
            turn(stores.accounts.clone(), id, "admin".into(), true).await.unwrap();
        }
    }
    // Who may not sign in may lose it: nobody is locked out by that.
    assert!(turn(stores.accounts.clone(), disabled, "admin".into(), false).await.unwrap());
}

async fn of_two_roles_that_carry_a_word_one_stays_unless_forced(stores: Stores) {
    stores.define("clerk", "orders:read").await;
    stores.define("auditor", "orders:read").await;
    let (one, other) = tokio::join!(
        stores.change(removal("clerk", false)),
        stores.change(removal("auditor", false))
    );
    let refused = |result: &Result<Step, RoleChangeError>| {
        matches!(result, Err(RoleChangeError::Refused(Refusal::NotForced(_))))
    };
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert!(refused(&one) || refused(&other), "{one:?} {other:?}");
    let left = stores.store.list().await.unwrap();
    let [left] = left.iter().filter(|role| !role.is_built_in()).collect::<Vec<_>>()[..] else {
        panic!("{left:?}")
    };
    stores.change(removal(&left.name, true)).await.unwrap();
    assert_eq!(stores.store.list().await.unwrap().len(), 1);
}

async fn a_role_is_taken_from_exactly_those_who_have_it(stores: Stores) {
    let mut with_it = Vec::new();
    for (before, after) in [
        ("clerk", ""),
        ("clerk other", "other"),
        ("other clerk", "other"),
        ("a clerk b", "a b"),
        ("clerk clerk", ""),
        ("clerk_1 clerk-2 sub.clerk clerks", "clerk_1 clerk-2 sub.clerk clerks"),
        ("a clerks clerk sub.clerk", "a clerks sub.clerk"),
        // As something else may have written it.
        ("Clerk", "Clerk"),
        ("", ""),
    ] {
        let id = stores.user(before).await;
        with_it.push((id, after));
    }
    assert_eq!(stores.users.count_with_role("clerk").await.unwrap(), 6);
    assert_eq!(stores.users.count_with_role("clerk_1").await.unwrap(), 1);
    let version = stores.users.find(with_it[0].0).await.unwrap().unwrap().version;
    assert_eq!(stores.users.take_role("clerk", at(5)).await.unwrap(), 6);
    for (id, after) in &with_it {
        assert_eq!(stores.roles_of(*id).await, *after);
    }
    let changed = stores.users.find(with_it[0].0).await.unwrap().unwrap();
    assert_eq!((changed.version, changed.updated_at), (version + 1, at(5)));
    let others = stores.users.find(with_it[5].0).await.unwrap().unwrap();
    assert_eq!((others.version, others.updated_at), (0, at(0)));
    assert_eq!(stores.users.count_with_role("clerk").await.unwrap(), 0);
    assert_eq!(stores.users.take_role("clerk", at(6)).await.unwrap(), 0);

    // More than one statement changes.
    for _ in 0..3 {
        stores.user("many").await;
    }
    for doubling in 0..10 {
        let copy = sqlx::query(
            "INSERT INTO users (id, email, email_key, password_hash, roles, session_epoch, \
             created_at, updated_at, version) \
             SELECT id || $1, email, email_key || $1, '', roles, 0, 0, 0, 0 FROM users \
             WHERE roles = 'many'",
        );
        let copied = stores.db.execute(copy.bind(format!("-{doubling}"))).await.unwrap();
        assert_eq!(copied, 3 << doubling);
    }
    assert_eq!(stores.users.count_with_role("many").await.unwrap(), 3072);
    assert_eq!(stores.users.take_role("many", at(7)).await.unwrap(), 3072);
    assert_eq!(stores.users.count_with_role("many").await.unwrap(), 0);
}

async fn a_change_from_an_older_version_changes_nothing(stores: Stores) {
    let id = stores.user("a").await;
    let old = stores.users.find(id).await.unwrap().unwrap();
    let metadata = serde_json::json!({ "plan": "gold" });
    let metadata = metadata.as_object().unwrap();
    let replace =
        async |user: &User, next: User| stores.users.replace(user, &next, false).await.unwrap();
    let with_metadata = |user: &User, metadata: &Metadata, now| User {
        metadata: metadata.clone(),
        updated_at: at(now),
        ..user.clone()
    };
    let with_role = |user: &User| User { roles: vec!["b".into()], ..user.clone() };
    assert_eq!(replace(&old, with_metadata(&old, metadata, 1)).await, Changed::Done);
    let none = Metadata::new();
    assert_eq!(replace(&old, with_metadata(&old, &none, 2)).await, Changed::Stale);
    assert_eq!(replace(&old, with_role(&old)).await, Changed::Stale);
    let present = stores.users.find(id).await.unwrap().unwrap();
    assert_eq!((&present.metadata, present.roles.join(" ")), (metadata, "a".into()));
    assert_eq!(replace(&present, with_role(&present)).await, Changed::Done);
    let present = stores.users.find(id).await.unwrap().unwrap();
    assert_eq!(replace(&present, with_metadata(&present, &none, 3)).await, Changed::Done);
    let present = stores.users.find(id).await.unwrap().unwrap();
    assert!(present.metadata.is_empty() && present.has_role("b"));
    assert_eq!((present.version, present.updated_at), (3, at(3)));
}

async fn the_built_in_role_is_made_once(stores: Stores) {
    for _ in 0..2 {
        stores.store.ensure_built_in(at(9)).await.unwrap();
    }
    let roles = stores.store.list().await.unwrap();
    assert_eq!(roles.len(), 1, "{roles:?}");
    assert_eq!((roles[0].name.as_str(), roles[0].created_at), ("admin", at(0)));
    assert_eq!(stores.store.find("no\0ne").await.unwrap(), None);
}
