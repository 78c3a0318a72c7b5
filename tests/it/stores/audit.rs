//! What the audit trail keeps, for how long, and how little of what anybody can cause, on both
//! databases, at times set by hand.

use std::time::Duration;

use signet::base::random::Random;
use signet::domain::audit::{
    Actor, Audit, Event, Filter, Initiator, Kept, Kind, Origin, Retention,
};
use signet::storage::Db;
use uuid::Uuid;

use super::engines::{Engine, at, database};
use crate::support::on_each;

const DAY: i64 = 86_400;

on_each!(Engine [Sqlite Postgres], |engine| database(engine).await, {
    a_refusal_is_kept_once_an_hour_across_instances,
    what_users_do_to_themselves_is_kept_a_bounded_number_of_times,
    old_events_are_deleted_in_batches,
    filters_find_what_previous_versions_wrote,
});

/// Two instances on one database.
fn pair(db: &Db) -> [Audit; 2] {
    [0, 1].map(|_| Audit::new(db.clone(), Random::system()))
}

async fn record(audit: &Audit, kind: Kind, actor: Actor, subject: &str, now: i64) {
    let by = Initiator { actor, origin: Origin::default(), at: at(now) };
    let event = Event::new(kind, &by).client("app");
    let event = if subject.is_empty() { event } else { event.about(subject) };
    audit.record(event).await;
}

async fn all(audit: &Audit, filter: Filter) -> Vec<Kept> {
    audit.list(&filter, None, 10_000).await.unwrap()
}

async fn count(audit: &Audit, kind: Kind) -> usize {
    let event = Some(kind.as_str().to_owned());
    all(audit, Filter { event, ..Filter::default() }).await.len()
}

async fn a_refusal_is_kept_once_an_hour_across_instances(db: Db) {
    let instances = pair(&db);
    let refuse = async |who: &str, now: i64| {
        for _ in 0..20 {
            for audit in &instances {
                record(audit, Kind::AdminRefused, Actor::Client(who.into()), "", now).await;
            }
        }
        count(&instances[0], Kind::AdminRefused).await
    };
    // The clock's hour ends 100 s later: an hour from the first, not the clock's, is what counts.
    let start = 3600 - at(0).as_unix().rem_euclid(3600) - 100;
    assert_eq!(refuse("orders", start).await, 1);
    assert_eq!(refuse("orders", start + 200).await, 1);
    assert_eq!(refuse("orders", start + 3599).await, 1);
    assert_eq!(refuse("stock", start + 200).await, 2);
    assert_eq!(refuse("orders", start + 3600).await, 3);

    for audit in &instances {
        for kind in [Kind::ClientRefused, Kind::RefreshRefused, Kind::PasswordResetAsked] {
            for _ in 0..5 {
                record(audit, kind, Actor::Anonymous, "", start).await;
                record(audit, kind, Actor::Anonymous, "ann", start).await;
            }
        }
    }
    for kind in [Kind::ClientRefused, Kind::RefreshRefused, Kind::PasswordResetAsked] {
        assert_eq!(count(&instances[0], kind).await, 2, "{kind:?}");
    }
    // These are kept beside the answer.
    for _ in 0..50 {
        record(&instances[0], Kind::LoginRefused, Actor::Anonymous, "ann", start).await;
    }
    let kept = async { while count(&instances[0], Kind::LoginRefused).await == 0 {} };
    tokio::time::timeout(Duration::from_secs(30), kept).await.expect("it is kept");
    assert_eq!(count(&instances[0], Kind::LoginRefused).await, 1);
}

async fn what_users_do_to_themselves_is_kept_a_bounded_number_of_times(db: Db) {
    let [audit, _] = pair(&db);
    let (ann, operator) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for _ in 0..100 {
        record(&audit, Kind::LoggedIn, Actor::User(ann), &ann.to_string(), 0).await;
        record(&audit, Kind::OwnNameChanged, Actor::User(ann), &ann.to_string(), 0).await;
    }
    assert_eq!(count(&audit, Kind::LoggedIn).await, 60);
    assert_eq!(count(&audit, Kind::OwnNameChanged).await, 0, "logged, not kept");
    record(&audit, Kind::LoggedIn, Actor::User(ann), &ann.to_string(), 3600).await;
    assert_eq!(count(&audit, Kind::LoggedIn).await, 61);
    // What others do to a user is kept whatever the user has done.
    for actor in [Actor::User(ann), Actor::User(operator), Actor::CommandLine] {
        for _ in 0..70 {
            let by = Initiator::system(at(0)).acting(actor.clone());
            audit.record(Event::new(Kind::SessionsRevoked, &by).about(ann)).await;
        }
    }
    assert_eq!(count(&audit, Kind::SessionsRevoked).await, 60 + 70 + 70);
}

async fn old_events_are_deleted_in_batches(db: Db) {
    let [audit, _] = pair(&db);
    let user = |number: i64| Uuid::from_u128(u128::try_from(number).unwrap());
    for age in 0..50 {
        let (id, then) = (user(age), -age * 10 * DAY);
        record(&audit, Kind::LoggedIn, Actor::User(id), &id.to_string(), then).await;
        record(&audit, Kind::UserDisabled, Actor::CommandLine, &id.to_string(), then).await;
    }
    let days = |days: i64| Duration::from_secs(u64::try_from(days * DAY).unwrap());
    let retention = Retention::new(days(400), days(90)).unwrap();
    let mut batches = 0;
    while audit.purge(&retention, at(0), 3).await.unwrap() >= 3 {
        batches += 1;
        assert!(batches < 100);
    }
    assert!(batches >= 13, "{batches}");
    // An event that is just as old as it may be is still there.
    assert_eq!(count(&audit, Kind::LoggedIn).await, 10);
    assert_eq!(count(&audit, Kind::UserDisabled).await, 41);
    assert_eq!(audit.purge(&retention, at(0), 3).await.unwrap(), 0);
    // Logins are kept no longer than other events.
    let retention = Retention::new(days(30), days(90)).unwrap();
    audit.purge(&retention, at(0), 1000).await.unwrap();
    assert_eq!(all(&audit, Filter::default()).await.len(), 8);
}

async fn filters_find_what_previous_versions_wrote(db: Db) {
    let [audit, _] = pair(&db);
    let id = Uuid::from_u128(7);
    record(&audit, Kind::UserDisabled, Actor::User(id), "1", 0).await;
    record(&audit, Kind::UserDisabled, Actor::Client("orders".into()), "2", 0).await;
    record(&audit, Kind::UserDisabled, Actor::CommandLine, "3", 0).await;
    record(&audit, Kind::UserDisabled, Actor::System, "4", 0).await;
    for (actor, subject) in
        [(id.to_string(), "5"), ("orders".into(), "6"), ("command-line".into(), "7")]
    {
        let insert = sqlx::query(
            "INSERT INTO audit_events (id, at, event, actor, subject) VALUES ($1, 0, $1, $2, $1)",
        );
        db.execute(insert.bind(subject).bind(actor)).await.unwrap();
    }
    let found = async |actor: &str| {
        let filter = Filter { actor: Some(actor.to_owned()), ..Filter::default() };
        let kept = all(&audit, filter).await;
        let mut subjects: Vec<_> = kept.into_iter().filter_map(|kept| kept.subject).collect();
        subjects.sort();
        subjects.join(" ")
    };
    assert_eq!(found(&format!("user:{id}")).await, "1 5");
    assert_eq!(found(&id.to_string()).await, "1 5");
    assert_eq!(found("client:orders").await, "2 6");
    assert_eq!(found("orders").await, "2 6");
    assert_eq!(found("cli").await, "3 7");
    assert_eq!(found("command-line").await, "3 7");
    assert_eq!(found("system").await, "4");
    assert_eq!(found("user:orders").await, "6", "who it was is not told apart in old rows");
    let filter = Filter { actor: Some("cli".into()), ..Filter::default() };
    let actors: Vec<_> = all(&audit, filter).await.into_iter().map(|kept| kept.actor).collect();
    assert_eq!(actors, ["cli", "command-line"]);
}
