//! Readers of single values: text, numbers, flags, lists, durations, choices. A value is typed in a
//! file and text in a variable; both are read alike. A reader records a problem with its key and
//! origin, and the check continues.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use config::ValueKind;

use super::Problem;
use super::check::Check;

const DURATION_HINT: &str = "must be a duration in whole seconds, such as 30s, 15m or 90d";

impl Check<'_> {
    /// Records a problem with `key`.
    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let problem = Problem::new(key, message);
        let problem = match self.values.get(key) {
            Some(value) => problem.from(value),
            None => problem,
        };
        self.problems.push(problem);
    }

    /// The same, in place of a value.
    pub(super) fn refuse<T>(&mut self, key: &str, message: impl Into<String>) -> Option<T> {
        self.problem(key, message);
        None
    }

    /// The value of a check, or `None` after recording its error.
    pub(super) fn accept<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.problem(key, message)).ok()
    }

    /// The same for a domain's policy, which names the setting within its section.
    pub(super) fn accept_policy<T>(
        &mut self,
        section: &str,
        result: Result<T, (&'static str, String)>,
    ) -> Option<T> {
        result.map_err(|(name, message)| self.problem(&format!("{section}.{name}"), message)).ok()
    }

    /// Text without surrounding spaces; an empty text means no value.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.values.get(key).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => Some(text.trim().to_owned()),
            // The message has no value: it may be a secret.
            _ => self.refuse(key, "must be text in quotes"),
        }
    }

    /// Text that must not be empty; `what` says what the operator should give.
    pub(super) fn required(&mut self, key: &str, what: &str) -> Option<String> {
        let text = self.text(key)?;
        if text.is_empty() {
            let profile = self.profile.as_str();
            let message = format!("is required in the {profile} profile: {what}");
            self.problems.push(Problem::new(key, message));
            return None;
        }
        Some(text)
    }

    /// A number or a flag as text, in the notation of a variable.
    fn scalar(&self, key: &str) -> String {
        match self.values.get(key).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => text.trim().to_owned(),
            Some(ValueKind::I64(number)) => number.to_string(),
            Some(ValueKind::Float(number)) => number.to_string(),
            Some(ValueKind::Boolean(flag)) => flag.to_string(),
            _ => String::new(),
        }
    }

    pub(super) fn path(&mut self, key: &str) -> Option<Option<PathBuf>> {
        let text = self.text(key)?;
        Some((!text.is_empty()).then(|| text.into()))
    }

    pub(super) fn folder(&mut self, key: &str) -> Option<PathBuf> {
        self.path(key)?.or_else(|| self.refuse(key, "must name a folder"))
    }

    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Option<T> {
        let text = self.text(key)?;
        let result = text.parse().map_err(|_| format!("must be {what}, not \"{text}\""));
        self.accept(key, result)
    }

    pub(super) fn number<T>(&mut self, key: &str, least: T, most: T) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let text = self.scalar(key);
        let number = text.parse().ok().filter(|number| *number >= least && *number <= most);
        let result = number.ok_or_else(|| match text.parse::<i128>() {
            Ok(number) => format!("must be from {least} to {most}, not {number}"),
            Err(_) => format!("must be a whole number, not \"{text}\""),
        });
        self.accept(key, result)
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let text = self.scalar(key);
        let result = text.parse().map_err(|_| format!("must be true or false, not \"{text}\""));
        self.accept(key, result)
    }

    /// `true` or `false`, without a default; `what` says what the operator should give.
    pub(super) fn required_flag(&mut self, key: &str, what: &str) -> Option<bool> {
        let kind = self.values.get(key).map(|value| &value.kind);
        if matches!(kind, Some(ValueKind::String(text)) if text.trim().is_empty()) {
            self.required(key, what)?;
        }
        self.flag(key)
    }

    /// A list, or text with commas; every entry goes through `check`.
    pub(super) fn items<T>(
        &mut self,
        key: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let texts: Option<Vec<String>> = match self.values.get(key).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => Some(text.split(',').map(str::to_owned).collect()),
            Some(ValueKind::Array(items)) => items
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::String(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        let Some(texts) = texts else {
            return self.refuse(key, "must be a list of texts in quotes");
        };
        let texts = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        self.accept(key, texts.map(check).collect())
    }

    /// A duration in whole seconds.
    pub(super) fn duration(&mut self, key: &str) -> Option<Duration> {
        let text = self.scalar(key);
        let duration = humantime::parse_duration(&text);
        let duration = duration.ok().filter(|duration| duration.subsec_nanos() == 0);
        self.accept(key, duration.ok_or_else(|| format!("{DURATION_HINT}, not \"{text}\"")))
    }

    pub(super) fn duration_below(&mut self, key: &str, most: u64) -> Option<Duration> {
        let duration = self.duration(key)?;
        let most = Duration::from_secs(most);
        let message = || format!("must be at most {}", humantime::format_duration(most));
        self.accept(key, if duration <= most { Ok(duration) } else { Err(message()) })
    }

    pub(super) fn duration_or_off(&mut self, key: &str) -> Option<Option<Duration>> {
        if self.scalar(key) == "off" {
            return Some(None);
        }
        self.duration(key).map(Some)
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let message = || format!("must be {}, not \"{text}\"", words.join(" or "));
        self.accept(key, found.ok_or_else(message))
    }
}
