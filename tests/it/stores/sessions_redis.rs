//! What only Redis has to answer for: its keys, their size, its scripts and its settings.

use signet::domain::sessions::{Login, NewSession, Origin, Recovery, SessionKind};
use signet::storage::StorageError;

use super::engines::{at, connect, exchange, in_redis, new_id, new_session, policy, token};
use crate::support::redis::Redis as Server;

/// A connection of the test's own, to look behind the store.
async fn look(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn keys(connection: &mut redis::aio::MultiplexedConnection) -> Vec<String> {
    redis::cmd("KEYS").arg("*").query_async(connection).await.unwrap()
}

#[tokio::test]
async fn a_session_takes_less_than_400_bytes_under_one_hash_tag() {
    let url = Server::shared().fresh_database();
    let sessions = in_redis(connect(&url).await, policy(Recovery::Recover, 10)).await;
    let new = NewSession {
        client_id: "signet-first-party".into(),
        scope: "openid profile email".into(),
        audience: String::new(),
        // As long as they come.
        origin: Origin {
            address: Some("2001:db8:1234:5678:9abc:def0:1234:5678".parse().unwrap()),
            user_agent: Some("x".repeat(30)),
        },
        ..new_session(new_id())
    };
    let (user_id, sid) = (new.user_id, new.sid);
    sessions.start(new, at(0)).await.unwrap();
    let client_id = "signet-first-party";
    let rotation = sessions.open_rotation(user_id, sid, 1, client_id, at(100)).await.unwrap();
    sessions.commit(rotation, at(100)).await.unwrap();

    let mut connection = look(&url).await;
    let mut total: u64 = 0;
    for key in keys(&mut connection).await {
        let bytes: u64 = redis::cmd("MEMORY")
            .arg(&["USAGE", &key, "SAMPLES", "0"])
            .query_async(&mut connection)
            .await
            .unwrap();
        println!("{key}: {bytes} bytes");
        total += bytes;
    }
    println!("{total} bytes a session");
    assert!((1..400).contains(&total), "{total} bytes");

    let one = token(&user_id.to_string(), Some(sid), "one", at(900));
    sessions.revoke_token(&one, at(100)).await.unwrap();
    let keys = keys(&mut connection).await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    let mut slots = Vec::new();
    for key in keys {
        let ttl: i64 = redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(ttl > 0, "{key} is kept for ever");
        let tag = key.split_once('{').unwrap().1.split_once('}').unwrap().0.to_owned();
        slots.push(tag);
    }
    slots.dedup();
    assert_eq!(slots.len(), 1, "{slots:?}");
}

#[tokio::test]
async fn records_live_until_the_session_ends() {
    let url = Server::shared().fresh_database();
    let sessions = in_redis(connect(&url).await, policy(Recovery::Recover, 10)).await;
    let user_id = new_id();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let mut connection = look(&url).await;
    let mut ttls = async || {
        let mut ttls = Vec::new();
        let mut keys = keys(&mut connection).await;
        keys.sort();
        for key in keys {
            let ttl: i64 = redis::cmd("TTL").arg(key).query_async(&mut connection).await.unwrap();
            // Redis rounds, and a second may have passed.
            ttls.push((ttl + 2) / 10 * 10);
        }
        ttls
    };
    assert_eq!(ttls().await, [50_000, 10_000], "the index and the record");
    for (generation, seconds) in [(1, 9_000), (2, 18_000), (3, 27_000), (4, 36_000), (5, 45_000)] {
        exchange(&sessions, user_id, sid, generation, at(seconds)).await.unwrap();
    }
    assert_eq!(ttls().await, [50_000, 5_000], "the absolute end is near");
    sessions.revoke(user_id, sid, at(0)).await.unwrap();
    assert_eq!(ttls().await, [] as [i64; 0]);
}

#[tokio::test]
async fn what_a_later_version_added_to_a_record_outlives_a_refresh() {
    let url = Server::shared().fresh_database();
    let sessions = in_redis(connect(&url).await, policy(Recovery::Recover, 10)).await;
    let user_id = new_id();
    let login = Login { kind: SessionKind::Online, ..Login::by_password(at(0)) };
    let new = NewSession { login, ..new_session(user_id) };
    let sid = sessions.start(new, at(0)).await.unwrap().sid;
    let mut connection = look(&url).await;
    let key = keys(&mut connection).await.into_iter().find(|key| key.contains(":s:")).unwrap();
    let _: u64 =
        redis::cmd("APPEND").arg(&key).arg("\tnew\tä").query_async(&mut connection).await.unwrap();
    for generation in [1, 2] {
        exchange(&sessions, user_id, sid, generation, at(generation as i64)).await.unwrap();
        let record: String =
            redis::cmd("GET").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(record.ends_with("\tnew\tä"), "{record:?}");
        assert_eq!(record.matches('\t').count(), 19, "{record:?}");
    }
}

#[tokio::test]
async fn sessions_that_ended_by_idleness_do_not_count_against_the_limit() {
    let url = Server::shared().fresh_database();
    let sessions = in_redis(connect(&url).await, policy(Recovery::Recover, 3)).await;
    let user_id = new_id();
    let kept = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let mut connection = look(&url).await;
    let records = keys(&mut connection).await;
    for seconds in [1, 2] {
        sessions.start(new_session(user_id), at(seconds)).await.unwrap();
    }
    // What Redis does by itself once they have been idle for long enough.
    for key in keys(&mut connection).await.iter().filter(|key| !records.contains(key)) {
        let _: () = redis::cmd("DEL").arg(key).query_async(&mut connection).await.unwrap();
    }
    for seconds in [3, 4] {
        sessions.start(new_session(user_id), at(seconds)).await.unwrap();
    }
    assert!(sessions.find(user_id, kept, at(5)).await.unwrap().is_some());
    assert_eq!(sessions.list(user_id, at(5)).await.unwrap().len(), 3);
    sessions.start(new_session(user_id), at(5)).await.unwrap();
    assert_eq!(sessions.find(user_id, kept, at(5)).await.unwrap(), None, "now it is the oldest");
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_given_them_again() {
    let server = Server::start();
    let sessions = in_redis(connect(&server.url()).await, policy(Recovery::Recover, 10)).await;
    let user_id = new_id();
    let mut connection = look(&server.url()).await;
    let mut forget = async || {
        let _: () = redis::cmd("SCRIPT")
            .arg(&["FLUSH", "SYNC"])
            .query_async(&mut connection)
            .await
            .unwrap();
    };
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    forget().await;
    assert_eq!(exchange(&sessions, user_id, sid, 1, at(1)).await.unwrap(), 2);
    forget().await;
    assert_eq!(sessions.list(user_id, at(1)).await.unwrap().len(), 1);
    forget().await;
    assert_eq!(sessions.revoke_others(user_id, sid, at(0)).await.unwrap(), 0);
    forget().await;
    assert!(sessions.revoke(user_id, sid, at(0)).await.unwrap());
    forget().await;
    assert_eq!(sessions.revoke_all(user_id, at(0)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_record_of_a_newer_version_is_a_failure_not_an_absence() {
    let url = Server::shared().fresh_database();
    let sessions = in_redis(connect(&url).await, policy(Recovery::Recover, 10)).await;
    let user_id = new_id();
    let sid = sessions.start(new_session(user_id), at(0)).await.unwrap().sid;
    let mut connection = look(&url).await;
    let keys = keys(&mut connection).await;
    let record = keys.iter().find(|key| key.contains(":s:")).unwrap();
    let _: () =
        redis::cmd("SET").arg(&[record, "2\tnew"]).query_async(&mut connection).await.unwrap();
    let found = sessions.find(user_id, sid, at(1)).await;
    assert!(matches!(found, Err(StorageError::Internal(_))), "{found:?}");
}

#[tokio::test]
async fn a_redis_that_forgets_or_evicts_is_not_healthy() {
    for (settings, expected) in [
        (vec![("appendonly", "no")], Some("appendonly")),
        (vec![("appendonly", "no"), ("save", "60 1000")], None),
        (vec![("maxmemory-policy", "allkeys-lru")], Some("maxmemory-policy is 'allkeys-lru'")),
        (vec![("maxmemory-policy", "volatile-ttl")], Some("maxmemory-policy is 'volatile-ttl'")),
    ] {
        let server = Server::start_with(&settings);
        let redis = connect(&server.url()).await;
        let health = in_redis(redis, policy(Recovery::Recover, 10)).await.check_health().await;
        match (health, expected) {
            (Ok(()), None) => {}
            (Err(StorageError::Unavailable(cause)), Some(expected)) => {
                assert!(cause.to_string().contains(expected), "{cause}");
            }
            (health, _) => panic!("{settings:?}: {health:?}"),
        }
    }
}

#[tokio::test]
async fn a_redis_that_hides_its_settings_is_asked_otherwise() {
    for (policy_name, is_healthy) in [("noeviction", true), ("allkeys-lfu", false)] {
        let server = Server::start_with(&[("maxmemory-policy", policy_name)]);
        let redis = connect(&server.url()).await;
        let mut forbid = redis::cmd("ACL");
        forbid.arg(&["SETUSER", "default", "-config"]);
        redis.query::<()>(&forbid).await.unwrap();
        let health = redis.check_keeps_data().await;
        assert_eq!(health.is_ok(), is_healthy, "{policy_name}: {health:?}");
    }
}
