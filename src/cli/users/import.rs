//! `signet users import`: users from JSON, CSV, or the files of other systems. Each batch is committed by
//! itself and an account that is there is left as it is, so an import that was cut off is taken up
//! by the same command.

mod auth0;
mod claims;
mod clerk;
mod dates;
mod django;
mod dump;
mod fields;
mod keycloak;
mod lines;
mod members;
mod plain;
mod progress;
mod reading;
mod records;
mod report;
mod rules;
mod sink;
mod source;
mod table;

use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{super::output, Act};
use crate::app::Stores;
use crate::base::time::Clock;
use crate::domain::audit::{Initiator, Kind};
use crate::domain::roles::Role;
use crate::domain::tokens::scope;
use crate::services::accounts::import::{Imported, Outcome};
use crate::storage::StorageError;
use claims::Claims;
pub(super) use fields::Fields;
use progress::Progress;
use reading::Reading;
use report::Report;
use rules::{Format, Job, Rules};
use sink::Entry;

/// The pause in milliseconds before each further attempt where the database does not answer.
const ATTEMPTS: [u64; 6] = [100, 300, 1000, 3000, 5000, 10_000];
/// How often SQLite's write-ahead log is folded into the file: it would grow with the import.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
const PAGE: i64 = 1000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The file; - for standard input.
    file: PathBuf,
    /// The format of the file. By default it follows from the file's name: .jsonl, .ndjson or .csv;
    /// .json for a list of users or a Django dump.
    #[arg(long)]
    format: Option<Format>,
    /// Only say what would happen.
    #[arg(long)]
    dry_run: bool,
    /// Write refused lines into this new file as well, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// The user model of the Django project; auth.user if absent.
    #[arg(long, value_name = "APP.MODEL")]
    django_model: Option<String>,
    /// Give Django's superusers the role admin, which administers Signet.
    #[arg(long)]
    superusers_are_admins: bool,
    /// Keep roles that administer Signet, which are left out otherwise.
    #[arg(long)]
    keep_administrators: bool,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code is 0 where every user was taken or there already.
pub(super) async fn run(arguments: Arguments, act: &Act<'_>) -> Result<()> {
    let Act { stores, by, .. } = *act;
    let (json, dry_run, rejects) = (arguments.json, arguments.dry_run, arguments.rejects.clone());
    let administrators = match arguments.keep_administrators {
        true => Vec::new(),
        false => administrators(stores).await?,
    };
    let rules = Rules { now: by.at, administrators: administrators.into() };
    let job = job(arguments, rules)?;
    let (origin, place) = (job.path.display().to_string(), job.format.place());
    let read = Arc::default();
    let progress = Progress::new(Arc::clone(&read), source::length(&job.path));
    let reading = Reading::start(job, read)?;
    let mut report = Report::new(place, rejects.as_deref(), progress, dry_run)?;
    let run = Run { act, origin, dry_run };
    let result = run.all(reading, &mut report).await;
    if report.total() > 0 || result.is_ok() {
        output::show(json, &report.counts, &report.counts.text())?;
    }
    result?;
    match report.counts.refused {
        0 => Ok(()),
        refused => bail!("{refused} of {} users were refused", report.total()),
    }
}

async fn administrators(stores: &Stores) -> Result<Vec<String>> {
    let roles = stores.role_management.list().await.context("the roles cannot be read")?;
    let administers = |role: &Role| role.is_built_in() || role.scope.contains(scope::ADMIN);
    Ok(roles.into_iter().filter(administers).map(|role| role.name).collect())
}

fn job(arguments: Arguments, rules: Rules) -> Result<Job> {
    let Arguments { file: path, format, django_model, superusers_are_admins, .. } = arguments;
    let format = format.or_else(|| Format::of(&path)).with_context(|| {
        let path = path.display();
        format!("the format of {path} does not follow from its name: give it with --format")
    })?;
    if format != Format::Django && (django_model.is_some() || superusers_are_admins) {
        bail!("--django-model and --superusers-are-admins are for Django dumps");
    }
    Ok(Job { path, format, django_model, superusers_are_admins, rules })
}

struct Run<'a> {
    act: &'a Act<'a>,
    origin: String,
    dry_run: bool,
}

impl Run<'_> {
    async fn all(&self, mut reading: Reading, report: &mut Report) -> Result<()> {
        let stored = self.batches(&mut reading, report).await;
        let (noticed, result) = match stored {
            Ok(()) => reading.end(),
            Err(error) => (Default::default(), Err(error)),
        };
        report.end(noticed)?;
        if report.total() > 0 && !self.dry_run {
            let detail = format!("{}: {}", self.origin, report.counts.detail());
            let by = &Initiator::command_line(Clock::system().now());
            self.act.stores.accounts.record_transfer(Kind::UsersImported, detail, by).await;
        }
        result
    }

    async fn batches(&self, reading: &mut Reading, report: &mut Report) -> Result<()> {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut checkpointed = Instant::now();
        let mut claims = Claims::new(report.place, self.dry_run);
        loop {
            let batch = tokio::select! {
                biased;
                _ = &mut interrupted => bail!("interrupted; the same command goes on from here"),
                batch = reading.batches.recv() => batch,
            };
            let Some(batch) = batch else { return Ok(()) };
            if report.total() == 0 && !self.dry_run {
                let (accounts, detail) = (&self.act.stores.accounts, self.origin.clone());
                accounts.record_transfer(Kind::UsersImportBegun, detail, self.act.by).await;
            }
            let start = Instant::now();
            let outcomes = self.outcomes(&batch, &mut claims, interrupted.as_mut()).await;
            let (outcomes, wrote_for) =
                outcomes.context("not all users were imported; run it again to go on")?;
            for (entry, outcome) in batch.iter().zip(outcomes) {
                report.add(entry, outcome)?;
            }
            report.show_progress();
            self.act.stores.db.make_room(wrote_for, start.elapsed()).await;
            if !wrote_for.is_zero() && checkpointed.elapsed() > CHECKPOINT_EVERY {
                // What cannot be folded now is a second later.
                let _ = self.act.stores.db.checkpoint().await;
                checkpointed = Instant::now();
            }
        }
    }

    /// What becomes of each entry of a batch, and how long that was written.
    async fn outcomes(
        &self,
        batch: &[Entry],
        claims: &mut Claims,
        mut interrupted: Pin<&mut impl Future>,
    ) -> Result<(Vec<Outcome>, Duration)> {
        let accounts = &self.act.stores.accounts;
        let users: Vec<_> = batch.iter().filter_map(|entry| entry.user.as_ref().ok()).collect();
        let met = patiently(async || accounts.meet(&users).await, interrupted.as_mut()).await?;
        if users.iter().zip(&met).any(|(user, met)| claims.wants_stored_ids(user, met)) {
            self.learn_stored_ids(claims, interrupted.as_mut()).await?;
        }
        let mut met = met.into_iter();
        let (mut decided, mut missing) = (Vec::new(), Vec::new());
        for entry in batch {
            let outcome = match &entry.user {
                Err(reason) => {
                    claims.refuse(entry);
                    Some(Outcome::Refused(reason.clone()))
                }
                Ok(user) => {
                    let met = met.next().context("every user has been looked up")?;
                    let outcome = claims.decide(user, entry.place, met);
                    missing.extend(outcome.is_none().then_some(user));
                    outcome
                }
            };
            decided.push(outcome);
        }
        claims.end_batch();
        let imported = if self.dry_run || missing.is_empty() {
            let outcomes = missing.iter().map(|_| Outcome::Created).collect();
            Imported { outcomes, wrote_for: Duration::ZERO }
        } else {
            let (policy, now) = (&self.act.config.passwords, self.act.by.at);
            patiently(async || accounts.import(&missing, policy, now).await, interrupted).await?
        };
        let mut stored = imported.outcomes.into_iter();
        let outcomes = decided
            .into_iter()
            .map(|outcome| outcome.or_else(|| stored.next()).context("every user has an outcome"));
        Ok((outcomes.collect::<Result<_>>()?, imported.wrote_for))
    }

    /// Reads which imported ids are taken. Only once: no column has them, so this goes through all
    /// users, some seconds for a million.
    async fn learn_stored_ids(
        &self,
        claims: &mut Claims,
        mut interrupted: Pin<&mut impl Future>,
    ) -> Result<(), StorageError> {
        let users = &self.act.stores.users;
        let mut after = String::new();
        loop {
            let page = async || users.list_imported_ids(&after, PAGE).await;
            let page = patiently(page, interrupted.as_mut()).await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            claims.learn_ids(page.into_iter().filter_map(|(_, id)| id));
        }
        claims.end_stored_ids();
        Ok(())
    }
}

/// Tries a step again that the database did not answer, unless that is interrupted; what was
/// committed all the same is there already then.
async fn patiently<T>(
    step: impl AsyncFn() -> Result<T, StorageError>,
    mut interrupted: Pin<&mut impl Future>,
) -> Result<T, StorageError> {
    for pause in ATTEMPTS {
        let unanswered = match step().await {
            Err(error @ StorageError::Unavailable(_)) => error,
            result => return result,
        };
        tokio::select! {
            _ = &mut interrupted => return Err(unanswered),
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
        }
    }
    step().await
}
