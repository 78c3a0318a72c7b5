//! The outbox: rows in the database, each a message to be delivered. It holds who gets what kind of
//! message, claims rows for delivery, puts them off by a growing back-off, and bounds how many rows
//! wait and how many of a kind a user or address gets. It knows neither templates nor transports.
//! Invariants: a row holds no secret, of many instances one delivers it, and a row whose delivery
//! was cut off is claimed again.

pub mod backoff;
mod store;

use crate::base::named::named;
pub use store::{Entry, Outbox, WINDOW, Waiting};

named! {
    /// The subject of a message. Its name in the database is also that of its templates.
    pub enum Kind {
        /// A token that proves an address.
        Verification = "verification",
        /// The same for a sign-up that is not an account yet.
        SignUp = "sign_up",
        /// A token for a new password.
        PasswordReset = "password_reset",
        /// A sign-up or change asked for an address that has an account.
        AccountExists = "account_exists",
        /// A token, to the new address, that changes to it.
        EmailChange = "email_change",
        /// To the present address: a change was requested.
        EmailChangeAsked = "email_change_asked",
        /// To the previous address: it was changed.
        EmailChanged = "email_changed",
        /// The password was reset.
        PasswordChanged = "password_changed",
        /// A test by an operator who tries the settings.
        Test = "test",
    }
}
