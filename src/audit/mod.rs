//! The audit trail: who did what to whom, from where (OWASP ASVS chapter 16). Every event is a log
//! line; those that change something are also kept in the database. An event never holds a secret.

mod store;
pub mod view;

use std::fmt;

use uuid::Uuid;

use crate::secret::Random;
use crate::storage::{Db, StorageError};
use crate::time::Timestamp;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An account was made.
    UserCreated,
    /// An account's details were changed.
    UserChanged,
    /// A user may not sign in any more.
    UserDisabled,
    /// A user may sign in again.
    UserEnabled,
    /// An account was removed.
    UserDeleted,
    /// A user was given a role.
    UserRoleGranted,
    /// A role was taken from a user.
    UserRoleRevoked,
    /// An import of users began: of one that is cut off, this alone tells.
    UsersImportBegun,
    /// Users were brought from elsewhere.
    UsersImported,
    /// Users were written out, with their password hashes where the detail says so.
    UsersExported,
    /// A password was changed, and all sessions of the user ended.
    PasswordChanged,
    /// A new password was set by a mailed token, and all sessions of the user ended.
    PasswordReset,
    /// A mailed token for a new password was asked for, for a known address or not.
    PasswordResetAsked,
    /// An address was proven to be the user's.
    EmailVerified,
    /// An account got another address.
    EmailChanged,
    /// Another address for an account was asked for by its user.
    EmailChangeAsked,
    /// A letter was not delivered; why is in the detail.
    MailGivenUp,
    /// A session began.
    LoggedIn,
    /// A login was refused; the reason is in the detail.
    LoginRefused,
    /// A login was refused unseen, after too many wrong passwords.
    LoginLimited,
    /// An operator had an account's wrong passwords forgotten.
    UserUnlocked,
    /// A session was ended by its user, client or an operator.
    SessionRevoked,
    /// All sessions of a user were ended.
    SessionsRevoked,
    /// All sessions of a user but the one they were using were ended.
    OtherSessionsRevoked,
    /// An access token was revoked.
    TokenRevoked,
    /// A refresh token was refused; the reason is in the detail.
    RefreshRefused,
    /// A displaced refresh token came back: the session was ended.
    RefreshTokenReused,
    /// A client was registered.
    ClientCreated,
    /// A client's registration was changed.
    ClientChanged,
    /// A client may not get tokens any more.
    ClientDisabled,
    /// A client may get tokens again.
    ClientEnabled,
    /// A client got a new secret.
    ClientSecretRotated,
    /// A client was removed.
    ClientDeleted,
    /// A client failed to authenticate.
    ClientRefused,
    /// A role was defined.
    RoleCreated,
    /// A role carries another scope, or is described otherwise.
    RoleChanged,
    /// A role was removed, also from the users who had it.
    RoleDeleted,
    /// A signing key was made and published.
    KeyCreated,
    /// The next signing key's turn was decided on.
    KeyRotated,
    /// A signing key began to sign.
    KeyActivated,
    /// A signing key ceased to sign.
    KeyDeactivated,
    /// A signing key left JWKS.
    KeyRetired,
    /// A signing key was taken out by an operator who did not need it.
    KeyWithdrawn,
    /// A compromised signing key was taken out.
    KeyRevoked,
    /// A signing key was brought from elsewhere.
    KeyImported,
    /// The row of a signing key is not authentic: it is neither published nor used.
    KeyUnverified,
    /// The row of a signing key is taken for authentic from now on.
    KeyAdopted,
    /// All private keys were sealed under another key-encryption key.
    KeysRewrapped,
}

impl Kind {
    /// Its name in the log and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user.created",
            Self::UserChanged => "user.changed",
            Self::UserDisabled => "user.disabled",
            Self::UserEnabled => "user.enabled",
            Self::UserDeleted => "user.deleted",
            Self::UserRoleGranted => "user.role_granted",
            Self::UserRoleRevoked => "user.role_revoked",
            Self::UsersImportBegun => "users.import_begun",
            Self::UsersImported => "users.imported",
            Self::UsersExported => "users.exported",
            Self::PasswordChanged => "password.changed",
            Self::PasswordReset => "password.reset",
            Self::PasswordResetAsked => "password.reset_asked",
            Self::EmailVerified => "email.verified",
            Self::EmailChanged => "email.changed",
            Self::EmailChangeAsked => "email.change_asked",
            Self::MailGivenUp => "mail.given_up",
            Self::LoggedIn => "login.succeeded",
            Self::LoginRefused => "login.refused",
            Self::LoginLimited => "login.limited",
            Self::UserUnlocked => "user.unlocked",
            Self::SessionRevoked => "session.revoked",
            Self::SessionsRevoked => "sessions.revoked",
            Self::OtherSessionsRevoked => "sessions.others_revoked",
            Self::TokenRevoked => "token.revoked",
            Self::RefreshRefused => "refresh.refused",
            Self::RefreshTokenReused => "refresh.reused",
            Self::ClientCreated => "client.created",
            Self::ClientChanged => "client.changed",
            Self::ClientDisabled => "client.disabled",
            Self::ClientEnabled => "client.enabled",
            Self::ClientSecretRotated => "client.secret_rotated",
            Self::ClientDeleted => "client.deleted",
            Self::ClientRefused => "client.refused",
            Self::RoleCreated => "role.created",
            Self::RoleChanged => "role.changed",
            Self::RoleDeleted => "role.deleted",
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyActivated => "key.activated",
            Self::KeyDeactivated => "key.deactivated",
            Self::KeyRetired => "key.retired",
            Self::KeyWithdrawn => "key.withdrawn",
            Self::KeyRevoked => "key.revoked",
            Self::KeyImported => "key.imported",
            Self::KeyUnverified => "key.unverified",
            Self::KeyAdopted => "key.adopted",
            Self::KeysRewrapped => "keys.rewrapped",
        }
    }

    /// What changes nothing and anybody can cause at will is logged only, so that nobody can fill
    /// the database.
    fn is_kept(self) -> bool {
        !matches!(
            self,
            Self::LoginRefused
                | Self::LoginLimited
                | Self::RefreshRefused
                | Self::ClientRefused
                | Self::PasswordResetAsked
                | Self::EmailChangeAsked
        )
    }
}

/// Who did it.
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
    /// Nobody known.
    Anonymous,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Client(id) => f.write_str(id),
            Self::CommandLine => f.write_str("command-line"),
            Self::System => f.write_str("system"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// Where a request came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The network address of the caller.
    pub address: Option<String>,
    /// The caller's user agent in a few words of ASCII.
    pub user_agent: Option<String>,
    /// The request's id, as in its log line and answer.
    pub request_id: Option<String>,
}

/// Who does something, and from where.
#[derive(Clone, Debug)]
pub struct By<'a> {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub origin: &'a Origin,
}

/// One event.
#[derive(Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: Kind,
    /// Who did it.
    pub actor: Actor,
    /// To whom or what: a user's id, a key's `kid`, a role's name.
    pub subject: Option<String>,
    /// By which client.
    pub client_id: Option<&'a str>,
    /// Anything more, for people; never a secret.
    pub detail: Option<String>,
    /// From where.
    pub origin: &'a Origin,
}

/// Which events a list is to have.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The name of what happened.
    pub event: Option<String>,
    /// To whom or what.
    pub subject: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

/// The place of an event in the trail: when it happened, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// When.
    pub at: Timestamp,
    /// Its id.
    pub id: String,
}

/// An event as it was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its place.
    pub place: Place,
    /// The name of what happened; a newer version may know more of them.
    pub event: String,
    /// Who did it.
    pub actor: String,
    /// To whom or what.
    pub subject: Option<String>,
    /// By which client.
    pub client_id: Option<String>,
    /// Anything more, for people.
    pub detail: Option<String>,
    /// The network address of the caller.
    pub address: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

/// The trail. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    db: Db,
    random: Random,
}

impl Audit {
    /// A trail kept in `db`.
    pub fn new(db: Db, random: Random) -> Self {
        Self { db, random }
    }

    /// Records `event`. What it tells of has happened, so a failure to keep it is logged loudly
    /// and does not fail the request.
    pub async fn record(&self, event: Event<'_>, now: Timestamp) {
        log(&event);
        if event.kind.is_kept()
            && let Err(error) =
                store::insert(&self.db, self.random.uuid_at(now).to_string(), &event, now).await
        {
            log_not_kept(&event, &error);
        }
    }

    /// Up to `limit` events of `filter` that come after `after` when the newest is first.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Vec<Kept>, StorageError> {
        store::list(&self.db, filter, after, limit).await
    }

    /// Records what many instances notice by themselves, and one of them is to tell: an event of
    /// the same kind and subject is there once at most. Returns whether it is there now.
    pub async fn record_once(&self, event: Event<'_>, at: Timestamp) -> bool {
        let subject = event.subject.as_deref().unwrap_or_default();
        let id = format!("{}:{subject}", event.kind.as_str());
        match store::insert(&self.db, id, &event, at).await {
            Ok(()) => log(&event),
            Err(StorageError::Conflict) => {}
            Err(error) => {
                log_not_kept(&event, &error);
                return false;
            }
        }
        true
    }
}

fn log(event: &Event<'_>) {
    tracing::info!(
        target: "audit",
        event = event.kind.as_str(),
        actor = %event.actor,
        subject = event.subject.as_deref(),
        client_id = event.client_id,
        detail = event.detail.as_deref(),
        address = event.origin.address.as_deref(),
        user_agent = event.origin.user_agent.as_deref(),
        request_id = event.origin.request_id.as_deref(),
    );
}

fn log_not_kept(event: &Event<'_>, error: &StorageError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(target: "audit", event = event.kind.as_str(), %error, cause, "not kept");
}
