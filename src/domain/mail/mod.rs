//! Mail: an outbox in the database, templates, messages (RFC 5322) and what carries them away (SMTP,
//! RFC 5321, or files). Knows no users: who is written to, and why, is `postman`'s. Invariants: the
//! outbox holds no secret, and a letter leaves it only when a server has taken it, has refused it
//! for good, or it was given up.

pub mod backoff;
pub mod letter;
pub mod store;
mod store_unsorted;
pub mod template;
pub mod transport;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use letter::{Letter, Mailbox};
pub use store::{Entry, Outbox, WINDOW, Waiting};
pub use template::Templates;
pub use transport::{Courier, NotTaken, SmtpConfig, Tls, Transport, TransportConfig};

/// What a letter is about; also the name of its templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A token that proves an address.
    Verification,
    /// The same for a sign-up that is not an account yet; it has the templates of a verification.
    SignUp,
    /// A token for a new password.
    PasswordReset,
    /// Somebody asked for an account that there is already.
    AccountExists,
    /// A token, to the new address, that changes to it.
    EmailChange,
    /// To the present address: a change was asked for.
    EmailChangeAsked,
    /// To the address of before: it was changed.
    EmailChanged,
    /// The password was reset.
    PasswordChanged,
    /// Asked for by an operator who tries the settings.
    Test,
}

impl Kind {
    /// All of them.
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

    /// Its name in the database.
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

    /// The name of its templates.
    pub fn template(self) -> &'static str {
        match self {
            Self::SignUp => Self::Verification.as_str(),
            kind => kind.as_str(),
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether its letter carries a token.
    pub fn has_token(self) -> bool {
        matches!(self, Self::Verification | Self::SignUp | Self::PasswordReset | Self::EmailChange)
    }
}

/// How mail is sent, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What carries it.
    pub transport: TransportConfig,
    /// Whom it is from.
    pub from: Mailbox,
    /// A folder of templates that take the place of the built-in ones.
    pub templates: Option<PathBuf>,
    /// The application's page that takes a token which proves an address.
    pub verification_url: Option<Url>,
    /// The application's page that takes a token for a new password.
    pub reset_url: Option<Url>,
    /// Lifetimes and bounds.
    pub policy: Policy,
}

impl Config {
    /// The application's page that takes the token of letters of `kind`.
    pub fn page(&self, kind: Kind) -> Option<&Url> {
        match kind {
            Kind::Verification | Kind::SignUp | Kind::EmailChange => self.verification_url.as_ref(),
            Kind::PasswordReset => self.reset_url.as_ref(),
            _ => None,
        }
    }

    /// Reads the templates and tries all of them.
    pub fn load_templates(&self) -> Result<Templates, template::TemplateError> {
        Templates::load(self.templates.as_deref(), |kind| self.page(kind).is_some())
    }
}

/// Lifetimes and bounds.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a token that proves an address is good, from when it is sent.
    pub verification_lifetime: Duration,
    /// How long a token for a new password is good, from when it is sent.
    pub reset_lifetime: Duration,
    /// After how long a letter that cannot be delivered is given up.
    pub give_up_after: Duration,
    /// How many letters may wait.
    pub outbox_limit: u32,
}

impl Policy {
    /// How long a sign-up waits for its proof, from when it is made: its mail may come late.
    pub fn pending_lifetime(&self) -> Duration {
        self.give_up_after + self.verification_lifetime
    }

    /// Checks the bounds; the error is the sentence for the operator, with the name of the setting
    /// that is wrong.
    pub fn new(
        verification_lifetime: Duration,
        reset_lifetime: Duration,
        give_up_after: Duration,
        outbox_limit: u32,
    ) -> Result<Self, (&'static str, String)> {
        const MINUTE: u64 = 60;
        const DAY: u64 = 86_400;
        for (name, duration, least, most) in [
            ("verification_lifetime", verification_lifetime, 5 * MINUTE, 7 * DAY),
            ("reset_lifetime", reset_lifetime, 5 * MINUTE, DAY),
            ("give_up_after", give_up_after, MINUTE, 14 * DAY),
        ] {
            let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
            if duration < least || duration > most {
                let [least, most] = [least, most].map(humantime::format_duration);
                return Err((name, format!("must be from {least} to {most}")));
            }
        }
        if !(100..=1_000_000).contains(&outbox_limit) {
            return Err(("outbox_limit", "must be from 100 to 1000000".into()));
        }
        Ok(Self { verification_lifetime, reset_lifetime, give_up_after, outbox_limit })
    }
}
