//! The examples' feed of revocations against an issuer that loses changes, lags, forges and never ends.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::issuer::{Issuer, Key, event, now};
use super::services::{Example, Service};
use crate::support::jwt::Jwt;

const SOON: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// Seconds.
const MAX_STALENESS: u32 = 4;

struct Feed {
    issuer: Arc<Issuer>,
    service: Service,
    example: Example,
}

impl Feed {
    async fn start(example: Example) -> Self {
        let issuer = Issuer::start();
        let service = example.start(&issuer.base, MAX_STALENESS, "");
        let feed = Self { issuer, service, example };
        feed.service.answers(&feed.issuer.token(json!({})), 200, PATIENCE).await;
        feed
    }

    /// A token with these claims, which is good.
    async fn token(&self, changes: Value) -> String {
        let token = self.issuer.token(changes);
        self.service.orders(&token).await.expect(200);
        token
    }

    async fn is_refused(&self, token: &str, within: Duration) {
        let took = self.service.answers(token, 401, PATIENCE).await;
        assert!(took < within, "{:?}: heard after {took:?}", self.example);
    }

    /// Once this is heard, so is all that was sent before.
    async fn settle(&self) {
        let token = self.issuer.token(json!({}));
        let claims = Jwt::decode(&token).claims;
        self.issuer.revoke(json!({ "jti": claims["jti"] }));
        self.service.answers(&token, 401, PATIENCE).await;
    }

    async fn hears_every_shape(&self) {
        let by_session = self.token(json!({ "sid": "s" })).await;
        self.issuer.revoke(json!({ "sid": "s" }));
        self.is_refused(&by_session, SOON).await;
        let (early, late) = (now() - 100, now() - 10);
        for claim in ["sub", "client_id"] {
            let old = self.token(json!({ claim: "x", "iat": early })).await;
            let new = self.token(json!({ claim: "x", "iat": late })).await;
            self.issuer.revoke(json!({ claim: "x", "before": late }));
            self.is_refused(&old, SOON).await;
            self.service.orders(&new).await.expect(200);
            // An earlier moment does not take the later one back.
            self.issuer.revoke(json!({ claim: "x", "before": early }));
            self.settle().await;
            self.service.orders(&old).await.expect(401);
        }
        let other = &self.issuer.keys[1];
        let by_key = other.sign(json!({ "typ": "at+jwt" }), &self.issuer.claims(json!({})));
        self.service.orders(&by_key).await.expect(200);
        self.issuer.revoke(json!({ "kid": other.kid }));
        self.is_refused(&by_key, SOON).await;
        // What only a newer Signet knows concerns nobody here.
        let token = self.token(json!({ "sub": "y", "client_id": "c" })).await;
        for newer in [
            json!({ "sub": "y", "client_id": "c", "before": now() }),
            json!({ "sub": "y" }),
            json!({ "device": "y" }),
        ] {
            self.issuer.revoke(newer);
        }
        self.settle().await;
        self.service.orders(&token).await.expect(200);
    }

    async fn fills_gaps(&self) {
        // A heartbeat tells that there was one.
        let token = self.token(json!({ "sid": "unheard" })).await;
        self.issuer.revoke_unheard(json!({ "sid": "unheard" }));
        self.is_refused(&token, SOON * 3).await;
        // So does the next change. No snapshot was taken for a second, or it would wait for a heartbeat.
        let lost = self.token(json!({ "sid": "lost" })).await;
        let next = self.token(json!({ "sid": "next" })).await;
        tokio::time::sleep(SOON).await;
        self.issuer.state().beats = false;
        self.issuer.revoke_unheard(json!({ "sid": "lost" }));
        self.issuer.revoke(json!({ "sid": "next" }));
        self.is_refused(&next, SOON).await;
        self.is_refused(&lost, SOON).await;
        self.issuer.state().beats = true;
    }

    async fn resumes(&self) {
        let token = self.token(json!({ "sid": "meanwhile" })).await;
        let known = self.issuer.state().seq;
        let snapshots = self.issuer.state().snapshots;
        self.issuer.state().cut();
        self.issuer.revoke(json!({ "sid": "meanwhile" }));
        self.is_refused(&token, SOON * 3).await;
        let state = self.issuer.state();
        let resumed = Some(format!("0:{known}"));
        assert_eq!(state.resumed_after.last(), Some(&resumed), "{:?}", self.example);
        assert_eq!(state.snapshots, snapshots, "{:?}: nothing was missing", self.example);
    }

    async fn takes_changes_together(&self) {
        let tokens =
            [self.token(json!({ "sid": "a" })).await, self.token(json!({ "sid": "b" })).await];
        let snapshots = self.issuer.state().snapshots;
        self.issuer.revoke_together(vec![json!({ "sid": "a" }), json!({ "sid": "b" })]);
        for token in &tokens {
            self.is_refused(token, SOON).await;
        }
        self.settle().await;
        let state = self.issuer.state();
        assert_eq!(state.snapshots, snapshots, "{:?}: nothing was missing", self.example);
    }

    async fn believes_no_forgery(&self) {
        let token = self.token(json!({ "sid": "forged" })).await;
        let epoch = self.issuer.state().epoch.clone();
        let [own, _] = &self.issuer.keys;
        let claims = |iss: &str, seq| {
            json!({
                "iss": iss, "iat": now(), "exp": now() + 300, "jti": "f", "epoch": epoch, "seq": seq,
                "events": {}, "revocations": [{ "sid": "forged", "exp": now() + 700 }],
            })
        };
        let of_feed = |aud: &Value, seq| {
            let mut claims = claims(&format!("{}/revocations", self.issuer.base), seq);
            claims["aud"] = aud.clone();
            claims["lane"] = json!("0");
            claims["first_seq"] = json!(seq);
            claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
            own.sign(json!({ "typ": "secevent+jwt" }), &claims)
        };
        let forgeries: [&dyn Fn(i64) -> String; 7] = [
            &|seq| {
                let header = json!({ "typ": "secevent+jwt", "kid": own.kid });
                Key::new().sign(header, &claims(&self.issuer.base, seq))
            },
            &|seq| own.sign(json!({ "typ": "at+jwt" }), &claims(&self.issuer.base, seq)),
            &|seq| own.sign(json!({ "typ": "revocations+jwt" }), &claims(&self.issuer.base, seq)),
            &|seq| {
                own.sign(json!({ "typ": "secevent+jwt" }), &claims("https://evil.example.com", seq))
            },
            &|_| "x".to_owned(),
            // For another audience, and for none.
            &|seq| of_feed(&json!(self.issuer.base), seq),
            &|seq| of_feed(&Value::Null, seq),
        ];
        for forgery in forgeries {
            let seq = self.issuer.state().seq + 1;
            self.issuer.state().send(&event(&format!("0:{seq}"), &forgery(seq)));
            self.settle().await;
            // Connections that begin anew confirm little: for a moment it may be 503.
            self.service.answers(&token, 200, PATIENCE).await;
        }
    }

    async fn unites_what_lags_and_replaces_another_history(&self) {
        let token = self.token(json!({ "sid": "kept" })).await;
        self.issuer.revoke(json!({ "sid": "kept" }));
        self.is_refused(&token, SOON).await;
        // Another instance, whose snapshot is behind and does not know of it yet.
        let behind = {
            let mut state = self.issuer.state();
            let entries = &state.entries[..state.entries.len() - 1];
            let lagging =
                self.issuer.snapshot("revocations+jwt", state.seq - 1, &state.epoch, entries);
            state.snapshot = Some(lagging);
            state.snapshots
        };
        self.issuer.revoke_unheard(json!({ "sid": "nobody" }));
        let taken = async |more: usize| {
            let start = std::time::Instant::now();
            while self.issuer.state().snapshots < behind + more {
                assert!(start.elapsed() < PATIENCE, "{:?}: no snapshot", self.example);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            start.elapsed()
        };
        taken(2).await;
        self.service.orders(&token).await.expect(401);
        // It stays behind, and is not asked in a hurry for that.
        let took = taken(5).await;
        assert!(took > SOON * 2, "{:?}: four snapshots within {took:?}", self.example);
        {
            let mut state = self.issuer.state();
            (state.snapshot, state.epoch, state.seq) = (None, "two".into(), 1);
            state.entries = vec![json!({ "sid": "new", "exp": now() + 700 })];
            state.events.clear();
        }
        self.is_refused(&self.issuer.token(json!({ "sid": "new" })), SOON * 4).await;
        self.service.orders(&token).await.expect(200);
    }

    async fn believes_a_signet_of_before(&self) {
        let token = self.token(json!({ "sid": "before" })).await;
        self.issuer.state().names_lanes = false;
        self.issuer.revoke(json!({ "sid": "before" }));
        self.is_refused(&token, SOON).await;
        let lost = self.token(json!({ "sid": "lost before" })).await;
        self.issuer.revoke_unheard(json!({ "sid": "lost before" }));
        self.is_refused(&lost, SOON * 3).await;
        self.issuer.state().names_lanes = true;
        self.settle().await;
    }

    async fn follows_another_lane(&self) {
        let first = self.token(json!({ "sid": "lane 1" })).await;
        let second = self.token(json!({ "sid": "lane 2" })).await;
        let entry = |sid: &str| json!({ "sid": sid, "exp": now() + 700 });
        let other = ("eu-1".into(), "z".into(), 70, vec![entry("lane 1")]);
        self.issuer.state().other_lane = Some(other);
        // It is met by a heartbeat, and its snapshot is taken.
        self.is_refused(&first, SOON * 3).await;
        let change = self.issuer.change_of(Some("eu-1"), 71, "z", &[entry("lane 2")]);
        {
            let mut state = self.issuer.state();
            if let Some((_, _, seq, entries)) = &mut state.other_lane {
                (*seq, _) = (71, entries.push(entry("lane 2")));
            }
            state.send(&event("eu-1:71", &change));
        }
        self.is_refused(&second, SOON).await;
        // The first one goes on by its own numbers.
        self.settle().await;
        // Another history of the lane, which the first one does not mind.
        {
            let mut state = self.issuer.state();
            let other = ("eu-1".into(), "y".into(), 1, vec![entry("lane 2")]);
            state.other_lane = Some(other);
        }
        self.service.answers(&first, 200, PATIENCE).await;
        self.service.orders(&second).await.expect(401);
        // It ends, and nobody waits for it.
        self.issuer.state().other_lane = None;
        tokio::time::sleep(SOON).await;
        self.settle().await;
        self.service.orders(&second).await.expect(401);
    }

    async fn reads_no_more_than_is_sensible(&self) {
        self.settle().await;
        let connections = self.issuer.state().resumed_after.len();
        for beginning in ["data: ", "event: heartbeat\ndata: "] {
            let mut endless = beginning.to_owned();
            endless.push_str(&"x".repeat(3 << 20));
            self.issuer.state().send(&endless);
            // Whoever reads on would hear nothing more.
            self.settle().await;
        }
        assert_eq!(self.issuer.state().resumed_after.len(), connections + 2, "{:?}", self.example);
    }

    async fn polls_without_a_stream(&self) {
        let token = self.token(json!({ "sid": "polled" })).await;
        let good = self.token(json!({})).await;
        {
            let mut state = self.issuer.state();
            state.stream_status = 503;
            state.cut();
        }
        // Longer than anything may be unknown.
        let (asked, start) = (self.issuer.state().not_modified, std::time::Instant::now());
        while start.elapsed() < Duration::from_secs(u64::from(MAX_STALENESS) * 2) {
            self.service.orders(&good).await.expect(200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let asked = self.issuer.state().not_modified - asked;
        assert!((3..18).contains(&asked), "{:?}: asked {asked} times", self.example);
        self.issuer.revoke(json!({ "sid": "polled" }));
        self.is_refused(&token, SOON * MAX_STALENESS).await;
        self.issuer.state().stream_status = 200;
        self.settle().await;
    }

    async fn keeps_its_entries_when_a_snapshot_is_too_large(&self) {
        let good = self.token(json!({})).await;
        let held = self.token(json!({ "sid": "held" })).await;
        let missed = self.token(json!({ "sid": "missed" })).await;
        let streamed = self.token(json!({ "sid": "streamed" })).await;
        self.issuer.revoke(json!({ "sid": "held" }));
        self.is_refused(&held, SOON).await;
        let snapshots = self.issuer.state().snapshots;
        self.issuer.state().snapshot = Some("x".repeat((64 << 20) + 1));
        self.issuer.revoke_unheard(json!({ "sid": "missed" }));
        // Its age grows as if no snapshot had come, and the stream goes on.
        self.service.answers(&good, 503, PATIENCE).await;
        self.issuer.revoke(json!({ "sid": "streamed" }));
        self.is_refused(&streamed, SOON * 2).await;
        self.service.orders(&held).await.expect(401);
        let asked = self.issuer.state().snapshots - snapshots;
        assert_eq!(asked, 1, "{:?}: asked too often", self.example);
        self.issuer.state().snapshot = None;
        self.is_refused(&missed, PATIENCE).await;
        self.service.answers(&good, 200, PATIENCE).await;
    }

    async fn takes_no_snapshot_that_is_none(&self) {
        let good = self.token(json!({})).await;
        {
            let mut state = self.issuer.state();
            let seq = state.seq + 1;
            state.snapshot = Some(self.issuer.snapshot("secevent+jwt", seq, &state.epoch, &[]));
            state.seq = seq;
            state.events.clear();
        }
        self.service.answers(&good, 503, PATIENCE).await;
        self.issuer.state().snapshot = None;
        self.service.answers(&good, 200, PATIENCE).await;
    }
}

async fn check(example: Example) {
    let feed = Feed::start(example).await;
    feed.hears_every_shape().await;
    feed.fills_gaps().await;
    feed.resumes().await;
    feed.takes_changes_together().await;
    feed.believes_no_forgery().await;
    feed.believes_a_signet_of_before().await;
    feed.follows_another_lane().await;
    feed.unites_what_lags_and_replaces_another_history().await;
    feed.reads_no_more_than_is_sensible().await;
    feed.polls_without_a_stream().await;
    feed.keeps_its_entries_when_a_snapshot_is_too_large().await;
    feed.takes_no_snapshot_that_is_none().await;
}

/// Django has the same file.
#[tokio::test]
async fn python_follows_whatever_happens() {
    check(Example::FastApi).await;
}

#[tokio::test]
async fn node_follows_whatever_happens() {
    check(Example::Express).await;
}

#[tokio::test]
async fn go_follows_whatever_happens() {
    check(Example::Go).await;
}

#[tokio::test]
async fn spring_boot_4_follows_whatever_happens() {
    check(Example::Spring).await;
}
