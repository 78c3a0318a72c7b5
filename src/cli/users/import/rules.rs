//! What holds for all users of one import, and what is told of those who come in with less than the file
//! says.

use std::fmt;
use std::sync::Arc;

use crate::base::time::Timestamp;

#[derive(Clone)]
pub(crate) struct Rules {
    pub now: Timestamp,
    /// Roles that administer Signet and are therefore left out; empty where they are kept.
    pub administrators: Arc<[String]>,
}

impl Rules {
    /// Whether users come in without this role.
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
