//! What is to be imported: which file, how it is written, and by which rules.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::rules::Rules;
use super::{json, source};

/// How a dump is taken.
#[derive(Clone)]
pub(super) struct DjangoOptions {
    /// The user model; `None` for `auth.user`.
    pub model: Option<String>,
    /// Whether superusers get the role that administers Signet.
    pub superusers_are_admins: bool,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A table with the names of its columns in the first line.
    Csv,
    /// A JSON array of the same objects.
    Json,
    /// What a Django project's dumpdata writes.
    Django,
    /// What Keycloak's export of a realm writes.
    Keycloak,
    /// What Auth0 exports, or takes.
    Auth0,
    /// What Clerk exports, as CSV or JSON.
    Clerk,
}

impl Format {
    /// By the end of the file's name. Of a JSON file its beginning tells whether it is a list of users
    /// or a Django dump.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "json" => {
                // What cannot be read twice is not looked into.
                let reader =
                    source::length(path).and_then(|_| source::open(path, Arc::default()).ok());
                match reader.is_some_and(json::is_list_of_users) {
                    true => Some(Self::Json),
                    false => Some(Self::Django),
                }
            }
            _ => None,
        }
    }

    /// What the places that a report names are.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Csv => "line",
            Self::Json | Self::Django | Self::Keycloak | Self::Auth0 | Self::Clerk => "record",
        }
    }
}

/// What is to be read, and how.
#[derive(Clone)]
pub(super) struct Job {
    pub path: PathBuf,
    pub format: Format,
    pub django: DjangoOptions,
    pub rules: Rules,
}
