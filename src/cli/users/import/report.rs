//! What an import says: every refused line and why, and the sum of it all. Never a hash.

use crate::domain::roles::ADMIN_ROLE;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::plain::plain;
use super::progress::Progress;
use super::rules::Warning;
use super::sink::{Entry, Noticed};
use crate::services::accounts::import::Outcome;

#[derive(Default, Serialize)]
pub(super) struct Counts {
    pub dry_run: bool,
    /// Accounts made; in a dry run, that would have been.
    pub imported: u64,
    /// Of these, without a password.
    pub without_password: u64,
    /// Of these, with the role that administers Signet.
    pub administrators: u64,
    /// Accounts that were there already, just so.
    pub present: u64,
    /// Of these, with another password by now.
    pub with_other_password: u64,
    pub refused: u64,
    /// Of those made, with a name that was cut.
    pub names_cut: u64,
    /// Of those made, without the time at which they were.
    pub dates_left_out: u64,
    /// Roles that administer Signet and were left out, with the accounts made without them.
    pub roles_left_out: BTreeMap<String, u64>,
    #[serde(flatten)]
    pub noticed: Noticed,
    pub seconds: f64,
}

pub(super) struct Report {
    pub place: &'static str,
    rejects: Option<BufWriter<File>>,
    progress: Progress,
    pub counts: Counts,
}

impl Report {
    /// Calls places in the file `place`; writes refusals also into a new file at `rejects`.
    pub(super) fn new(
        place: &'static str,
        rejects: Option<&Path>,
        progress: Progress,
        dry_run: bool,
    ) -> Result<Self> {
        let create = |path: &Path| {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file.map(BufWriter::new).with_context(|| format!("cannot create {}", path.display()))
        };
        let rejects = rejects.map(create).transpose()?;
        Ok(Self { place, rejects, progress, counts: Counts { dry_run, ..Counts::default() } })
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.imported + self.counts.present + self.counts.refused
    }

    /// Counts the outcome of `entry`, and prints a refusal.
    pub(super) fn add(&mut self, entry: &Entry, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Created => {
                let user = entry.user.as_ref();
                let is_admin = |roles: &Vec<String>| roles.iter().any(|role| role == ADMIN_ROLE);
                let without = user.is_ok_and(|user| user.password_hash.is_none());
                let admin = user.is_ok_and(|user| user.roles.as_ref().is_some_and(is_admin));
                self.counts.imported += 1;
                self.counts.without_password += u64::from(without);
                self.counts.administrators += u64::from(admin);
                entry.warnings.iter().for_each(|warning| self.warn(entry, warning));
            }
            Outcome::Present => self.counts.present += 1,
            Outcome::PresentWithOtherPassword => {
                self.counts.present += 1;
                self.counts.with_other_password += 1;
            }
            Outcome::Refused(reason) => self.refuse(entry, &reason)?,
        }
        Ok(())
    }

    fn warn(&mut self, entry: &Entry, warning: &Warning) {
        match warning {
            Warning::NameCut => self.counts.names_cut += 1,
            Warning::DateLeftOut => self.counts.dates_left_out += 1,
            Warning::RoleLeftOut(role) => {
                *self.counts.roles_left_out.entry(role.clone()).or_default() += 1;
            }
        }
        self.tell(entry, &warning.to_string());
    }

    fn tell(&mut self, entry: &Entry, what: &str) {
        self.progress.clear();
        let (email, what, place) = (plain(&entry.email), plain(what), entry.place);
        let who = if email.is_empty() { String::new() } else { format!("{email} \u{2014} ") };
        // Standard error may be closed, which does not stop an import.
        let _ = writeln!(std::io::stderr(), "{} {place}: {who}{what}", self.place);
    }

    fn refuse(&mut self, entry: &Entry, reason: &str) -> Result<()> {
        self.counts.refused += 1;
        self.tell(entry, reason);
        let (email, reason, place) = (plain(&entry.email), plain(reason), entry.place);
        if let Some(rejects) = &mut self.rejects {
            let line = serde_json::json!({ self.place: place, "email": email, "reason": reason });
            writeln!(rejects, "{line}").context("the refused lines cannot be written")?;
        }
        Ok(())
    }

    pub(super) fn show_progress(&mut self) {
        self.progress.show(self.total());
    }

    pub(super) fn end(&mut self, noticed: Noticed) -> Result<()> {
        self.progress.clear();
        self.counts.seconds = self.progress.elapsed().as_secs_f64();
        self.counts.noticed = noticed;
        match &mut self.rejects {
            Some(rejects) => rejects.flush().context("the refused lines cannot be written"),
            None => Ok(()),
        }
    }
}

impl Counts {
    pub(super) fn text(&self) -> String {
        let Self { imported, present, refused, seconds, .. } = self;
        let did = if self.dry_run { "would be imported" } else { "imported" };
        let rate = (imported + present + refused) as f64 / seconds.max(0.001);
        let mut lines = vec![format!(
            "{imported} users {did}, {present} there already, {refused} refused, in {seconds:.1} s \
             ({rate:.0} a second)"
        )];
        let mut note = |count: u64, text: &str| {
            if count > 0 {
                lines.push(format!("  {count} {text}"));
            }
        };
        note(self.without_password, "without a password: only a new one lets them in");
        note(self.administrators, "with the role admin, which administers Signet");
        note(self.with_other_password, "of those there already have another password by now");
        let Noticed { superusers, groups, skipped } = &self.noticed;
        note(*superusers, "superusers not made administrators (--superusers-are-admins)");
        note(self.names_cut, "with a name that was cut to 200 characters");
        note(self.dates_left_out, "without created_at, which could not be read");
        for (role, count) in &self.roles_left_out {
            let which =
                format!("the role {role}, which administers Signet (--keep-administrators)");
            note(*count, &format!("without {which}"));
        }
        let count = groups.len() as u64;
        note(count, "groups or roles left out, since their names make no role:");
        lines.extend(groups.iter().map(|name| format!("    {name}")));
        let count: u64 = skipped.values().sum();
        if count > 0 {
            let models = skipped.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            lines.push(format!("  {count} records of other kinds skipped: {models}"));
        }
        lines.join("\n")
    }

    pub(super) fn detail(&self) -> String {
        let Self { imported, without_password, administrators, present, refused, .. } = self;
        format!(
            "imported {imported}, of these without a password {without_password} and \
             administrators {administrators}; there already {present}; refused {refused}"
        )
    }
}
