//! The slow set, run by `scripts/test --slow`: what can only be told by taking times, so that a busy
//! machine can spoil it. Whether there is such a user, and whether they are disabled, must not be told
//! by how long the refusal takes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::client::{Client, PASSWORD, Send, unique_email};
use crate::support::signet::Signet;

const TRIES: usize = 200;
/// A busy machine needs more tries to show the same: up to so many times as many, all of which count.
/// A difference that is there does not go away with more of them.
const MAX_ROUNDS: usize = 5;
/// The most by which two kinds of refusals may differ, as a share of the time they take.
const MOST: f64 = 0.02;

/// The refusals of one kind of login, in milliseconds.
struct Kind {
    name: &'static str,
    body: Value,
    times: Vec<f64>,
}

impl Kind {
    fn new(name: &'static str, username: &str, password: &str) -> Self {
        let body = json!({ "username": username, "password": password });
        Self { name, body, times: Vec::with_capacity(TRIES) }
    }

    /// The mean of the faster half: what else the machine does only ever adds to a time, and most
    /// often to those of the slower half.
    fn typical(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        mean(&times[..times.len() / 2])
    }
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

/// Welch's statistic of the difference of the means: beyond 2 the two would be told apart.
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let variance = |times: &[f64]| {
        let center = mean(times);
        times.iter().map(|time| (time - center).powi(2)).sum::<f64>() / (times.len() - 1) as f64
    };
    let spread = variance(one) / one.len() as f64 + variance(other) / other.len() as f64;
    (mean(one) - mean(other)) / spread.sqrt()
}

/// Tries all kinds in turn, so that what the machine does meanwhile meets all of them alike, and
/// checks that each takes as long as the first.
async fn compare(client: &Client, mut kinds: Vec<Kind>) {
    // To warm up.
    try_all(client, &mut kinds, 10).await;
    kinds.iter_mut().for_each(|kind| kind.times.clear());
    for _ in 0..MAX_ROUNDS {
        try_all(client, &mut kinds, TRIES).await;
        if report(&kinds) < MOST {
            return;
        }
    }
    panic!("they differ; where two unknown ones do as well, the machine is too busy to tell");
}

async fn try_all(client: &Client, kinds: &mut [Kind], times: usize) {
    let count = kinds.len();
    for round in 0..times {
        for position in 0..count {
            // Not always the same one after the same one.
            let kind = &mut kinds[(position + round) % count];
            let start = Instant::now();
            let answer = client.post("/login").json(&kind.body).answer().await;
            kind.times.push(start.elapsed().as_secs_f64() * 1e3);
            let answer = answer.expect_oauth_error(400, "invalid_grant");
            assert_eq!(answer.json()["detail"], "Incorrect email or password", "{}", kind.name);
        }
    }
}

/// Prints what was seen; returns by how much the kinds differ at most.
fn report(kinds: &[Kind]) -> f64 {
    let (first, others) = kinds.split_first().expect("some kinds");
    println!("{}: {:.3} ms, mean {:.3}", first.name, first.typical(), mean(&first.times));
    let effect = |kind: &Kind| {
        let effect = kind.typical() / first.typical() - 1.0;
        let (mean, t) = (mean(&kind.times), welch(&kind.times, &first.times));
        let (name, typical) = (kind.name, kind.typical());
        println!("{name}: {typical:.3} ms, {:+.2} %, mean {mean:.3}, t {t:+.2}", effect * 100.0);
        effect.abs()
    };
    others.iter().map(effect).fold(0.0, f64::max)
}

#[tokio::test]
#[ignore = "slow: takes the times of some thousand logins"]
async fn a_refusal_does_not_tell_by_its_time_who_has_an_account() {
    let mut builder = Signet::builder().with_default_hashing();
    for key in ["account_from_network", "account_from_unknown", "network"] {
        builder = builder.set(&format!("login_limits.{key}"), "1000000");
    }
    let signet = builder.start();
    let client = Client::new(signet.base());
    let [known, disabled] = [unique_email(), unique_email()];
    for email in [&known, &disabled] {
        client.try_signup(email, PASSWORD).await.expect(201);
    }
    signet.cli_ok(&["users", "disable", &disabled], "");
    let [long, longer] = [300, 5000].map(|length| "x".repeat(length));
    for (what, password) in [
        ("wrong", "thirteen yellow wagons"),
        // A form's empty password is an absent one; this is a password like all others.
        ("empty", ""),
        ("300 characters", &long),
        ("5000 characters", &longer),
    ] {
        println!("-- {what}");
        let unknown = Kind::new("unknown", "somebody@example.com", password);
        let another = Kind::new("another unknown", "somebody.else@example.com", password);
        let known = Kind::new("known", &known, password);
        let disabled = Kind::new("disabled", &disabled, password);
        compare(&client, vec![unknown, another, known, disabled]).await;
    }
}
