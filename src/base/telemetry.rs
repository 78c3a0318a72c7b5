//! Logging: one subscriber for the process, to stderr, so that stdout has only the output of
//! commands. Text for people, JSON for machines. Libraries log little unless debugging is enabled;
//! sqlx logs statements at debug only, and without the values bound to them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    pub format: LogFormat,
    /// A level, or directives such as `info,signet=debug`.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The levels of libraries, whose routine events are useful only for debugging.
const QUIET: &str =
    "sqlx=warn,actix_server=warn,actix_web=warn,actix_http=warn,mio=warn,rustls=warn,h2=warn";

/// Installs the subscriber. Fails when there is one already.
pub(crate) fn init(log: &LogConfig) -> Result<(), String> {
    let filter = filter(&log.level)?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let result = match log.format {
        LogFormat::Text => {
            registry.with(layer.with_ansi(std::io::stderr().is_terminal())).try_init()
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_span_list(false);
            registry.with(layer).try_init()
        }
    };
    result.map_err(|error| format!("logging cannot be set up: {error}"))
}

/// Checks that `level` is a level or a list of directives. The error is a sentence for the
/// operator.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = || {
        format!(
            "must be error, warn, info, debug, trace or off, or directives such as \
             info,signet=debug, not \"{level}\""
        )
    };
    // `EnvFilter` would read a bare word that is no level as the name of a module to trace.
    let is_known = |part: &str| part.contains(['=', '[']) || LEVELS.contains(&part);
    if level.is_empty() || !level.split(',').all(is_known) {
        return Err(wrong());
    }
    let debugs = level.split(',').any(|part| part == "debug" || part == "trace");
    // Later directives win, so the operator's directive for a library has effect.
    let directives = if debugs { level.to_owned() } else { format!("{QUIET},{level}") };
    EnvFilter::try_new(directives).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_read() {
        for good in ["info", "off", "debug", "info,signet=debug", "warn,sqlx=debug"] {
            assert_eq!(check_level(good), Ok(()), "{good}");
        }
        for bad in ["", "inof", "info,", "signet", "info,signet=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn libraries_are_quiet_unless_asked() {
        let shown = |level| filter(level).unwrap().to_string();
        assert!(shown("info").contains("sqlx=warn"));
        assert!(shown("info,sqlx=debug").contains("sqlx=debug"));
        assert!(!shown("info,sqlx=debug").contains("sqlx=warn"));
        assert!(!shown("debug").contains("sqlx"));
    }
}
