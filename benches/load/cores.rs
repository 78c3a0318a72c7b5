//! Cores and CPU time: one core for Signet and the limits it is held against, another for
//! everything else, and the clocks that do not care what else the machine is doing.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// The kernel shows CPU times in hundredths of a second, whatever its own tick is.
const TICKS_PER_SECOND: u64 = 100;

/// Which core does what; without at least two that can be chosen, nothing is pinned.
#[derive(Clone, Copy, Debug)]
pub struct Cores(Option<Pair>);

#[derive(Clone, Copy, Debug)]
struct Pair {
    server: usize,
    driver: usize,
}

impl Cores {
    /// Chooses the cores and moves the calling thread, and so every later one, to the driver's.
    pub fn choose() -> Self {
        let pair = match affinity::allowed().as_slice() {
            [driver, .., server] => Some(Pair { server: *server, driver: *driver }),
            _ => None,
        };
        let pinned = pair.filter(|pair| affinity::move_to(&[pair.driver]));
        Self(pinned)
    }

    pub fn are_pinned(self) -> bool {
        self.0.is_some()
    }

    /// Runs `work` on the server's core. Processes and threads that it starts stay there.
    pub fn on_server<T>(self, work: impl FnOnce() -> T) -> T {
        self.elsewhere(|pair| vec![pair.server], work)
    }

    /// Runs `work` free to use both cores, as Signet is outside of a benchmark.
    pub fn on_both<T>(self, work: impl FnOnce() -> T) -> T {
        self.elsewhere(|pair| vec![pair.driver, pair.server], work)
    }

    fn elsewhere<T>(self, cores: impl FnOnce(Pair) -> Vec<usize>, work: impl FnOnce() -> T) -> T {
        let Some(pair) = self.0 else { return work() };
        affinity::move_to(&cores(pair));
        let result = work();
        affinity::move_to(&[pair.driver]);
        result
    }
}

/// CPU time of the server's core, whoever took it; zero where nothing is pinned.
pub fn server_core_busy(cores: Cores) -> Result<Duration> {
    let Some(pair) = cores.0 else { return Ok(Duration::ZERO) };
    let stat = fs::read_to_string("/proc/stat").context("reading the cores' times")?;
    let name = format!("cpu{} ", pair.server);
    let line = stat.lines().find_map(|line| line.strip_prefix(&name));
    // user nice system idle iowait irq softirq steal; what guests take is counted as user already.
    let times = line.context("/proc/stat does not list the core")?.split_ascii_whitespace();
    let is_busy = |at: &usize| !matches!(at, 3 | 4);
    let ticks = times.take(8).enumerate().filter(|(at, _)| is_busy(at));
    Ok(from_ticks(ticks.map(|(_, time)| time.parse::<u64>().unwrap_or(0)).sum()))
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of a process: all of its threads, also those that have ended, in user and kernel.
pub fn process_cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("reading CPU time")?;
    // The name in parentheses may hold anything; utime and stime are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')').context("/proc/<pid>/stat has no name")?;
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Ok(from_ticks(ticks))
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_ascii_whitespace().next());
    figure.and_then(|figure| figure.parse().ok()).context("/proc/<pid>/status has no VmRSS")
}

#[cfg(target_os = "linux")]
mod affinity {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub fn allowed() -> Vec<usize> {
        let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    pub fn move_to(cores: &[usize]) -> bool {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        sched_setaffinity(None, &set).is_ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    pub fn allowed() -> Vec<usize> {
        Vec::new()
    }

    pub fn move_to(_: &[usize]) -> bool {
        false
    }
}
