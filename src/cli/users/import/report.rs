//! What an import says: every refused line and why, and the sum of it all. Never a hash.

use crate::domain::roles::ADMIN_ROLE;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::progress::Progress;
use super::rules::Warning;
use super::sink::{Entry, Noticed};
use crate::services::accounts::import::Outcome;

/// Longer reasons are cut: they may hold the name of an unknown member.
const MAX_TEXT: usize = 300;

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

    /// Counts what became of `entry`, and tells it where it was refused.
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
        // Nobody may listen any more, which does not stop an import.
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
        note(
            self.noticed.superusers,
            "superusers not made administrators (--superusers-are-admins)",
        );
        note(self.names_cut, "with a name that was cut to 200 characters");
        note(self.dates_left_out, "without created_at, which could not be read");
        for (role, count) in &self.roles_left_out {
            note(
                *count,
                &format!(
                    "without the role {role}, which administers Signet (--keep-administrators)"
                ),
            );
        }
        note(
            self.noticed.groups.len() as u64,
            "groups or roles left out, since their names make no role:",
        );
        lines.extend(self.noticed.groups.iter().map(|name| format!("    {name}")));
        let skipped: u64 = self.noticed.skipped.values().sum();
        if skipped > 0 {
            let models: Vec<_> = self.noticed.skipped.keys().map(String::as_str).collect();
            lines
                .push(format!("  {skipped} records of other kinds skipped: {}", models.join(", ")));
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

/// Text of a file that somebody else made, for a terminal: nothing in it that steers one, turns its
/// order round or cannot be seen, which is named instead, and no more than fits.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars().take(MAX_TEXT) {
        if is_invisible(c) {
            plain.push_str(&format!("<U+{:04X}>", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    if text.chars().nth(MAX_TEXT).is_some() {
        plain.push('\u{2026}');
    }
    plain
}

/// Whether nothing is seen of `c`, by itself or in its place: control characters, marks of direction,
/// joiners, fillers, spaces other than the usual one, variation selectors and tags.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_file_steers_a_terminal() {
        assert_eq!(plain("jos\u{e9}@example.com"), "jos\u{e9}@example.com");
        assert_eq!(plain("a\x1b[2Jb\r\nc\u{202e}d"), "a<U+001B>[2Jb<U+000D><U+000A>c<U+202E>d");
        let hidden = "ann\u{200b}\u{ad}\u{a0}\u{feff}\u{e0041}@example.com";
        assert_eq!(plain(hidden), "ann<U+200B><U+00AD><U+00A0><U+FEFF><U+E0041>@example.com");
        assert_eq!(plain(&"x".repeat(301)).chars().count(), 301);
        assert!(plain(&"x".repeat(301)).ends_with('\u{2026}'));
        assert_eq!(plain(&"x".repeat(300)), "x".repeat(300));
    }
}
