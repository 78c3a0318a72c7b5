//! The command line. Tables for people, `--json` for scripts, logs and errors to stderr. Exit code
//! 0 done, 1 failed with one clear line, 2 wrong usage. A password never comes as an argument,
//! where every user of the machine could read it.

mod audit;
mod clients;
mod config;
mod database;
mod doctor;
mod keys;
mod mail;
mod openapi;
mod output;
mod roles;
mod serve;
mod users;

use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::app::Stores;
use crate::base::secret::Secret;
use crate::base::time::{Clock, Timestamp};
use crate::config::Config;

/// The length beyond which a line is neither a password nor a client's secret.
const MAX_LINE_BYTES: u64 = 4096;

/// A token-issuing identity service.
#[derive(Parser)]
#[command(name = "signet", version, about, max_term_width = 100)]
struct Arguments {
    /// The profile whose defaults apply: development or production.
    #[arg(long, global = true)]
    profile: Option<String>,
    /// A configuration file, applied over the profile's.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service (also without any command).
    Serve,
    /// Apply the database migrations that are missing, and say how many there are.
    Migrate,
    /// Signing keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Users.
    #[command(subcommand)]
    Users(users::Command),
    /// Roles and the scopes they carry.
    #[command(subcommand)]
    Roles(roles::Command),
    /// Clients.
    #[command(subcommand)]
    Clients(clients::Command),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Mail.
    #[command(subcommand)]
    Mail(mail::Command),
    /// The configuration in effect.
    #[command(subcommand)]
    Config(config::Command),
    /// Check an issuer from outside, and say what to mend. Needs no configuration.
    Doctor(doctor::Arguments),
    /// Print the OpenAPI document.
    Openapi,
}

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    forbid_dumps();
    let done = match &arguments.command {
        Some(Command::Doctor(asked)) => doctor::run(asked),
        _ => execute(arguments).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps the memory of this process, where keys and passwords lie, out of core dumps and from other
/// processes of the same user, which can then neither trace nor read it (prctl(2), PR_SET_DUMPABLE).
fn forbid_dumps() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        eprintln!("signet: warning: core dumps of this process cannot be forbidden: {error}");
    }
}

fn execute(arguments: Arguments) -> Result<()> {
    let Arguments { profile, config: file, command } = arguments;
    if let Some(Command::Openapi) = command {
        return openapi::run();
    }
    let config = Config::load(profile.as_deref(), file.as_deref(), crate::config::environment())?;
    // Redis and PostgreSQL over TLS take whatever provider the process has installed; an error
    // means that there is one already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(config),
        Command::Config(command) => config::run(command, &config),
        // These have had their turn without a configuration.
        Command::Openapi | Command::Doctor(_) => Ok(()),
        Command::Migrate => block_on(database::migrate(&config)),
        Command::Keys(command) => block_on(keys::run(command, &config)),
        Command::Mail(command) => block_on(mail::run(command, &config)),
        Command::Users(command) => block_on(users::run(command, &config)),
        Command::Roles(command) => block_on(roles::run(command, &config)),
        Command::Clients(command) => block_on(clients::run(command, &config)),
        Command::Audit(command) => block_on(audit::run(command, &config)),
    }
}

fn block_on(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(command)
}

/// The moment a command acts at, and the stores it acts on.
async fn open(config: &Config) -> Result<(Timestamp, Stores)> {
    let now = Clock::system().now();
    Ok((now, Stores::open(config, now).await?))
}

/// The one line of standard input, which is `what`.
fn read_line(what: &str) -> Result<Secret<String>> {
    let mut line = String::with_capacity(MAX_LINE_BYTES as usize);
    let mut input = std::io::stdin().lock().take(MAX_LINE_BYTES);
    let read = input.read_line(&mut line);
    read.with_context(|| format!("the {what} cannot be read from standard input"))?;
    let line = Secret::new(line);
    Ok(Secret::new(line.expose().trim_end_matches(['\n', '\r']).to_owned()))
}

/// `signet … | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn a_process_that_holds_keys_is_not_dumpable() {
        forbid_dumps();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
