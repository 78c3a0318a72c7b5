//! Mail: templates, messages (RFC 5322) and their transport (SMTP, RFC 5321, or files). It knows no
//! users: `services::notifications` decides who is written to and why. Invariant: a message leaves
//! the outbox only when a server has taken it, has refused it for good, or it was given up.

pub(crate) mod message;
pub(crate) mod template;
pub(crate) mod transport;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::domain::outbox::Kind;
pub(crate) use message::{Mailbox, Message};
pub(crate) use template::Templates;
pub(crate) use transport::{
    Connection, Encryption, NotTaken, SmtpConfig, Transport, TransportConfig,
};

impl Kind {
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::SignUp => Self::Verification.as_str(),
            kind => kind.as_str(),
        }
    }

    pub(crate) fn has_token(self) -> bool {
        matches!(self, Self::Verification | Self::SignUp | Self::PasswordReset | Self::EmailChange)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) transport: TransportConfig,
    pub(crate) from: Mailbox,
    pub(crate) templates: Option<PathBuf>,
    /// The application's page that takes a token which proves an address.
    pub(crate) verification_url: Option<Url>,
    /// The application's page that takes a token for a new password.
    pub(crate) reset_url: Option<Url>,
    pub(crate) policy: Policy,
}

impl Config {
    /// The application's page that takes the token of messages of `kind`.
    pub(crate) fn page(&self, kind: Kind) -> Option<&Url> {
        match kind {
            Kind::Verification | Kind::SignUp | Kind::EmailChange => self.verification_url.as_ref(),
            Kind::PasswordReset => self.reset_url.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn load_templates(&self) -> Result<Templates, template::TemplateError> {
        Templates::load(self.templates.as_deref(), |kind| self.page(kind).is_some())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// The lifetime of a token that proves an address, from its sending on.
    pub(crate) verification_lifetime: Duration,
    /// The lifetime of a token for a new password, from its sending on.
    pub(crate) reset_lifetime: Duration,
    /// The age at which a message that cannot be delivered is given up.
    pub(crate) give_up_after: Duration,
    pub(crate) outbox_limit: u32,
}

impl Policy {
    /// The time that a sign-up waits for its proof: its mail may arrive late.
    pub(crate) fn pending_lifetime(&self) -> Duration {
        self.give_up_after + self.verification_lifetime
    }

    /// Checks the bounds; the error is the sentence for the operator, with the name of the setting
    /// that is wrong.
    pub(crate) fn new(
        verification_lifetime: Duration,
        reset_lifetime: Duration,
        give_up_after: Duration,
        outbox_limit: u32,
    ) -> Result<Self, (&'static str, String)> {
        const MINUTE: u64 = 60;
        const DAY: u64 = 86_400;
        for (name, duration, min, max) in [
            ("verification_lifetime", verification_lifetime, 5 * MINUTE, 7 * DAY),
            ("reset_lifetime", reset_lifetime, 5 * MINUTE, DAY),
            ("give_up_after", give_up_after, MINUTE, 14 * DAY),
        ] {
            let (min, max) = (Duration::from_secs(min), Duration::from_secs(max));
            if duration < min || duration > max {
                let [min, max] = [min, max].map(humantime::format_duration);
                return Err((name, format!("must be from {min} to {max}")));
            }
        }
        if !(100..=1_000_000).contains(&outbox_limit) {
            return Err(("outbox_limit", "must be from 100 to 1000000".into()));
        }
        Ok(Self { verification_lifetime, reset_lifetime, give_up_after, outbox_limit })
    }
}
