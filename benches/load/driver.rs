//! The closed loop: each connection sends its next request when it has the answer to the last. One
//! thread drives all of them, so the driver stays on its own core.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::LocalSet;

use crate::clients::VirtualClient;
use crate::cores::{Cores, process_cpu, server_core_busy, thread_cpu};
use crate::http::Connection;
use crate::stats::Latencies;

/// How long after the end of a round an answer may still come.
const GRACE: Duration = Duration::from_secs(10);

/// How a round is driven.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub address: SocketAddr,
    /// Whose CPU time is counted.
    pub pid: u32,
    pub cores: Cores,
    pub connections: usize,
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What one round showed.
#[derive(Debug)]
pub struct Round {
    pub latencies: Latencies,
    pub wall: Duration,
    pub server_cpu: Duration,
    pub driver_cpu: Duration,
    /// What others took of the server's core meanwhile.
    pub others_cpu: Duration,
    pub errors: Errors,
}

impl Round {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.wall.as_secs_f64()
    }

    /// Requests answered in one second of the server's CPU time.
    pub fn per_cpu_second(&self) -> f64 {
        self.latencies.len() as f64 / self.server_cpu.as_secs_f64()
    }

    /// Which part of the time the server was running: near one when it is what limits the rate.
    pub fn server_busy(&self) -> f64 {
        self.server_cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    pub fn driver_busy(&self) -> f64 {
        self.driver_cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    pub fn others_busy(&self) -> f64 {
        self.others_cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Answers that were not what the client may count on, and what the first one said.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    pub count: u64,
    pub first: Option<String>,
}

impl Errors {
    pub fn add(&mut self, describe: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(describe);
    }

    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}

/// What the connections of a round share.
struct Shared<C> {
    /// Those whose turn it is next come first; a client in use is in nobody else's hands.
    waiting: RefCell<VecDeque<C>>,
    latencies: RefCell<Latencies>,
    errors: RefCell<Errors>,
    counting: Cell<bool>,
    stopped: Cell<bool>,
}

/// Drives one round with `clients`, each in its turn, and leaves them as the round left them.
pub fn run<C: VirtualClient + 'static>(load: &Load, clients: &mut Vec<C>) -> Result<Round> {
    let shared = Rc::new(Shared {
        waiting: RefCell::new(clients.drain(..).collect()),
        latencies: RefCell::default(),
        errors: RefCell::default(),
        counting: Cell::new(false),
        stopped: Cell::new(false),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let (wall, used) = local.block_on(&runtime, drive(load, &shared))?;
    drop(local);
    clients.extend(shared.waiting.borrow_mut().drain(..));
    Ok(Round {
        latencies: shared.latencies.take(),
        wall,
        server_cpu: used.server,
        driver_cpu: used.driver,
        others_cpu: used.core.saturating_sub(used.server),
        errors: shared.errors.take(),
    })
}

/// CPU times that a round is accounted by.
struct CpuTimes {
    server: Duration,
    driver: Duration,
    core: Duration,
}

impl CpuTimes {
    fn read(load: &Load) -> Result<Self> {
        let (server, core) = (process_cpu(load.pid)?, server_core_busy(load.cores)?);
        Ok(Self { server, driver: thread_cpu(), core })
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            driver: self.driver.saturating_sub(earlier.driver),
            core: self.core.saturating_sub(earlier.core),
        }
    }
}

async fn drive<C: VirtualClient + 'static>(
    load: &Load,
    shared: &Rc<Shared<C>>,
) -> Result<(Duration, CpuTimes)> {
    let start = |_| tokio::task::spawn_local(connection(load.address, shared.clone()));
    let connections: Vec<_> = (0..load.connections).map(start).collect();
    tokio::time::sleep(load.warm_up).await;

    let (began, before) = (Instant::now(), CpuTimes::read(load)?);
    shared.counting.set(true);
    tokio::time::sleep(load.measured).await;
    shared.counting.set(false);
    let (wall, used) = (began.elapsed(), CpuTimes::read(load)?.since(&before));

    // Every client is to have the answer to its last request, or its next round begins with a
    // token that has been redeemed.
    shared.stopped.set(true);
    for connection in connections {
        let ended = tokio::time::timeout(GRACE, connection).await;
        ended.context("an answer did not come within ten seconds")??;
    }
    Ok((wall, used))
}

async fn connection<C: VirtualClient>(address: SocketAddr, shared: Rc<Shared<C>>) {
    let mut open = None;
    while !shared.stopped.get() {
        let connection = match &mut open {
            Some(connection) => connection,
            None => match Connection::open(address).await {
                Ok(connection) => open.insert(connection),
                Err(error) => {
                    shared.errors.borrow_mut().add(|| format!("connecting: {error}"));
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let Some(mut client) = shared.waiting.borrow_mut().pop_front() else { return };
        let sent = Instant::now();
        let answer = connection.exchange(client.request()).await;
        let latency = sent.elapsed();
        let failed = match answer {
            Ok(answer) if client.accept(answer) => None,
            Ok(answer) => Some(format!("{}: {}", answer.status(), answer.text())),
            Err(error) => Some(error.to_string()),
        };
        shared.waiting.borrow_mut().push_back(client);
        match failed {
            None if shared.counting.get() => shared.latencies.borrow_mut().push(latency),
            None => {}
            Some(text) => {
                shared.errors.borrow_mut().add(|| text);
                open = None;
            }
        }
    }
}
