//! How soon siblings hear of what is revoked: from the acknowledged revocation to the refusal by the
//! crate `signet-verifier`, to a thousand listeners, and what a statement of a hundred thousand entries
//! costs the service and a verifier.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use signet::base::random::Random;
use signet::base::time::Clock;
use signet::domain::revocations::{Revocations, Revoked};
use signet::storage::Db;
use signet_verifier::{AllowHttp, Beyond, Error, Event, Feed, Reason, Status, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::{FIRST_PARTY, Repeat, Session, User, VirtualClient, open_sessions};
use crate::cores::Cores;
use crate::driver::{self, Load};
use crate::http::{BlockingConnection, get, post_form};
use crate::reference::Reference;
use crate::signet::{Installation, free_port};
use crate::stats::{Latencies, median};

const STATEMENT: &str = "/revocations";
/// Revocations that are timed one after another, by the stream and by polling.
const STREAMED: usize = 300;
const POLLED: usize = 20;
/// How often the polling verifier asks.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
pub const LISTENERS: usize = 1000;
/// Revocations that all of them are told of.
const TOLD: usize = 40;
/// So many refreshes a second while they are.
const REFRESHES: u32 = 50;
pub const ENTRIES: usize = 100_000;
const USERS: usize = 16;

/// What was seen.
pub struct Figures {
    pub streamed: Latencies,
    pub polled: Latencies,
    pub told: Latencies,
    pub refresh_alone: Latencies,
    pub refresh_beside: Latencies,
    pub bytes: usize,
    /// Answers a second of the server's CPU: the statement, and the same bytes by a static server.
    pub statement: f64,
    pub static_answer: f64,
    /// From the whole answer to all of it being in effect in a verifier.
    pub loaded: Duration,
}

/// Measures on the given stores; with the embedded one, one instance stands for both.
pub fn run(cores: Cores, stores: Vec<(String, String)>) -> Result<Figures> {
    let shared = !stores.is_empty();
    let issuer = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut settings = vec![
        ("SIGNET__ISSUER".to_owned(), format!("http://{issuer}")),
        // It is the sessions that are watched, not the hashes.
        ("SIGNET__PASSWORDS__MEMORY_KIB".to_owned(), "64".to_owned()),
        ("SIGNET__PASSWORDS__ITERATIONS".to_owned(), "1".to_owned()),
    ];
    settings.extend(stores);
    let installation = Installation::new(cores, settings.clone())?;
    installation.migrate()?;
    let users = installation.add_users(USERS)?;
    let heard = installation.start_pinned_at(issuer)?;
    let other = shared.then(|| installation.start_pinned()).transpose()?;
    let asked = other.as_ref().unwrap_or(&heard).address;

    let streamed = refusals(&format!("http://{issuer}"), asked, &users, STREAMED)?;
    let refresh_alone = refreshes(issuer, &users)?;
    let (told, refresh_beside) = tell_listeners(issuer, asked, &users)?;
    for server in other.into_iter().chain([heard]) {
        server.stop()?;
    }

    settings.push(("SIGNET__REVOCATIONS__MAX_LISTENERS".to_owned(), "0".to_owned()));
    let installation = installation.with(settings);
    let server = installation.start_pinned_at(issuer)?;
    let polled = refusals(&format!("http://{issuer}"), issuer, &users, POLLED)?;
    server.stop()?;
    let statement = measure_statement(cores, issuer, &installation)?;
    Ok(Figures { streamed, polled, told, refresh_alone, refresh_beside, ..statement })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn revocation(session: &Session) -> Vec<u8> {
    let fields = [("token", session.access_token.as_str()), ("client_id", FIRST_PARTY)];
    post_form("/oauth2/revoke", "", &fields)
}

/// Revokes at `asked`, and times until the verifier, which follows `issuer`, refuses.
fn refusals(issuer: &str, asked: SocketAddr, users: &[User], count: usize) -> Result<Latencies> {
    let sessions = open_sessions(asked, users, count)?;
    let (sender, acknowledged) = mpsc::channel::<Instant>();
    let revoke = |session: &Session| {
        let (request, sender) = (revocation(session), sender.clone());
        thread::spawn(move || -> Result<()> {
            let mut connection = BlockingConnection::open(asked)?;
            ensure!(connection.exchange(&request)?.status() == 200, "not revoked");
            Ok(sender.send(Instant::now())?)
        })
    };
    runtime()?.block_on(async {
        let feed = Feed::new(Duration::from_secs(60), Beyond::Refuse).poll_interval(POLL_INTERVAL);
        let verifier = Verifier::builder(issuer)
            .audience(issuer)
            .allow_http(AllowHttp::Loopback)
            .feed(feed)
            .build()?;
        verifier.ready().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut latencies = Latencies::default();
        for session in &sessions {
            let token = &session.access_token;
            verifier.verify(token).await.map_err(|error| anyhow::anyhow!("{error}"))?;
            let request = revoke(session);
            let refused = loop {
                match verifier.verify(token).await {
                    Ok(_) => {}
                    Err(Error::Invalid(Reason::Revoked)) => break Instant::now(),
                    Err(error) => anyhow::bail!("refused for another reason: {error}"),
                }
                tokio::time::sleep(Duration::from_micros(500)).await;
            };
            request.join().ok().context("nobody revoked")??;
            let acknowledged = acknowledged.recv()?;
            latencies.push(refused.saturating_duration_since(acknowledged));
        }
        Ok(latencies)
    })
}

/// Refreshes at a fixed pace for as long as `TOLD` revocations take; each counts from when it was due.
fn refreshes(address: SocketAddr, users: &[User]) -> Result<Latencies> {
    refreshes_until(address, users, &AtomicBool::new(false), Duration::from_secs(8))
}

fn refreshes_until(
    address: SocketAddr,
    users: &[User],
    stop: &AtomicBool,
    most: Duration,
) -> Result<Latencies> {
    let mut sessions = open_sessions(address, users, REFRESHES as usize)?;
    let mut connection = BlockingConnection::open(address)?;
    let (start, period) = (Instant::now(), Duration::from_secs(1) / REFRESHES);
    let mut latencies = Latencies::default();
    for turn in 0.. {
        let due = start + period * turn;
        if stop.load(Ordering::Relaxed) || due > start + most {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let session = &mut sessions[turn as usize % REFRESHES as usize];
        let request = session.request().to_vec();
        ensure!(session.accept(connection.exchange(&request)?), "a refresh was refused");
        latencies.push(due.elapsed());
    }
    Ok(latencies)
}

/// Revokes at `asked` while a thousand listen at `heard`: how long after each acknowledgement they were
/// told, and how refreshes fared meanwhile.
fn tell_listeners(
    heard: SocketAddr,
    asked: SocketAddr,
    users: &[User],
) -> Result<(Latencies, Latencies)> {
    let sessions = open_sessions(asked, users, TOLD)?;
    let arrivals: Arc<Mutex<Vec<Vec<Instant>>>> = Arc::new(Mutex::new(vec![Vec::new(); TOLD]));
    let stop = Arc::new(AtomicBool::new(false));
    let (opened, all_open) = mpsc::channel();
    let listening = {
        let (arrivals, stop) = (arrivals.clone(), stop.clone());
        thread::spawn(move || -> Result<()> {
            let runtime = runtime()?;
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async {
                let tasks: Vec<_> = (0..LISTENERS)
                    .map(|_| tokio::task::spawn_local(listen(heard, arrivals.clone())))
                    .collect();
                tokio::time::sleep(Duration::from_secs(3)).await;
                opened.send(())?;
                while !stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                tasks.into_iter().for_each(|task| task.abort());
                Ok(())
            })
        })
    };
    all_open.recv()?;
    let refreshing = {
        let (users, stop) = (users.to_vec(), stop.clone());
        thread::spawn(move || refreshes_until(heard, &users, &stop, Duration::from_secs(60)))
    };
    let mut connection = BlockingConnection::open(asked)?;
    let mut acknowledged = Vec::new();
    for session in &sessions {
        ensure!(connection.exchange(&revocation(session))?.status() == 200, "not revoked");
        acknowledged.push(Instant::now());
        thread::sleep(Duration::from_millis(200));
    }
    thread::sleep(Duration::from_secs(2));
    stop.store(true, Ordering::Relaxed);
    listening.join().ok().context("nobody listened")??;
    let refreshes = refreshing.join().ok().context("nobody refreshed")??;
    let arrivals = arrivals.lock().map_err(|_| anyhow::anyhow!("a listener failed"))?;
    let mut told = Latencies::default();
    for (acknowledged, arrivals) in acknowledged.iter().zip(arrivals.iter()) {
        ensure!(arrivals.len() == LISTENERS, "{} of {LISTENERS} were told", arrivals.len());
        for arrival in arrivals {
            told.push(arrival.saturating_duration_since(*acknowledged));
        }
    }
    Ok((told, refreshes))
}

/// Notes when each change came.
async fn listen(address: SocketAddr, arrivals: Arc<Mutex<Vec<Vec<Instant>>>>) -> Result<()> {
    const EVENT: &[u8] = b"event: revocation\n";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&get("/revocations/stream")).await?;
    let (mut unread, mut number) = (Vec::new(), 0);
    loop {
        ensure!(stream.read_buf(&mut unread).await? > 0, "the stream ended");
        while let Some(at) = unread.windows(EVENT.len()).position(|window| window == EVENT) {
            unread.drain(..at + EVENT.len());
            if let Ok(mut arrivals) = arrivals.lock()
                && let Some(of_change) = arrivals.get_mut(number)
            {
                of_change.push(Instant::now());
            }
            number += 1;
        }
        let seen = unread.len().saturating_sub(EVENT.len());
        unread.drain(..seen);
    }
}

/// A statement of many entries: served, served by a static server, and taken by a verifier.
fn measure_statement(
    cores: Cores,
    issuer: SocketAddr,
    installation: &Installation,
) -> Result<Figures> {
    runtime()?.block_on(record_many(&installation.database_url()))?;
    let server = installation.start_pinned_at(issuer)?;
    let mut connection = BlockingConnection::open(issuer)?;
    let bytes = connection.exchange(&get(STATEMENT))?.body().len();
    ensure!(bytes > ENTRIES * 40, "the statement has {bytes} bytes");
    let reference = Reference::start(issuer, STATEMENT, installation.folder(), cores)?;
    let rate = |address, pid| -> Result<f64> {
        let load = Load {
            address,
            pid,
            cores,
            connections: 4,
            warm_up: Duration::from_millis(500),
            measured: Duration::from_secs(3),
        };
        let request = Repeat { request: get(STATEMENT), expected: "eyJ" };
        let round = driver::run(&load, &mut vec![request; 4])?;
        ensure!(round.errors.count == 0, "{:?}", round.errors.first);
        Ok(round.per_cpu_second())
    };
    let mut pairs = Vec::new();
    for _ in 0..3 {
        pairs.push((rate(issuer, server.pid())?, rate(reference.address, reference.pid())?));
    }
    let loaded = load_times(issuer)?;
    server.stop()?;
    let empty = Latencies::default;
    Ok(Figures {
        streamed: empty(),
        polled: empty(),
        told: empty(),
        refresh_alone: empty(),
        refresh_beside: empty(),
        bytes,
        statement: median(pairs.iter().map(|pair| pair.0)),
        static_answer: median(pairs.iter().map(|pair| pair.1)),
        loaded,
    })
}

/// Puts sessions on record by the thousand, as their ends would be.
async fn record_many(url: &str) -> Result<()> {
    let db = Db::connect(url, 1).await?;
    let random = Random::system();
    let revocations = Revocations::open(db.clone(), random.clone()).await?;
    let now = Clock::system().now();
    for _ in 0..ENTRIES / 1000 {
        let session = || Revoked::Session { sid: random.uuid(), user_id: random.uuid() };
        let ended: Vec<_> = (0..1000).map(|_| session()).collect();
        revocations.record(&ended, now).await?;
    }
    db.close().await;
    Ok(())
}

/// The median of a few verifiers' times from the whole answer to all of it being in effect.
fn load_times(issuer: SocketAddr) -> Result<Duration> {
    let issuer = format!("http://{issuer}");
    let mut times = Vec::new();
    for _ in 0..5 {
        let taken = Arc::new(Mutex::new(None));
        let noted = taken.clone();
        let observer = move |event: &Event<'_>| {
            if let (Event::SnapshotTaken { took, .. }, Ok(mut noted)) = (event, noted.lock()) {
                *noted = Some(*took);
            }
        };
        let held = runtime()?.block_on(async {
            let verifier = Verifier::builder(&issuer)
                .audience(&issuer)
                .allow_http(AllowHttp::Loopback)
                .feed(Feed::new(Duration::from_secs(60), Beyond::Refuse))
                .observer(observer)
                .build()?;
            verifier.ready().await.map_err(|error| anyhow::anyhow!("{error}"))?;
            ensure!(verifier.status() != Some(Status::Never), "no statement was taken");
            Ok(verifier.revocations())
        })?;
        ensure!(held >= Some(ENTRIES), "the verifier holds {held:?}");
        let taken = taken.lock().map_err(|_| anyhow::anyhow!("the observer failed"))?;
        times.push(taken.context("no statement was taken")?.as_secs_f64());
    }
    Ok(Duration::from_secs_f64(median(times)))
}
