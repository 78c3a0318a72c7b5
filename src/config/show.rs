//! The settings in effect, for `signet config show`: each with its value and its origin. Invariant:
//! secrets are never among them; a setting that can hold one is masked here, by its key.

use std::collections::BTreeMap;

use config::{Value, ValueKind};
use serde::Serialize;
use url::Url;

use super::raw::{self, Values};

const MASK: &str = "********";

/// One setting in effect. A secret is already masked.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// The dotted key.
    #[serde(skip)]
    pub key: String,
    /// The value as configured.
    pub value: serde_json::Value,
    /// `default`, a file, an environment variable, or `--profile`.
    pub origin: String,
}

pub(super) fn settings(values: &Values) -> Vec<Setting> {
    let setting = |(key, value): (&String, &Value)| Setting {
        key: key.clone(),
        value: shown(key, value),
        origin: raw::origin(value).to_owned(),
    };
    values.iter().map(setting).collect()
}

fn shown(key: &str, value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::Array(items) => items.iter().map(|item| shown(key, item)).collect(),
        other => {
            let text = other.to_string();
            match key {
                _ if text.is_empty() => text,
                "keys.encryption_key" | "keys.pkcs11.pin" | "mail.smtp.password" => MASK.into(),
                "database.url" | "redis.url" => mask_url(&text),
                // A variable contains the whole list.
                "redis.cluster" | "redis.sentinel" => {
                    text.split(',').map(mask_url).collect::<Vec<_>>().join(",")
                }
                _ => text,
            }
            .into()
        }
    }
}

/// Masks the password of a URL, and the whole of a text that is no URL.
fn mask_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text.trim()) else { return MASK.into() };
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.into();
    }
    // Drivers also accept credentials as parameters.
    let is_secret = |name: &str| name.to_lowercase().contains("pass");
    if url.query_pairs().any(|(name, _)| is_secret(&name)) {
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let masked = pairs
            .iter()
            .map(|(name, value)| (name, if is_secret(name) { MASK } else { value.as_str() }));
        url.query_pairs_mut().clear().extend_pairs(masked);
    }
    url.into()
}

pub(super) fn render(settings: &[Setting], json: bool) -> String {
    if json {
        let members: BTreeMap<_, _> = settings.iter().map(|s| (s.key.as_str(), s)).collect();
        // Strings, numbers and lists of them always serialise.
        return serde_json::to_string_pretty(&members).unwrap_or_default();
    }
    let lines: Vec<_> = settings
        .iter()
        .map(|setting| (format!("{} = {}", setting.key, setting.value), &setting.origin))
        .collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    let lines: Vec<_> =
        lines.iter().map(|(line, origin)| format!("{line:<width$}  # {origin}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::mask_url;

    #[test]
    fn urls_show_without_their_passwords() {
        for (url, shown) in [
            ("postgres://signet:pw@db:5432/signet", "postgres://signet:********@db:5432/signet"),
            ("redis://:pw@cache:6379/0", "redis://:********@cache:6379/0"),
            (
                "postgres://db/x?password=pw&sslmode=require",
                "postgres://db/x?password=********&sslmode=require",
            ),
            ("sqlite://data/signet.db", "sqlite://data/signet.db"),
            ("sqlite:///var/lib/signet.db", "sqlite:///var/lib/signet.db"),
            ("hunter2", "********"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }
}
