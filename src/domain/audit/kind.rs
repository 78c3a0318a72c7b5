//! What happened: the kinds of events and their names.

/// Defines the kinds, each with its name in the log and in the database.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Its name in the log and in the database.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// An account was made.
    UserCreated = "user.created",
    /// An account's details were changed.
    UserChanged = "user.changed",
    /// A user changed the own display name.
    OwnNameChanged = "user.changed",
    /// A user may not sign in any more.
    UserDisabled = "user.disabled",
    /// A user may sign in again.
    UserEnabled = "user.enabled",
    /// An account was removed.
    UserDeleted = "user.deleted",
    /// A user was given a role.
    UserRoleGranted = "user.role_granted",
    /// A role was taken from a user.
    UserRoleRevoked = "user.role_revoked",
    /// An import of users began; one that is cut off leaves no other event.
    UsersImportBegun = "users.import_begun",
    /// Users were brought from elsewhere.
    UsersImported = "users.imported",
    /// Users were written out, with their password hashes where the detail says so.
    UsersExported = "users.exported",
    /// A password was changed, and all sessions of the user ended.
    PasswordChanged = "password.changed",
    /// A new password was set by a mailed token, and all sessions of the user ended.
    PasswordReset = "password.reset",
    /// A mailed token for a new password was asked for, for a known address or not.
    PasswordResetAsked = "password.reset_asked",
    /// An address was proven to be the user's.
    EmailVerified = "email.verified",
    /// An account got another address.
    EmailChanged = "email.changed",
    /// Another address for an account was asked for by its user.
    EmailChangeAsked = "email.change_asked",
    /// A message was not delivered; the reason is in the detail.
    MailGivenUp = "mail.given_up",
    /// A session began.
    LoggedIn = "login.succeeded",
    /// A login was refused; the reason is in the detail.
    LoginRefused = "login.refused",
    /// A login was refused unseen, after too many wrong passwords.
    LoginLimited = "login.limited",
    /// An operator had an account's wrong passwords forgotten.
    UserUnlocked = "user.unlocked",
    /// A session was ended by its user, client or an operator.
    SessionRevoked = "session.revoked",
    /// All sessions of a user were ended.
    SessionsRevoked = "sessions.revoked",
    /// All sessions of a user but the one they were using were ended.
    OtherSessionsRevoked = "sessions.others_revoked",
    /// An access token was revoked.
    TokenRevoked = "token.revoked",
    /// A refresh token was refused; the reason is in the detail.
    RefreshRefused = "refresh.refused",
    /// A redeemed refresh token came back late, before its successor was redeemed, and got another.
    RefreshTokenRecovered = "refresh.recovered",
    /// A displaced refresh token came back: the session was ended.
    RefreshTokenReused = "refresh.reused",
    /// A client was registered.
    ClientCreated = "client.created",
    /// A client's registration was changed.
    ClientChanged = "client.changed",
    /// A client may not get tokens any more.
    ClientDisabled = "client.disabled",
    /// A client may get tokens again.
    ClientEnabled = "client.enabled",
    /// A client got a new secret.
    ClientSecretRotated = "client.secret_rotated",
    /// A client was removed.
    ClientDeleted = "client.deleted",
    /// A client failed to authenticate.
    ClientRefused = "client.refused",
    /// A user or client without the power to administer called `/admin`.
    AdminRefused = "admin.refused",
    /// A sign-up was refused: its network has had too many.
    SignUpLimited = "signup.limited",
    /// A request for mail was refused: its network has had too many.
    MailLimited = "mail.limited",
    /// A change of a user's own account was refused: there were too many.
    OwnChangesLimited = "own_changes.limited",
    /// A role was defined.
    RoleCreated = "role.created",
    /// A role carries another scope, or is described otherwise.
    RoleChanged = "role.changed",
    /// A role was removed, also from the users who had it.
    RoleDeleted = "role.deleted",
    /// A signing key was made and published.
    KeyCreated = "key.created",
    /// The next signing key's turn was decided on.
    KeyRotated = "key.rotated",
    /// A signing key began to sign.
    KeyActivated = "key.activated",
    /// A signing key ceased to sign.
    KeyDeactivated = "key.deactivated",
    /// A signing key left JWKS.
    KeyRetired = "key.retired",
    /// A signing key was taken out by an operator who did not need it.
    KeyWithdrawn = "key.withdrawn",
    /// A compromised signing key was taken out.
    KeyRevoked = "key.revoked",
    /// A signing key was brought from elsewhere.
    KeyImported = "key.imported",
    /// The row of a signing key is not authentic: it is neither published nor used.
    KeyUnverified = "key.unverified",
    /// The row of a signing key is taken for authentic from now on.
    KeyAdopted = "key.adopted",
    /// All private keys were sealed under another key-encryption key.
    KeysRewrapped = "keys.rewrapped",
}

impl Kind {
    /// What is kept for as long as logins are.
    pub(super) const LOGINS: [Self; 3] = [Self::LoggedIn, Self::LoginRefused, Self::LoginLimited];

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
