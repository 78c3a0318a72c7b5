//! The storm: clients log in without pause, far more than can be hashed, while others go on
//! refreshing at their own pace. The refreshes are an open loop: each has a time at which it is
//! due, whatever became of the ones before, and its latency counts from then. A server that stalls
//! is thus charged for everyone it kept waiting.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::clients::{Session, User, VirtualClient, open_sessions};
use crate::driver::Errors;
use crate::http::BlockingConnection;
use crate::rows::{Bench, LIMIT_TIME};
use crate::stats::{Latencies, median};

/// Sessions that refresh, each on a connection and a thread of its own, so that none waits for
/// another and each is sent on time.
const REFRESHING: usize = 50;

/// How often each of them refreshes: all together, fifty times a second.
const PERIOD: Duration = Duration::from_secs(1);

/// Clients that log in meanwhile, each for its share of the users and without a pause.
const CLIENTS: usize = 8;

/// How far from its even place a refresh is moved, so that they do not march in step with the
/// kernel's timer.
const JITTER: Duration = Duration::from_millis(8);

const WARM_UP: Duration = Duration::from_secs(1);

/// A phase is long enough for its 99th percentile to be more than one unlucky request.
const MIN_PHASE: Duration = Duration::from_secs(10);

/// What the storm showed, over all of its phases.
#[derive(Default)]
pub struct Storm {
    pub alone: Latencies,
    pub stormed: Latencies,
    /// How late requests left the driver: what its own slowness adds to the latencies.
    pub lateness: Latencies,
    pub refused_refreshes: Errors,
    pub refused_logins: Errors,
    pub login_latencies: Latencies,
    logins: Vec<f64>,
    hashes: Vec<f64>,
}

impl Storm {
    pub fn logins_per_second(&self) -> f64 {
        median(self.logins.iter().copied())
    }

    pub fn hashes_per_cpu_second(&self) -> f64 {
        median(self.hashes.iter().copied())
    }

    /// Logins a second against bare hashes a second of a core, phase by phase.
    pub fn login_ratio(&self) -> f64 {
        median(self.logins.iter().zip(&self.hashes).map(|(logins, hashes)| logins / hashes))
    }
}

pub fn run(bench: &mut Bench<'_>) -> Result<Storm> {
    let address = bench.server.address;
    let phase = bench.options.round.max(MIN_PHASE);
    let mut sessions = open_sessions(address, bench.refreshing, REFRESHING)?;
    let mut storm = Storm::default();
    let mut before = bench.hashes.per_cpu_second(LIMIT_TIME)?;
    for _ in 0..bench.options.rounds.min(3) {
        let calm = refresh_at_pace(address, phase, &mut sessions)?;
        storm.alone.append(calm.latencies);
        storm.lateness.append(calm.lateness);
        storm.refused_refreshes.append(calm.errors);

        let (paced, logins) = with_logins(address, bench.logging_in, phase, &mut sessions)?;
        storm.stormed.append(paced.latencies);
        storm.lateness.append(paced.lateness);
        storm.refused_refreshes.append(paced.errors);
        storm.logins.push(logins.latencies.len() as f64 / phase.as_secs_f64());
        storm.login_latencies.append(logins.latencies);
        storm.refused_logins.append(logins.errors);

        let after = bench.hashes.per_cpu_second(LIMIT_TIME)?;
        storm.hashes.push((before + after) / 2.0);
        before = after;
    }
    Ok(storm)
}

/// What a group of threads saw while it was counting.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
    lateness: Latencies,
    errors: Errors,
}

/// Refreshes at a fixed pace while others log in.
fn with_logins(
    address: SocketAddr,
    users: &[User],
    phase: Duration,
    sessions: &mut [Session],
) -> Result<(Seen, Seen)> {
    let stop = AtomicBool::new(false);
    let counted = Instant::now() + WARM_UP..Instant::now() + WARM_UP + phase;
    let seen = Mutex::new(Seen::default());
    let paced = thread::scope(|scope| {
        for users in users.chunks(users.len().div_ceil(CLIENTS)) {
            let (stop, counted, seen) = (&stop, &counted, &seen);
            scope.spawn(move || log_in(address, users, stop, counted, seen));
        }
        let paced = refresh_at_pace(address, phase, sessions);
        stop.store(true, Ordering::Relaxed);
        paced
    })?;
    let logins = seen.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ok((paced, logins))
}

fn log_in(
    address: SocketAddr,
    users: &[User],
    stop: &AtomicBool,
    counted: &std::ops::Range<Instant>,
    seen: &Mutex<Seen>,
) {
    let requests: Vec<_> = users.iter().map(User::login_request).collect();
    let Ok(mut connection) = BlockingConnection::open(address) else { return };
    for request in requests.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let sent = Instant::now();
        let failed = match connection.exchange(request) {
            Ok(answer) if answer.status() == 200 => None,
            Ok(answer) => Some(format!("{}: {}", answer.status(), answer.text())),
            Err(error) => Some(error.to_string()),
        };
        let Ok(mut seen) = seen.lock() else { return };
        match failed {
            None if counted.contains(&Instant::now()) => seen.latencies.push(sent.elapsed()),
            None => {}
            Some(text) => {
                seen.errors.add(|| text);
                drop(seen);
                // A refused client that comes straight back would measure refusals.
                thread::sleep(Duration::from_millis(50));
                if connection.reopen().is_err() {
                    return;
                }
            }
        }
    }
}

fn refresh_at_pace(address: SocketAddr, phase: Duration, sessions: &mut [Session]) -> Result<Seen> {
    let start = Instant::now() + Duration::from_millis(100);
    let end = start + WARM_UP + phase;
    let seen = Mutex::new(Seen::default());
    let step = PERIOD / u32::try_from(sessions.len().max(1))?;
    thread::scope(|scope| {
        for (index, session) in (0_u32..).zip(sessions.iter_mut()) {
            let first = start + step * index;
            let seen = &seen;
            scope.spawn(move || pace(address, session, index, first, start + WARM_UP, end, seen));
        }
    });
    Ok(seen.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

fn pace(
    address: SocketAddr,
    session: &mut Session,
    index: u32,
    first: Instant,
    count_from: Instant,
    end: Instant,
    seen: &Mutex<Seen>,
) {
    let Ok(mut connection) = BlockingConnection::open(address) else { return };
    let mut own = Seen::default();
    for turn in 0.. {
        let due = first + PERIOD * turn + jitter(index, turn);
        if due >= end {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let lateness = due.elapsed();
        let failed = match connection.exchange(session.request()) {
            Ok(answer) if session.accept(answer) => None,
            Ok(answer) => Some(format!("{}: {}", answer.status(), answer.text())),
            Err(error) => Some(error.to_string()),
        };
        match failed {
            None if due >= count_from => {
                own.latencies.push(due.elapsed());
                own.lateness.push(lateness);
            }
            None => {}
            Some(text) => {
                own.errors.add(|| text);
                if connection.reopen().is_err() {
                    break;
                }
            }
        }
    }
    if let Ok(mut seen) = seen.lock() {
        seen.latencies.append(own.latencies);
        seen.lateness.append(own.lateness);
        seen.errors.append(own.errors);
    }
}

/// A different but repeatable shift for each refresh (the finisher of SplitMix64).
fn jitter(index: u32, turn: u32) -> Duration {
    let mut x = (u64::from(index) << 32 | u64::from(turn)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    JITTER.mul_f64(((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64)
}
