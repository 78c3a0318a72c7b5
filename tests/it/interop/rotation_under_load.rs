//! Signing keys change under load, and nobody notices: two processes issue tokens at a steady pace
//! while `signet keys rotate` runs again and again, and verifiers in five languages, eight in all, each
//! with a caching JWKS client at its defaults, take every token.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, interval_at, sleep_until};

use super::streams::{Report, Stream};
use crate::support::client::{Client, Send};
use crate::support::jwt::Jwt;
use crate::support::signet::{Backend, Signet};

const CLIENT: &str = "rotation-under-load";
const FIRST_ROTATION: Duration = Duration::from_secs(10);
const PUBLISH_AHEAD: Duration = Duration::from_secs(35);
/// How long the load goes on after a handover, at least.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// One token in so many is held back for so long and verified once more, as tokens are used more
/// than once. It lives for a minute.
const HELD_BACK: usize = 10;
const HELD_FOR: Duration = Duration::from_secs(40);

/// How much of it.
struct Plan {
    length: Duration,
    /// Tokens a second.
    rate: u32,
    /// From one rotation to the next.
    every: Duration,
}

impl Plan {
    /// When keys are rotated, from the start on.
    fn rotations(&self) -> impl Iterator<Item = Duration> {
        let last = self.length.saturating_sub(PUBLISH_AHEAD + AFTERWARDS);
        let times = (0..).map(|number| FIRST_ROTATION + self.every * number);
        times.take_while(move |at| *at <= last)
    }

    fn tokens(&self) -> u64 {
        self.length.as_secs() * u64::from(self.rate)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_disturbs_nobody() {
    let (length, every) = (Duration::from_secs(80), Duration::from_secs(60));
    check(Plan { length, rate: 100, every }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes: scripts/rotation-under-load runs it"]
async fn many_rotations_disturb_nobody() {
    let setting = |name: &str| {
        let text = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        text.parse::<u32>().unwrap_or_else(|error| panic!("{name}={text}: {error}"))
    };
    let length = Duration::from_secs(60) * setting("ROTATION_MINUTES");
    let every = Duration::from_secs(setting("ROTATION_EVERY").into());
    check(Plan { length, rate: setting("ROTATION_RATE"), every }).await;
}

async fn check(plan: Plan) {
    let first = Signet::builder()
        .backend(Backend::PostgresRedis)
        .set("keys.jwks_max_age", "5s")
        .set("keys.publish_ahead", "35s")
        .start();
    let mut second = first.sibling();
    second.restart();
    let grants = ["--grants", "client_credentials", "--access-token-lifetime", "60s"];
    let secret: Arc<str> = first.add_confidential(CLIENT, &grants).into();
    let clients = [&first, &second].map(|signet| Client::new(signet.base()));
    let streams = Stream::start_all(first.issuer(), first.issuer());
    let first = Arc::new(first);

    let (sender, issued) = unbounded_channel();
    let observer = tokio::spawn(observe(issued, streams));
    let start = Instant::now();
    let rotating = tokio::spawn(rotate(first.clone(), plan.rotations().collect(), start));
    issue(&plan, start, clients, secret, sender).await;
    let (observed, streams) = observer.await.expect("the observer ends");
    let rotated = rotating.await.expect("the rotations end");
    let finished: Vec<_> = streams.into_iter().map(Finished::from).collect();
    print_verifications(&finished);
    print_latencies(&observed, &rotated);

    let failures = &observed.failures;
    assert!(failures.is_empty(), "{} not issued: {:?}", failures.len(), failures.first());
    let kids: Vec<_> = observed.signed_from.keys().collect();
    assert_eq!(kids.len(), plan.rotations().count() + 1, "a handover for every rotation: {kids:?}");
    assert!(kids.len() > 1, "the plan has no rotation");
    assert_eq!(observed.signers.len(), 2 * kids.len(), "both processes sign with every key");
    for Finished { language, given, refused, report, .. } in &finished {
        assert_eq!(report.failed, 0, "{language}: {:#?}", report.first_failures);
        assert_eq!((report.verified, *refused), (*given, 0), "{language}");
        assert_eq!(report.kids.iter().collect::<Vec<_>>(), kids, "{language}");
    }
}

/// What became of one token request.
struct Issued {
    due: Instant,
    /// Since it was due, so a request that was sent late counts as slow.
    took: Duration,
    process: usize,
    token: Result<Arc<str>, String>,
}

/// Asks both processes in turn for tokens, each at its time, however long others take.
async fn issue(
    plan: &Plan,
    start: Instant,
    clients: [Client; 2],
    secret: Arc<str>,
    issued: UnboundedSender<Issued>,
) {
    let mut pace = interval_at(start, Duration::from_secs(1) / plan.rate);
    for process in [0, 1].into_iter().cycle().take(plan.tokens() as usize) {
        let due = pace.tick().await;
        let (client, secret, issued) = (clients[process].clone(), secret.clone(), issued.clone());
        tokio::spawn(async move {
            let token = token(&client, &secret).await;
            let _ = issued.send(Issued { due, took: due.elapsed(), process, token });
        });
    }
}

async fn token(client: &Client, secret: &str) -> Result<Arc<str>, String> {
    let request = client.post("/oauth2/token").basic_auth(CLIENT, Some(secret));
    let answer = request.form(&[("grant_type", "client_credentials")]).try_answer().await;
    match answer {
        Ok(answer) if answer.status == 200 => {
            Ok(answer.json()["access_token"].as_str().expect("a token").into())
        }
        answer => Err(format!("{answer:?}")),
    }
}

/// Rotates at `times` from `start` on; returns from when to when each command ran.
async fn rotate(signet: Arc<Signet>, times: Vec<Duration>, start: Instant) -> Vec<[Instant; 2]> {
    let mut ran = Vec::new();
    for at in times {
        sleep_until(start + at).await;
        let (from, signet) = (Instant::now(), signet.clone());
        let command = move || signet.cli_ok(&["keys", "rotate", "--activate-in", "35s"], "");
        tokio::task::spawn_blocking(command).await.expect("the command succeeds");
        ran.push([from, Instant::now()]);
    }
    ran
}

/// What was seen of all the tokens.
#[derive(Default)]
struct Observed {
    latencies: Vec<(Instant, Duration)>,
    failures: Vec<String>,
    /// When each key's first token was due.
    signed_from: BTreeMap<String, Instant>,
    /// Which process signed with which key.
    signers: BTreeSet<(String, usize)>,
}

/// Gives every token to every verifier, and some of them a second time.
async fn observe(
    mut issued: UnboundedReceiver<Issued>,
    mut streams: Vec<Stream>,
) -> (Observed, Vec<Stream>) {
    let mut observed = Observed::default();
    let mut held: VecDeque<(Instant, Arc<str>)> = VecDeque::new();
    while let Some(Issued { due, took, process, token }) = issued.recv().await {
        observed.latencies.push((due, took));
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                observed.failures.push(error);
                continue;
            }
        };
        streams.iter_mut().for_each(|stream| stream.give(&token));
        let kid = Jwt::decode(&token).header["kid"].as_str().expect("a kid").to_owned();
        let first = observed.signed_from.entry(kid.clone()).or_insert(due);
        *first = due.min(*first);
        observed.signers.insert((kid, process));
        if observed.latencies.len() % HELD_BACK == 0 {
            held.push_back((Instant::now() + HELD_FOR, token));
        }
        while held.front().is_some_and(|(until, _)| *until <= Instant::now()) {
            let (_, token) = held.pop_front().expect("there is one");
            streams.iter_mut().for_each(|stream| stream.give(&token));
        }
    }
    (observed, streams)
}

/// A verifier that has come to its end.
struct Finished {
    language: &'static str,
    given: usize,
    refused: usize,
    longest_queue: usize,
    report: Report,
}

impl From<Stream> for Finished {
    fn from(stream: Stream) -> Self {
        let Stream { language, given, refused, longest_queue, .. } = stream;
        Self { language, given, refused, longest_queue, report: stream.finish() }
    }
}

fn print_verifications(finished: &[Finished]) {
    println!(
        "\n| language | client | verified | failed | key changes | JWKS fetches | longest queue |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for Finished { language, longest_queue, report, .. } in finished {
        let Report { client, verified, failed, kids, jwks_fetches, .. } = report;
        let changes = kids.len().saturating_sub(1);
        println!(
            "| {language} | {client} | {verified} | {failed} | {changes} | {jwks_fetches} | \
             {longest_queue} |"
        );
    }
}

fn print_latencies(observed: &Observed, rotated: &[[Instant; 2]]) {
    let mut handovers: Vec<_> = observed.signed_from.values().map(|at| [*at; 2]).collect();
    handovers.sort();
    // The first key took over from none.
    handovers.drain(..1.min(handovers.len()));
    let within = |windows: &[[Instant; 2]], due: Instant| {
        let around = Duration::from_secs(1);
        windows.iter().any(|[from, to]| *from <= due + around && due <= *to + around)
    };
    println!("\n| tokens issued | number | failed | p50 | p99 |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let line = |what: &str, failed: &str, counts: &dyn Fn(Instant) -> bool| {
        let counted = observed.latencies.iter().filter(|(due, _)| counts(*due));
        let mut times: Vec<_> = counted.map(|(_, took)| took.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let number = times.len();
        let percentile = |share: usize| {
            times.get(number * share / 100).map_or("-".into(), |ms| format!("{ms:.1} ms"))
        };
        println!("| {what} | {number} | {failed} | {} | {} |", percentile(50), percentile(99));
    };
    line("in all", &observed.failures.len().to_string(), &|_| true);
    line("in quiet seconds", "", &|due| !within(&handovers, due) && !within(rotated, due));
    line("within a second of a handover", "", &|due| within(&handovers, due));
    line("within a second of `keys rotate`", "", &|due| within(rotated, due));
}
