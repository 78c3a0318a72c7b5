//! The load benchmark: starts the real release binary on each of its stores, drives it over HTTP
//! from another core, and prints what it reached beside the limits measured in the same run.
//! `cargo bench --bench load`; `docs/performance.md` says how to read the tables.

mod clients;
mod cores;
mod driver;
mod http;
mod limits;
mod memory;
mod options;
mod reference;
mod report;
mod revocations;
mod rotation;
mod rows;
mod signet;
mod stats;
mod stores;
mod storm;

use std::time::Duration;

use anyhow::Result;

use crate::cores::Cores;
use crate::limits::{Hashes, Signatures};
use crate::options::{Options, RowName, StoreName};
use crate::report::count;
use crate::rows::Bench;
use crate::signet::Installation;
use crate::stores::Stores;

/// Users whose sessions refresh, and others who log in again and again: a user's sessions are
/// bounded, so each login of theirs would end a session that still refreshes. The latter are many,
/// since a storm is made by many people and not by a few who begin sessions without end.
const REFRESHING_USERS: usize = 32;
const LOGGING_IN_USERS: usize = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [reference::ARGUMENT, file] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        return reference::serve(file);
    }
    // cargo says so when it is asked for benchmarks; `cargo test --all-targets` only wants to know
    // that they compile.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("nothing to test; run `cargo bench --bench load`");
        return Ok(());
    }
    let options = Options::parse(arguments.into_iter())?;
    // Before any thread starts, so that all of them stay on the driver's core.
    let cores = Cores::choose();
    let free_cores = cores.on_both(|| std::thread::available_parallelism().map_or(1, usize::from));
    let signatures = Signatures::new(cores)?;
    let mut hashes = Hashes::new(cores)?;
    print_limits(cores, &signatures, &mut hashes)?;

    for store in options.stores.clone() {
        println!("\n## {}", store.title());
        let own = [RowName::Memory, RowName::Rotation, RowName::Revocations];
        if options.rows.iter().any(|row| !own.contains(row)) {
            run_store(store, &options, cores, &signatures, &mut hashes)?;
        }
        if options.wants(RowName::Memory) {
            run_growth(store, &options, cores)?;
        }
        if options.wants(RowName::Rotation) {
            let stores = start_stores(store)?;
            let settings = stores.as_ref().map(settings).unwrap_or_default();
            report::rotation(&rotation::run(cores, settings)?);
        }
        if options.wants(RowName::Revocations) {
            let stores = start_stores(store)?;
            let settings = stores.as_ref().map(settings).unwrap_or_default();
            report::revocations(&revocations::run(cores, settings)?);
        }
    }
    if options.wants(RowName::Memory) && options.stores.contains(&StoreName::Embedded) {
        println!("\n## At rest");
        report::resting(&memory::resting(cores)?, free_cores);
    }
    Ok(())
}

fn print_limits(cores: Cores, signatures: &Signatures, hashes: &mut Hashes) -> Result<()> {
    let time = Duration::from_secs(1);
    let pinning = if cores.are_pinned() {
        "Signet on one core with one worker, everything else on another"
    } else {
        "NOT pinned: fewer than two cores to choose from"
    };
    println!("{pinning}.");
    println!("Bare limits, a CPU second:");
    println!("- RSA-2048 signatures: {}", count(signatures.per_cpu_second(time)?));
    println!(
        "- the same while the driver's core is busy: {}",
        count(signatures.beside_busy_driver(time)?)
    );
    println!("- Argon2id hashes: {}", count(hashes.per_cpu_second(time)?));
    Ok(())
}

fn run_store(
    store: StoreName,
    options: &Options,
    cores: Cores,
    signatures: &Signatures,
    hashes: &mut Hashes,
) -> Result<()> {
    let stores = start_stores(store)?;
    let installation = Installation::new(cores, stores.as_ref().map(settings).unwrap_or_default())?;
    installation.migrate()?;
    let service = installation.add_service_client("bench-service")?;
    let users = installation.add_users(REFRESHING_USERS + LOGGING_IN_USERS)?;
    let (refreshing, logging_in) = users.split_at(REFRESHING_USERS);
    let server = installation.start_pinned()?;
    let mut bench = Bench {
        options,
        cores,
        installation: &installation,
        server: &server,
        refreshing,
        logging_in,
        service: &service,
        signatures,
        hashes,
    };
    let mut rows = Vec::new();
    for name in &options.rows {
        announce(options, *name, server.pid());
        rows.extend(bench.measure(*name)?);
    }
    report::rows(store, &rows);
    if options.wants(RowName::Storm) {
        report::storm(&storm::run(&mut bench)?);
    }
    println!("\nMemory after all of these: {:.1} MiB", server.resident_mib()?);
    server.stop()
}

/// A fresh Signet on fresh stores, so that every key in Redis is of a session it issued.
fn run_growth(store: StoreName, options: &Options, cores: Cores) -> Result<()> {
    let stores = start_stores(store)?;
    let settings = stores.as_ref().map(settings).unwrap_or_default();
    let redis = stores.as_ref().map(|stores| stores.redis_url.as_str());
    report::growth(&memory::growth(cores, options, settings, redis)?);
    Ok(())
}

fn start_stores(store: StoreName) -> Result<Option<Stores>> {
    match store {
        StoreName::Embedded => Ok(None),
        StoreName::Postgres => Stores::start().map(Some),
    }
}

/// What a Signet on PostgreSQL and Redis is told.
fn settings(stores: &Stores) -> Vec<(String, String)> {
    [
        ("SIGNET__DATABASE__URL", stores.postgres_url.as_str()),
        ("SIGNET__SESSIONS__STORE", "redis"),
        ("SIGNET__REDIS__URL", stores.redis_url.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Says on standard error what is coming, and lets a profiler be attached where that was asked.
fn announce(options: &Options, row: RowName, pid: u32) {
    eprintln!("{} (Signet is process {pid})", row.as_str());
    if options.wait {
        eprintln!("Enter goes on");
        let _ = std::io::stdin().read_line(&mut String::new());
    }
}
