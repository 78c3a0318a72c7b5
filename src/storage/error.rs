//! The failures of a store, distinguished only as far as callers act differently.

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It does not answer now; the same request may succeed later. Never proof of absence.
    #[error("the store does not answer")]
    Unavailable(#[source] Cause),
    /// A row with the same unique value is already there.
    #[error("the value is already taken")]
    Conflict,
    /// Anything else: a bug, or data that this version cannot read.
    #[error("the store failed")]
    Internal(#[source] Cause),
}

/// What a store returns.
pub type Stored<T> = Result<T, StorageError>;

impl StorageError {
    /// Data in the store that this version of Signet cannot read.
    pub fn corrupt(what: &str) -> Self {
        Self::Internal(format!("unreadable {what}").into())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Unreachable {
    pub(super) message: String,
    /// Whether it is likely to answer in a moment.
    pub(super) is_late: bool,
}

impl StorageError {
    /// Whether a store that cannot be used at a start is likely to be in a moment: it does not
    /// listen yet, or is still starting. A wrong password, name or certificate does not count.
    pub fn is_late(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        if let Some(unreachable) = cause.downcast_ref::<Unreachable>() {
            return unreachable.is_late;
        }
        match cause.downcast_ref::<sqlx::Error>() {
            // The TLS library's complaints.
            Some(sqlx::Error::Io(error)) => error.kind() != std::io::ErrorKind::InvalidData,
            Some(sqlx::Error::Database(error)) => {
                is_starting(&error.code().unwrap_or_default(), error.message())
            }
            Some(_) => false,
            None => cause.is::<tokio::time::error::Elapsed>(),
        }
    }
}

/// PostgreSQL's codes of a server that starts, stops or has no connection free, and pgbouncer's
/// messages of a server that it cannot reach, for which it has one code for everything.
fn is_starting(code: &str, message: &str) -> bool {
    match code {
        "57P03" | "53300" => true,
        "08P01" => ["server login has been failing", "cannot connect", "try again"]
            .iter()
            .any(|words| message.contains(words)),
        _ => code.starts_with("08"),
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::*;
        match &error {
            Database(cause) if cause.is_unique_violation() => Self::Conflict,
            Database(cause) if cause.code().is_some_and(|code| is_passing(&code)) => {
                Self::Unavailable(error.into())
            }
            Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed => {
                Self::Unavailable(error.into())
            }
            _ => Self::Internal(error.into()),
        }
    }
}

/// The same for a connection that is being opened: what a certificate lacks is explained.
pub(super) fn explained(error: sqlx::Error) -> StorageError {
    match super::tls::explain(&format!("{error} {error:?}")) {
        Some(explanation) => StorageError::Unavailable(Box::new(Unreachable {
            message: format!("{error}: {explanation}"),
            is_late: false,
        })),
        None => error.into(),
    }
}

/// Codes of a database that stops, starts, is full, locked or read-only, or whose password changes:
/// PostgreSQL's SQLSTATE classes 08, 28, 40 (a deadlock lost), 53 and 57, 25006 and 55P03; SQLite's
/// BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN (the low byte of its extended codes).
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "28", "40", "53", "57"].iter().any(|class| code.starts_with(class))
            || ["25006", "55P03"].contains(&code);
    }
    code.parse::<u32>().is_ok_and(|code| [5, 6, 8, 10, 13, 14].contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_troubles_are_told_from_bugs() {
        for code in [
            "57P01", "57014", "40P01", "57P03", "28P01", "55P03", "53300", "08006", "25006", "5",
            "6", "261", "10", "13",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["23505", "42601", "42P01", "1", "19", "2067", ""] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
