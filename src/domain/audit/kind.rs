//! What happened: the kinds of events and their names.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An account was made.
    UserCreated,
    /// An account's details were changed.
    UserChanged,
    /// A user changed the own display name.
    OwnNameChanged,
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
    /// An import of users began; one that is cut off leaves no other event.
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
    /// A message was not delivered; the reason is in the detail.
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
    /// A redeemed refresh token came back late, before its successor was redeemed, and got another.
    RefreshTokenRecovered,
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
    /// A user or client without the power to administer called `/admin`.
    AdminRefused,
    /// A sign-up was refused: its network has had too many.
    SignUpLimited,
    /// A request for mail was refused: its network has had too many.
    MailLimited,
    /// A change of a user's own account was refused: there were too many.
    OwnChangesLimited,
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
    /// What is kept for as long as logins are.
    pub(super) const LOGINS: [Self; 3] = [Self::LoggedIn, Self::LoginRefused, Self::LoginLimited];

    /// Its name in the log and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user.created",
            Self::UserChanged | Self::OwnNameChanged => "user.changed",
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
            Self::RefreshTokenRecovered => "refresh.recovered",
            Self::RefreshTokenReused => "refresh.reused",
            Self::ClientCreated => "client.created",
            Self::ClientChanged => "client.changed",
            Self::ClientDisabled => "client.disabled",
            Self::ClientEnabled => "client.enabled",
            Self::ClientSecretRotated => "client.secret_rotated",
            Self::ClientDeleted => "client.deleted",
            Self::ClientRefused => "client.refused",
            Self::AdminRefused => "admin.refused",
            Self::SignUpLimited => "signup.limited",
            Self::MailLimited => "mail.limited",
            Self::OwnChangesLimited => "own_changes.limited",
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

    /// Whether any caller can cause it at will and it changes nothing: the bounds of the trail hold
    /// for it.
    pub(super) fn changes_nothing(self) -> bool {
        matches!(
            self,
            Self::LoginRefused
                | Self::LoginLimited
                | Self::RefreshRefused
                | Self::ClientRefused
                | Self::AdminRefused
                | Self::SignUpLimited
                | Self::MailLimited
                | Self::OwnChangesLimited
                | Self::PasswordResetAsked
                | Self::EmailChangeAsked
        )
    }

    /// Whether users cause it by what they do every day, as often as they like.
    pub(super) fn is_routine(self) -> bool {
        matches!(
            self,
            Self::LoggedIn
                | Self::SessionRevoked
                | Self::SessionsRevoked
                | Self::OtherSessionsRevoked
                | Self::TokenRevoked
                | Self::RefreshTokenRecovered
                | Self::RefreshTokenReused
        )
    }
}
