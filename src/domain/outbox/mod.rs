//! The outbox: rows in the database, each a message to be delivered. It holds who gets what kind of
//! message, claims rows for delivery, puts them off by a growing back-off, and bounds how many rows
//! wait and how many of a kind a user or address gets. It knows neither templates nor transports.
//! Invariants: a row holds no secret, of many instances one delivers it, and a row whose delivery
//! was cut off is claimed again.

pub mod backoff;
mod store;
mod store_unsorted;

pub use store::{Entry, Outbox, WINDOW, Waiting};

/// The subject of a message. Its name in the database is also that of its templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A token that proves an address.
    Verification,
    /// The same for a sign-up that is not an account yet.
    SignUp,
    /// A token for a new password.
    PasswordReset,
    /// A sign-up or change asked for an address that has an account.
    AccountExists,
    /// A token, to the new address, that changes to it.
    EmailChange,
    /// To the present address: a change was requested.
    EmailChangeAsked,
    /// To the previous address: it was changed.
    EmailChanged,
    /// The password was reset.
    PasswordChanged,
    /// A test by an operator who tries the settings.
    Test,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Verification,
        Self::SignUp,
        Self::PasswordReset,
        Self::AccountExists,
        Self::EmailChange,
        Self::EmailChangeAsked,
        Self::EmailChanged,
        Self::PasswordChanged,
        Self::Test,
    ];

    /// The kind's name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::SignUp => "sign_up",
            Self::PasswordReset => "password_reset",
            Self::AccountExists => "account_exists",
            Self::EmailChange => "email_change",
            Self::EmailChangeAsked => "email_change_asked",
            Self::EmailChanged => "email_changed",
            Self::PasswordChanged => "password_changed",
            Self::Test => "test",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}
