//! What a rotation costs those who ask for tokens meanwhile: tokens are issued at a fixed pace, and
//! the requests around a change of the key set are told from all others. Each counts from when it
//! was due. Keys rotate by themselves, so the key is also made by the process that is measured.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cores::Cores;
use crate::driver::Errors;
use crate::http::{BlockingConnection, get, post_form};
use crate::reference::JWKS_PATH;
use crate::signet::Installation;
use crate::stats::Latencies;

/// The soonest that the configuration allows.
const SETTINGS: [(&str, &str); 3] = [
    ("SIGNET__KEYS__PUBLISH_AHEAD", "30s"),
    ("SIGNET__KEYS__ROTATE_EVERY", "35s"),
    ("SIGNET__KEYS__JWKS_MAX_AGE", "5s"),
];
/// Two rotations, each with a key made and a handover.
const MEASURED: Duration = Duration::from_secs(80);
/// Requests this close to a change of the key set count as beside a rotation. A key is made before
/// it shows, for about as long.
const BESIDE: Duration = Duration::from_millis(1500);
const CONNECTIONS: u32 = 20;
/// All connections together: two hundred tokens a second.
const PERIOD: Duration = Duration::from_millis(100);

/// What was seen.
pub struct Rotation {
    pub calm: Latencies,
    pub beside: Latencies,
    pub changes: usize,
    pub errors: Errors,
}

/// Starts a Signet on the given stores that rotates as often as it may, and watches.
pub fn run(cores: Cores, stores: Vec<(String, String)>) -> Result<Rotation> {
    let own = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let installation = Installation::new(cores, stores.into_iter().chain(own).collect())?;
    installation.migrate()?;
    let service = installation.add_service_client("bench-service")?;
    let server = installation.start_pinned()?;
    let request = post_form("/oauth2/token", &service, &[("grant_type", "client_credentials")]);

    let start = Instant::now() + Duration::from_millis(100);
    let stop = AtomicBool::new(false);
    let seen = Mutex::new((Vec::new(), Errors::default()));
    let changes = thread::scope(|scope| {
        let watching = scope.spawn(|| watch(server.address, &stop));
        let issuing: Vec<_> = (0..CONNECTIONS)
            .map(|index| {
                let first = start + PERIOD * index / CONNECTIONS;
                let (request, seen, address) = (&request, &seen, server.address);
                scope.spawn(move || issue(address, request, first, start + MEASURED, seen))
            })
            .collect();
        for thread in issuing {
            let _ = thread.join();
        }
        stop.store(true, Ordering::Relaxed);
        watching.join().ok().context("nobody watched")?
    })?;
    let (requests, errors) = seen.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    server.stop()?;
    ensure!(!changes.is_empty(), "no key was rotated");

    let (mut calm, mut beside) = (Latencies::default(), Latencies::default());
    for (due, latency) in requests {
        let near = |change: &Instant| due + BESIDE >= *change && due <= *change + BESIDE;
        let group = if changes.iter().any(near) { &mut beside } else { &mut calm };
        group.push(latency);
    }
    Ok(Rotation { calm, beside, changes: changes.len(), errors })
}

/// The moments at which the key set, or who signs, changed.
fn watch(address: SocketAddr, stop: &AtomicBool) -> Result<Vec<Instant>> {
    let mut connection = BlockingConnection::open(address)?;
    let mut changes = Vec::new();
    let mut present = connection.exchange(&get(JWKS_PATH))?.text();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
        let keys = connection.exchange(&get(JWKS_PATH))?.text();
        if keys != present {
            changes.push(Instant::now());
            present = keys;
        }
    }
    Ok(changes)
}

fn issue(
    address: SocketAddr,
    request: &[u8],
    first: Instant,
    end: Instant,
    seen: &Mutex<(Vec<(Instant, Duration)>, Errors)>,
) {
    let Ok(mut connection) = BlockingConnection::open(address) else { return };
    let (mut own, mut errors) = (Vec::new(), Errors::default());
    for turn in 0.. {
        let due = first + PERIOD * turn;
        if due >= end {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        match connection.exchange(request) {
            Ok(answer) if answer.status() == 200 => own.push((due, due.elapsed())),
            Ok(answer) => errors.add(|| format!("{}: {}", answer.status(), answer.text())),
            Err(error) => {
                errors.add(|| error.to_string());
                if connection.reopen().is_err() {
                    break;
                }
            }
        }
    }
    if let Ok(mut seen) = seen.lock() {
        seen.0.append(&mut own);
        seen.1.append(errors);
    }
}
