//! The results, check by check: a table for people, a document for scripts, and progress on standard
//! error. Text of servers is shown without control characters and without the secrets that they got.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use url::Url;

use super::fault::Fault;
use crate::base::secret::Secret;
use crate::cli::output;

const MAX_TEXT: usize = 400;
const MIN_SECRET: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and should be better.
    Warning,
    /// It has to be mended.
    Failed,
    /// Not done, and why.
    Skipped,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Check {
    check: &'static str,
    status: Status,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<f64>,
}

impl Check {
    pub(super) fn took(&mut self, time: Duration) {
        self.milliseconds = Some((time.as_secs_f64() * 1e4).round() / 10.0);
    }

    fn to_do(&self) -> Option<String> {
        let (check, status) = (self.check, self.status.as_str());
        self.mend.as_ref().map(|mend| format!("  {check} ({status}): {mend}"))
    }
}

#[derive(Default)]
pub(super) struct Report {
    checks: Vec<Check>,
    secrets: Vec<Secret<String>>,
}

#[derive(Serialize)]
struct Document<'a> {
    issuer: &'a str,
    ok: bool,
    checks: &'a [Check],
}

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, seen: impl Into<String>) -> &mut Check {
        self.add(check, Status::Ok, &seen.into(), None)
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> &mut Check {
        self.add(check, Status::Warning, &seen.into(), Some(&mend.into()))
    }

    pub(super) fn failed(
        &mut self,
        check: &'static str,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> &mut Check {
        self.add(check, Status::Failed, &seen.into(), Some(&mend.into()))
    }

    pub(super) fn fault(&mut self, check: &'static str, fault: &Fault) {
        self.failed(check, fault.to_string(), fault.mend());
    }

    /// The value, or `None` after adding why there is none.
    pub(super) fn accept<T>(&mut self, check: &'static str, result: Result<T, Fault>) -> Option<T> {
        result.inspect_err(|fault| self.fault(check, fault)).ok()
    }

    /// The same for the answer of `url`.
    pub(super) fn accept_at<T>(
        &mut self,
        check: &'static str,
        url: &Url,
        result: Result<T, Fault>,
    ) -> Option<T> {
        let add = |fault: &Fault| {
            self.failed(check, format!("{fault} at {url}"), fault.mend());
        };
        result.inspect_err(add).ok()
    }

    /// Adds what was measured, which should be at most `limit`.
    pub(super) fn at_most(
        &mut self,
        limit: Duration,
        check: &'static str,
        took: Duration,
        seen: String,
        mend: &str,
    ) {
        let check = match took > limit {
            true => self.warning(check, seen, mend),
            false => self.ok(check, seen),
        };
        check.took(took);
    }

    pub(super) fn skipped(&mut self, check: &'static str, why: impl Into<String>) {
        self.add(check, Status::Skipped, &why.into(), None);
    }

    /// Masks `secret` in all further output. A short secret is not masked, since the gaps that it
    /// leaves in other words would reveal it.
    pub(super) fn hide(&mut self, secret: &str) {
        if secret.len() >= MIN_SECRET {
            self.secrets.push(Secret::new(secret.to_owned()));
        }
    }

    pub(super) fn progress(&self, what: &str) {
        // Standard error may be closed.
        let _ = writeln!(std::io::stderr(), "signet: {what} …");
    }

    pub(super) fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.status != Status::Failed)
    }

    pub(super) fn print(&self, issuer: &str, json: bool) -> Result<()> {
        if json {
            return output::json(&Document { issuer, ok: self.is_ok(), checks: &self.checks });
        }
        let row = |check: &Check| {
            [check.check.to_owned(), check.status.as_str().to_owned(), check.seen.clone()]
        };
        output::table(
            ["check", "status", "seen"],
            &self.checks.iter().map(row).collect::<Vec<_>>(),
        )?;
        let to_do: Vec<_> = self.checks.iter().filter_map(Check::to_do).collect();
        match to_do.is_empty() {
            true => output::print("\nNothing to do."),
            false => output::print(&format!("\nTo do:\n{}", to_do.join("\n"))),
        }
    }

    #[allow(clippy::indexing_slicing, reason = "a check was pushed just before")]
    fn add(
        &mut self,
        check: &'static str,
        status: Status,
        seen: &str,
        mend: Option<&str>,
    ) -> &mut Check {
        let (seen, mend) = (self.shown(seen), mend.map(|mend| self.shown(mend)));
        self.checks.push(Check { check, status, seen, mend, milliseconds: None });
        let last = self.checks.len() - 1;
        &mut self.checks[last]
    }

    fn shown(&self, text: &str) -> String {
        let hide = |text: String, secret: &Secret<String>| {
            text.replace(secret.expose().as_str(), "[redacted]")
        };
        let text = self.secrets.iter().fold(text.to_owned(), hide);
        let plain = |c: char| if is_plain(c) { c } else { '\u{fffd}' };
        let mut shown: String = text.chars().take(MAX_TEXT).map(plain).collect();
        if text.chars().nth(MAX_TEXT).is_some() {
            shown.push('…');
        }
        shown
    }
}

/// Whether a terminal shows it as it is. Marks that turn the direction of text are no content.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_shown_harmless_short_and_without_secrets() {
        let mut report = Report::default();
        report.hide("s3cret-word");
        report.hide("a");
        report.failed("a", "\u{1b}[2J\u{202e}s3cret-word a", "x".repeat(10_000));
        let check = &report.checks[0];
        assert_eq!(check.seen, "\u{fffd}[2J\u{fffd}[redacted] a");
        let mend = check.mend.as_deref().unwrap();
        assert!(mend.chars().count() == MAX_TEXT + 1 && mend.ends_with('…'));
    }

    #[test]
    fn only_what_failed_fails() {
        let mut report = Report::default();
        report.ok("a", "").took(Duration::from_micros(1234));
        report.warning("b", "", "");
        report.skipped("c", "");
        assert!(report.is_ok() && report.checks[0].milliseconds == Some(1.2));
        report.failed("d", "", "");
        assert!(!report.is_ok());
    }
}
