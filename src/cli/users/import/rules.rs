//! The format of the imported file, the rules for all its users, and the warnings about users who
//! are imported with less than the file says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::{records, source};
use crate::base::time::Timestamp;

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
    /// By the end of the file's name. The beginning of a JSON file shows whether it is a list of
    /// users or a Django dump.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "json" => {
                // What cannot be read twice is not looked into.
                let again = source::length(path);
                let reader = again.and_then(|_| source::open(path, Arc::default()).ok());
                let first = reader.and_then(records::first_of_array);
                let is_list = first.is_some_and(|first| !first.contains_key("model"));
                Some(if is_list { Self::Json } else { Self::Django })
            }
            _ => None,
        }
    }

    pub(super) fn place(self) -> &'static str {
        if matches!(self, Self::Jsonl | Self::Csv) { "line" } else { "record" }
    }
}

pub(super) struct Job {
    pub path: PathBuf,
    pub format: Format,
    /// The user model of a Django dump; `None` for `auth.user`.
    pub django_model: Option<String>,
    /// Whether Django's superusers get the role that administers Signet.
    pub superusers_are_admins: bool,
    pub rules: Rules,
}

#[derive(Clone)]
pub(crate) struct Rules {
    pub now: Timestamp,
    /// Roles that administer Signet and are therefore left out; empty where they are kept.
    pub administrators: Arc<[String]>,
}

impl Rules {
    pub(crate) fn leaves_out(&self, role: &str) -> bool {
        self.administrators.iter().any(|administrator| administrator == role)
    }
}

/// Why a user comes in with less than the file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    NameCut,
    DateLeftOut,
    RoleLeftOut(String),
}

/// A sentence for the operator, after the user's place.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameCut => f.write_str("the name has more than 200 characters and is cut"),
            Self::DateLeftOut => f.write_str(
                "created_at is no time from 1970 until now that can be read, and is left out",
            ),
            Self::RoleLeftOut(role) => write!(
                f,
                "comes without the role {role}, which administers Signet: --keep-administrators \
                 keeps it"
            ),
        }
    }
}
