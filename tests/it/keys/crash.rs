//! Killed in the middle of a step on the keys: the next command or start goes on from there, and a
//! running instance issues and publishes all the while.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::client::Client;
use crate::support::jwt::Jwt;
use crate::support::keys::{foreign_key, key, published};
use crate::support::on_each;
use crate::support::process::poll;
use crate::support::signet::{Backend, Builder, Signet};

const POINTS: [&str; 5] = [
    "keys.generated",
    "keys.version_raised",
    "keys.times_changed",
    "keys.before_commit",
    "keys.committed",
];

on_each!(Backend [Sqlite PostgresSql], |backend| backend, { commands, automatic_rotation });

fn start(backend: Backend) -> Signet {
    Signet::builder()
        .backend(backend)
        .set("keys.algorithm", "ES256")
        .set("keys.also", "RS256")
        .set("keys.publish_ahead", "30s")
        .set("keys.jwks_max_age", "5s")
        .set("keys.rotate_every", "off")
        .start()
}

/// Issues tokens until it is told to stop; every one has to be good by the keys published.
struct Issuing {
    done: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Issuing {
    fn start(signet: &Signet) -> Self {
        let secret = signet.add_confidential("worker", &["--grants", "client_credentials"]);
        let client = Client::new(signet.base());
        let done = Arc::new(AtomicBool::new(false));
        let told = done.clone();
        let task = tokio::spawn(async move {
            let mut issued = 0;
            while !told.load(Ordering::Relaxed) {
                let before = published(&client.jwks().await);
                let token = client.client_token(("worker", &secret)).await;
                let after = published(&client.jwks().await);
                let kid = Jwt::decode(&token).header["kid"].as_str().expect("a kid").to_owned();
                assert!(!before.is_empty() && !after.is_empty(), "nothing is published");
                assert!(before.contains(&kid) || after.contains(&kid), "{kid}: {after:?}");
                issued += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            issued
        });
        Self { done, task }
    }

    async fn finish(self) {
        self.done.store(true, Ordering::Relaxed);
        let issued = self.task.await.expect("all of them were good");
        assert!(issued > 10, "only {issued} tokens");
    }
}

fn assert_killed(status: ExitStatus, what: &str) {
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{what} ended with {status}");
}

/// The keys of one algorithm, by what they do.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    active: Vec<String>,
    spare: Vec<String>,
    all: usize,
}

fn seen(signet: &Signet, algorithm: &str) -> Seen {
    let list = signet.cli_json(&["keys", "list"], "");
    let keys = list.as_array().expect("a list").iter();
    let keys: Vec<_> = keys.filter(|key| key["algorithm"] == algorithm).collect();
    let kids = |is: &dyn Fn(&Value) -> bool| {
        let some = keys.iter().filter(|key| is(key));
        some.map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
    };
    Seen {
        active: kids(&|key| key["state"] == "active"),
        spare: kids(&|key| key["state"] == "pending" && key["activates_at"].is_null()),
        all: keys.len(),
    }
}

async fn commands(backend: Backend) {
    let signet = start(backend);
    let issuing = Issuing::start(&signet);
    let run = |point: &str, arguments: &[&str], input: &str| {
        let doomed = signet.sibling_with(|builder| builder.die_at(point));
        assert_killed(doomed.cli(arguments, input).status, &format!("{arguments:?} at {point}"));
    };
    let rotate = ["keys", "rotate", "--activate-in", "0s", "--force", "--reason", "a drill"];
    let before = seen(&signet, "ES256");
    let revoke = ["keys", "revoke", before.spare[0].as_str(), "--reason", "stolen"];
    for point in POINTS {
        run(point, &rotate, "");
        let after = seen(&signet, "ES256");
        match point {
            "keys.committed" => {
                assert_eq!(after.active, before.spare, "{point}");
                assert_eq!((after.spare.len(), after.all), (1, 3), "{point}: {after:?}");
            }
            _ => assert_eq!(after, before, "{point}"),
        }
    }
    // The key that signs now is revoked. The key that takes over later and the next spare are made
    // after, by whoever follows the keys.
    let before = seen(&signet, "ES256");
    for point in &POINTS[1..] {
        run(point, &revoke, "");
        let after = seen(&signet, "ES256");
        match *point {
            "keys.committed" => {
                assert_eq!(after.active, before.spare, "{point}");
                let spare = poll(Duration::from_secs(20), || {
                    let now = seen(&signet, "ES256");
                    (now.spare.len() == 1).then_some(now)
                });
                assert_eq!(spare.expect("a spare").all, 5, "{point}");
            }
            _ => assert_eq!(after, before, "{point}"),
        }
    }
    let again = signet.cli(&revoke, "");
    assert_eq!(again.status.code(), Some(1), "it is revoked already: {again:?}");

    let (foreign, kid) = foreign_key();
    let pem = foreign.to_pkcs8_pem(LineEnding::LF).expect("PEM");
    let import = ["keys", "import", "-", "--algorithm", "RS256", "--activate-in", "1h"];
    let before = seen(&signet, "RS256");
    // No key is made by an import.
    for point in &POINTS[1..] {
        run(point, &import, &pem);
        let after = seen(&signet, "RS256");
        let expected = before.all + usize::from(*point == "keys.committed");
        assert_eq!((&after.active, &after.spare), (&before.active, &before.spare), "{point}");
        assert_eq!(after.all, expected, "{point}");
    }
    assert_eq!(key(&signet, &kid)["state"], "pending");

    // Whoever comes next goes on from there.
    for arguments in [&rotate, &["keys", "retire", &kid][..]] {
        signet.cli_ok(arguments, "");
    }
    for algorithm in ["ES256", "RS256"] {
        let after = seen(&signet, algorithm);
        assert_eq!((after.active.len(), after.spare.len()), (1, 1), "{algorithm}: {after:?}");
    }
    issuing.finish().await;
}

async fn automatic_rotation(backend: Backend) {
    let signet = start(backend);
    let issuing = Issuing::start(&signet);
    let before = seen(&signet, "ES256");
    // Due some seconds after the start: the first one meets it while it serves, the others at once.
    let soon = |builder: Builder| builder.set("keys.rotate_every", "35s").set("keys.also", "");
    for point in POINTS {
        let mut doomed = signet.sibling_with(|builder| soon(builder).die_at(point));
        doomed.spawn();
        let status = doomed.process().wait(Duration::from_secs(30));
        assert_killed(status.unwrap_or_else(|| panic!("it passes {point}")), point);
        let after = seen(&signet, "ES256");
        assert_eq!(after.active, before.active, "{point}");
        match point {
            "keys.committed" => {
                assert_eq!((after.spare.len(), after.all), (1, 3), "{point}: {after:?}");
                let next = key(&signet, &before.spare[0]);
                assert!(next["activates_at"].is_string(), "its turn is planned: {next}");
            }
            _ => assert_eq!(after, before, "{point}"),
        }
    }
    let planned = seen(&signet, "ES256");
    let mut next = signet.sibling_with(soon);
    next.restart();
    assert_eq!(seen(&signet, "ES256"), planned, "one step is not made twice");
    let published = published(&Client::new(next.base()).jwks().await);
    assert!(planned.spare.iter().all(|kid| published.contains(kid)), "{published:?}");
    issuing.finish().await;
}
