//! The actor of an event, and its name in the trail: `user:ID`, `client:ID`, `cli`, `system` or
//! `anonymous`. Rows that previous versions wrote have the bare id, or `command-line`; they are
//! shown as they were written, and filters find them by the present name.

use std::fmt;

use uuid::Uuid;

const USER: &str = "user:";
const CLIENT: &str = "client:";
const CLI: &str = "cli";
const OLD_CLI: &str = "command-line";

/// The one who did it.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A signed-in user, or one who proved to be.
    User(Uuid),
    /// A client by its credentials.
    Client(String),
    /// An operator at the command line.
    CommandLine,
    /// Signet itself.
    System,
    /// A caller who is not known.
    Anonymous,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "{USER}{id}"),
            Self::Client(id) => write!(f, "{CLIENT}{id}"),
            Self::CommandLine => f.write_str(CLI),
            Self::System => f.write_str("system"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// The values of the column `actor` that a filter for `wanted` means: the name as it is given, the
/// same as previous versions wrote it, and, for a bare id, every actor that may have it.
pub(super) fn meant_by(wanted: &str) -> Vec<String> {
    let both = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
    if let Some(id) = wanted.strip_prefix(USER).or_else(|| wanted.strip_prefix(CLIENT)) {
        return both(wanted, id);
    }
    match wanted {
        CLI | OLD_CLI => both(CLI, OLD_CLI),
        "system" | "anonymous" => vec![wanted.to_owned()],
        id => vec![id.to_owned(), format!("{USER}{id}"), format!("{CLIENT}{id}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_kind_and_filters_find_what_previous_versions_wrote() {
        let id = Uuid::from_u128(7);
        let named = |actor: Actor| meant_by(&actor.to_string());
        assert_eq!(named(Actor::User(id)), [format!("user:{id}"), id.to_string()]);
        assert_eq!(named(Actor::Client("orders".into())), ["client:orders", "orders"]);
        assert_eq!(named(Actor::CommandLine), ["cli", "command-line"]);
        assert_eq!(named(Actor::System), ["system"]);
        assert_eq!(named(Actor::Anonymous), ["anonymous"]);
        assert_eq!(meant_by("command-line"), ["cli", "command-line"]);
        assert_eq!(meant_by("orders"), ["orders", "user:orders", "client:orders"]);
    }
}
