//! What the store of signing keys promises on both databases: a change is made as a whole and from
//! the version that was read, or not at all.

use std::time::Duration;

use signet::base::random::Random;
use signet::base::sealing::{SealingKey, SealingKeys};
use signet::base::time::Timestamp;
use signet::domain::keys::rotation::{NOT_PLANNED, Times};
use signet::domain::keys::store::{Change, KeyStore, StoredKey};
use signet::domain::keys::{Algorithm, Algorithms, Keys, Policy, Vault};
use signet::storage::{Db, StorageError};

use super::engines::{Engine, at, database};
use crate::support::on_each;
use crate::support::postgres::Postgres;

on_each!(Engine [Sqlite Postgres Pooler], |engine| &Tested::on(database(engine).await), {
    a_change_is_made_as_a_whole,
    a_change_from_an_older_version_changes_nothing,
    two_keys_without_a_successor_are_refused,
    of_twenty_changes_from_one_version_one_wins,
    a_revoked_key_is_not_published_whatever_the_time,
    what_is_sealed_is_replaced_only_if_it_is_still_the_same,
    a_row_that_does_not_count_is_in_nobodys_way,
    a_row_that_makes_no_sense_hides_no_other,
    tags_are_given_to_all_rows_once,
    a_row_is_withdrawn_without_its_tag,
    the_version_before_reads_the_keys_and_changes_none,
});

/// A store, and a way around it.
struct Tested {
    store: KeyStore,
    db: Db,
}

impl std::ops::Deref for Tested {
    type Target = KeyStore;

    fn deref(&self) -> &KeyStore {
        &self.store
    }
}

impl Tested {
    fn on(db: Db) -> Self {
        Self { store: KeyStore::new(db.clone()), db }
    }

    async fn execute(&self, statement: &'static str) {
        assert_eq!(self.db.execute(sqlx::query(statement)).await.unwrap(), 1, "{statement}");
    }
}

fn stored(kid: &str, times: Times) -> StoredKey {
    StoredKey {
        kid: kid.into(),
        algorithm: Algorithm::Es256,
        public_key: format!("public part of {kid}"),
        private_key: format!("private part of {kid}"),
        times,
        revoked_at: None,
        tag: Some(format!("tag of {kid}")),
    }
}

/// A step that changes `changed` and adds `added`.
fn change(from_version: i64, changed: Vec<StoredKey>, added: Option<StoredKey>) -> Change<'static> {
    Change {
        algorithm: Algorithm::Es256,
        from_version,
        replaced: None,
        changed,
        added,
        ignores: &|_| false,
        owed: None,
    }
}

fn until(kid: &str, from: i64, until: Timestamp) -> StoredKey {
    let times = Times::new(at(0), at(from));
    stored(kid, Times { deactivates_at: Some(until), ..times })
}

/// A first key and its spare; the version after them is 2.
async fn begin(store: &KeyStore) {
    let first = stored("first", Times::new(at(0), at(0)));
    store.apply(&change(0, Vec::new(), Some(first))).await.unwrap();
    let spare = stored("spare", Times::new(at(0), NOT_PLANNED));
    let first = until("first", 0, NOT_PLANNED);
    store.apply(&change(1, vec![first], Some(spare))).await.unwrap();
}

/// All there is, as it is compared.
async fn contents(store: &KeyStore) -> (i64, Vec<(String, Times, Option<Timestamp>)>) {
    let keys = store.load_all(|_| true).await.unwrap().keys;
    let keys = keys.into_iter().map(|key| (key.kid, key.times, key.revoked_at)).collect();
    (store.head(Algorithm::Es256).await.unwrap().version, keys)
}

async fn a_change_is_made_as_a_whole(store: &KeyStore) {
    assert_eq!(contents(store).await, (0, Vec::new()));
    begin(store).await;
    let spare = Times::new(at(0), NOT_PLANNED);
    let first = until("first", 0, NOT_PLANNED).times;
    let expected = vec![("spare".to_owned(), spare, None), ("first".to_owned(), first, None)];
    assert_eq!(contents(store).await, (2, expected), "newest first");
    let found = store.find("spare").await.unwrap().unwrap();
    assert_eq!(
        (found.public_key.as_str(), found.private_key.as_str()),
        ("public part of spare", "private part of spare",)
    );
    assert_eq!(found.tag.as_deref(), Some("tag of spare"));
    assert!(store.find("another").await.unwrap().is_none());
    assert_eq!(
        store.head(Algorithm::Rs256).await.unwrap().version,
        0,
        "each algorithm has its own"
    );
}

async fn a_change_from_an_older_version_changes_nothing(store: &KeyStore) {
    begin(store).await;
    let before = contents(store).await;
    for version in [0, 1, 3] {
        let added = stored("late", Times::new(at(5), NOT_PLANNED));
        let changed = vec![until("first", 0, at(9)), until("spare", 9, NOT_PLANNED)];
        let result = store.apply(&change(version, changed, Some(added))).await;
        assert!(matches!(result, Err(StorageError::Conflict)), "{version}: {result:?}");
        assert_eq!(contents(store).await, before, "{version}");
    }
}

async fn two_keys_without_a_successor_are_refused(store: &KeyStore) {
    begin(store).await;
    let before = contents(store).await;
    let added = stored("second", Times::new(at(5), NOT_PLANNED));
    let result = store.apply(&change(2, vec![until("first", 0, at(9))], Some(added))).await;
    assert!(matches!(result, Err(StorageError::Conflict)), "{result:?}");
    assert_eq!(contents(store).await, before, "nor is anything left of the change");
}

async fn of_twenty_changes_from_one_version_one_wins(store: &KeyStore) {
    begin(store).await;
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let added = stored(&format!("new-{number}"), Times::new(at(5), NOT_PLANNED));
                let changed = vec![until("first", 0, at(9)), until("spare", 9, NOT_PLANNED)];
                store.apply(&change(2, changed, Some(added))).await
            })
        })
        .collect();
    let mut won = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, StorageError::Conflict), "{error}"),
        }
    }
    let (version, keys) = contents(store).await;
    assert_eq!((won, version, keys.len()), (1, 3, 3), "{keys:?}");
}

async fn a_revoked_key_is_not_published_whatever_the_time(store: &KeyStore) {
    begin(store).await;
    let mut first = until("first", 0, at(9));
    first.times.retires_at = Some(at(9));
    let mut spare = until("spare", 9, NOT_PLANNED);
    spare.times.deactivates_at = None;
    first.revoked_at = Some(at(9));
    store.apply(&change(2, vec![first, spare], None)).await.unwrap();
    let published = async |now| {
        let keys = store.load_published(at(now), |_| true).await.unwrap().keys;
        keys.into_iter().map(|key| key.kid).collect::<Vec<_>>()
    };
    // Also for an instance whose clock is behind.
    assert_eq!([published(8).await, published(9).await], [["spare"], ["spare"]]);
    let (_, keys) = contents(store).await;
    let revoked: Vec<_> = keys.into_iter().map(|(kid, _, at)| (kid, at)).collect();
    assert_eq!(revoked, [("spare".to_owned(), None), ("first".to_owned(), Some(at(9)))]);
}

async fn what_is_sealed_is_replaced_only_if_it_is_still_the_same(store: &KeyStore) {
    begin(store).await;
    let first = store.find("first").await.unwrap().unwrap();
    let with = |private: &str, tag: &str| StoredKey {
        private_key: private.into(),
        tag: Some(tag.into()),
        ..first.clone()
    };
    let new = with("new", "new tag");
    for other in [with("another", "tag of first"), with("private part of first", "another")] {
        assert!(!store.replace_sealed(&other, &new).await.unwrap());
    }
    assert!(store.replace_sealed(&first, &new).await.unwrap());
    assert!(!store.replace_sealed(&first, &with("newer", "newer")).await.unwrap());
    let found = store.find("first").await.unwrap().unwrap();
    assert_eq!((found.private_key, found.tag), (new.private_key, new.tag));

    assert_eq!(store.find_secret("name").await.unwrap(), None);
    store.create_secret("name", "old", at(0)).await.unwrap();
    let again = store.create_secret("name", "other", at(0)).await;
    assert!(matches!(again, Err(StorageError::Conflict)), "{again:?}");
    assert!(!store.replace_secret("name", "another", "new").await.unwrap());
    assert!(store.replace_secret("name", "old", "new").await.unwrap());
    assert_eq!(store.find_secret("name").await.unwrap().as_deref(), Some("new"));
}

async fn a_row_that_does_not_count_is_in_nobodys_way(store: &KeyStore) {
    begin(store).await;
    let added = stored("second", Times::new(at(5), NOT_PLANNED));
    let spare = |key: &StoredKey| key.kid == "spare";
    let beside = |ignores| Change {
        ignores,
        ..change(2, vec![until("first", 0, NOT_PLANNED)], Some(added.clone()))
    };
    let refused = store.apply(&beside(&|_| false)).await;
    assert!(matches!(refused, Err(StorageError::Conflict)), "{refused:?}");
    store.apply(&beside(&spare)).await.unwrap();
    assert_eq!(contents(store).await.1.len(), 3);
}

async fn a_row_that_makes_no_sense_hides_no_other(store: &Tested) {
    begin(store).await;
    store.execute("UPDATE signing_keys SET algorithm = 'ROT13' WHERE kid = 'first'").await;
    for rows in [
        store.load_all(|_| true).await.unwrap(),
        store.load_published(at(1), |_| true).await.unwrap(),
    ] {
        let kids: Vec<_> = rows.keys.iter().map(|key| key.kid.as_str()).collect();
        assert_eq!((kids, rows.unreadable), (vec!["spare"], vec!["first".to_owned()]));
    }
}

async fn tags_are_given_to_all_rows_once(store: &Tested) {
    begin(store).await;
    store.execute("UPDATE signing_keys SET tag = NULL WHERE kid = 'first'").await;
    let tagged = |kid: &str| StoredKey {
        private_key: "sealed anew".into(),
        tag: Some("given".into()),
        ..stored(kid, Times::new(at(0), at(0)))
    };
    let done = ("done", "once");
    // All or nothing: the spare has one already.
    let both = store.tag_all(&[tagged("first"), tagged("spare")], done, at(1)).await;
    assert!(matches!(both, Err(StorageError::Conflict)), "{both:?}");
    assert_eq!(store.find_secret("done").await.unwrap(), None);
    store.tag_all(&[tagged("first")], done, at(1)).await.unwrap();
    let first = store.find("first").await.unwrap().unwrap();
    assert_eq!((first.tag.as_deref(), first.private_key.as_str()), (Some("given"), "sealed anew"));
    assert_eq!(store.find("spare").await.unwrap().unwrap().tag.as_deref(), Some("tag of spare"));
    assert_eq!(store.find_secret("done").await.unwrap().as_deref(), Some("once"));
    let again = store.tag_all(&[], done, at(2)).await;
    assert!(matches!(again, Err(StorageError::Conflict)), "{again:?}");
}

async fn a_row_is_withdrawn_without_its_tag(store: &KeyStore) {
    begin(store).await;
    let first = store.find("first").await.unwrap().unwrap();
    let stale = store.withdraw(&first, 1, at(9)).await;
    assert!(matches!(stale, Err(StorageError::Conflict)), "{stale:?}");
    store.withdraw(&first, 2, at(9)).await.unwrap();
    let left = store.find("first").await.unwrap().unwrap();
    assert_eq!(
        (left.tag, left.revoked_at, left.times.retires_at),
        (None, Some(at(9)), Some(at(9)))
    );
    assert_eq!(store.head(Algorithm::Es256).await.unwrap().version, 3);
    let again = store.withdraw(&first, 3, at(10)).await;
    assert!(matches!(again, Err(StorageError::Conflict)), "{again:?}");
}

async fn the_version_before_reads_the_keys_and_changes_none(store: &Tested) {
    begin(store).await;
    let before = contents(store).await;
    let version = "SELECT version FROM key_chains WHERE algorithm = $1";
    let version = store.db.fetch_optional(sqlx::query(version).bind("ES256")).await.unwrap();
    assert_eq!(sqlx::Row::try_get::<i64, _>(&version.unwrap(), "version").unwrap(), 2);
    // How each of its changes begins.
    let raise = "INSERT INTO key_chains (algorithm, version) VALUES ($1, $2 + 1) \
                 ON CONFLICT (algorithm) DO UPDATE SET version = key_chains.version + 1 \
                 WHERE key_chains.version = $2";
    for algorithm in ["ES256", "RS256"] {
        let raised = store.db.execute(sqlx::query(raise).bind(algorithm).bind(2_i64)).await;
        assert!(raised.is_err(), "{algorithm}: {raised:?}");
    }
    assert_eq!(contents(store).await, before);
}

const LIFETIME: Duration = Duration::from_secs(60);

pub(super) async fn open(url: &str, kek: &str, algorithm: Algorithm, now: Timestamp) -> Keys {
    let db = Db::connect(url, 4).await.unwrap();
    db.migrate().await.unwrap();
    let algorithms = Algorithms { default: algorithm, by_audience: Vec::new(), also: Vec::new() };
    let seconds = Duration::from_secs;
    let policy = Policy::new(algorithms, 2048, Some(seconds(300)), seconds(60), seconds(10));
    let vault = Vault::open(SealingKeys::parse(kek).unwrap(), None).unwrap();
    Keys::open(&db, vault, policy.unwrap(), LIFETIME, now).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_that_find_a_rotation_due_make_one_new_key() {
    let url = Postgres::shared().fresh_database();
    let kek = SealingKey::generate(&Random::system());
    let mut now = at(0);
    let (one, two) = tokio::join!(
        open(&url, kek.expose(), Algorithm::Es256, now),
        open(&url, kek.expose(), Algorithm::Es256, now)
    );
    assert_eq!(one.list(now).await.unwrap().len(), 2, "a first key and its spare");
    for round in 0..100 {
        let nothing = one.maintain(LIFETIME, now).await.unwrap();
        assert!(nothing.is_empty(), "round {round}: nothing is due yet");
        now = now.plus(Duration::from_secs(if round == 0 { 240 } else { 300 }));
        let (by_one, by_two) =
            tokio::join!(one.maintain(LIFETIME, now), two.maintain(LIFETIME, now));
        let grown = [by_one.unwrap(), by_two.unwrap()].concat();
        assert_eq!(grown.len(), 1, "round {round}: {grown:?}");
        let handover = grown[0].handover.clone().expect("the spare's turn is planned");
        assert_eq!(handover.at, now.plus(Duration::from_secs(60)), "round {round}");
        let keys = one.list(now).await.unwrap();
        assert_eq!(keys.len(), round + 3);
        assert_eq!(keys[0].kid, grown[0].kid, "the new key is the spare");
        for instance in [&one, &two] {
            instance.reload(now).await.unwrap();
            let signs =
                |at| instance.ring().active(Algorithm::Es256, at).unwrap().public.kid.clone();
            assert_eq!(signs(handover.at), handover.kid);
            assert_ne!(signs(handover.at.minus(Duration::from_secs(1))), handover.kid);
        }
    }
}

#[tokio::test]
async fn another_algorithm_signs_once_its_key_was_published_long_enough() {
    let url = Postgres::shared().fresh_database();
    let kek = SealingKey::generate(&Random::system());
    let old = open(&url, kek.expose(), Algorithm::EdDsa, at(0)).await;
    let kid = old.ring().active(Algorithm::EdDsa, at(0)).unwrap().public.kid.clone();
    let new = open(&url, kek.expose(), Algorithm::Es256, at(10)).await;
    new.maintain(LIFETIME, at(10)).await.unwrap();
    let signs = |second| {
        let ring = new.ring();
        let key = &ring.active(Algorithm::Es256, at(second)).unwrap().public;
        (key.algorithm, key.kid.clone())
    };
    for second in [10, 69] {
        assert_eq!(signs(second), (Algorithm::EdDsa, kid.clone()), "{second}");
    }
    assert_eq!(signs(70).0, Algorithm::Es256);
    // The old instance verifies what the new one signs.
    old.reload(at(12)).await.unwrap();
    assert!(old.ring().find(&signs(70).1, at(12)).is_some());
}
