//! What happened: the kinds of events, their names, and what bounds how many of them are kept.

/// Defines the kinds, each with its name in the log and in the database, and its bound, if any.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal $($bound:ident)?,)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* #[doc = concat!("Its name is `", $name, "`.")] $kind,)+
        }

        impl Kind {
            /// Its name in the log and in the database.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            fn bound(self) -> Bound {
                match self {
                    $($(Self::$kind => Bound::$bound,)?)+
                    _ => Bound::None,
                }
            }
        }
    };
}

#[derive(PartialEq, Eq)]
enum Bound {
    /// Any caller can cause it at will, and it changes nothing: the bounds of the trail hold for it.
    Refusal,
    /// Users cause it by what they do every day, as often as they like.
    Routine,
    None,
}

kinds! {
    UserCreated = "user.created",
    UserChanged = "user.changed",
    /// A user changed the own display name.
    OwnNameChanged = "user.changed",
    UserDisabled = "user.disabled",
    UserEnabled = "user.enabled",
    UserDeleted = "user.deleted",
    UserRoleGranted = "user.role_granted",
    UserRoleRevoked = "user.role_revoked",
    /// An import of users began; one that is cut off leaves no other event.
    UsersImportBegun = "users.import_begun",
    UsersImported = "users.imported",
    /// Users were written out, with their password hashes where the detail says so.
    UsersExported = "users.exported",
    /// A password was changed, and all sessions of the user ended.
    PasswordChanged = "password.changed",
    /// A new password was set by a mailed token, and all sessions of the user ended.
    PasswordReset = "password.reset",
    /// A mailed token for a new password was asked for, for a known address or not.
    PasswordResetAsked = "password.reset_asked" Refusal,
    EmailVerified = "email.verified",
    EmailChanged = "email.changed",
    /// Another address for an account was asked for by its user.
    EmailChangeAsked = "email.change_asked" Refusal,
    /// A message was not delivered; the reason is in the detail.
    MailGivenUp = "mail.given_up",
    LoggedIn = "login.succeeded" Routine,
    /// A login was refused; the reason is in the detail.
    LoginRefused = "login.refused" Refusal,
    /// A login was refused unseen, after too many wrong passwords.
    LoginLimited = "login.limited" Refusal,
    /// An operator had an account's wrong passwords forgotten.
    UserUnlocked = "user.unlocked",
    SessionRevoked = "session.revoked" Routine,
    SessionsRevoked = "sessions.revoked" Routine,
    OtherSessionsRevoked = "sessions.others_revoked" Routine,
    TokenRevoked = "token.revoked" Routine,
    /// A refresh token was refused; the reason is in the detail.
    RefreshRefused = "refresh.refused" Refusal,
    /// A redeemed refresh token came back late, before its successor was redeemed, and got another.
    RefreshTokenRecovered = "refresh.recovered" Routine,
    /// A displaced refresh token came back: the session was ended.
    RefreshTokenReused = "refresh.reused" Routine,
    ClientCreated = "client.created",
    ClientChanged = "client.changed",
    ClientDisabled = "client.disabled",
    ClientEnabled = "client.enabled",
    ClientSecretRotated = "client.secret_rotated",
    ClientDeleted = "client.deleted",
    ClientRefused = "client.refused" Refusal,
    /// A user or client without the power to administer called `/admin`.
    AdminRefused = "admin.refused" Refusal,
    /// A sign-up was refused: its network has had too many.
    SignUpLimited = "signup.limited" Refusal,
    /// A request for mail was refused: its network has had too many.
    MailLimited = "mail.limited" Refusal,
    /// A change of a user's own account was refused: there were too many.
    OwnChangesLimited = "own_changes.limited" Refusal,
    RoleCreated = "role.created",
    RoleChanged = "role.changed",
    /// A role was removed, also from the users who had it.
    RoleDeleted = "role.deleted",
    KeyCreated = "key.created",
    /// The activation of the next signing key was planned.
    KeyRotated = "key.rotated",
    KeyActivated = "key.activated",
    KeyDeactivated = "key.deactivated",
    KeyRetired = "key.retired",
    /// A signing key was taken out by an operator who did not need it.
    KeyWithdrawn = "key.withdrawn",
    KeyRevoked = "key.revoked",
    KeyImported = "key.imported",
    /// The row of a signing key is not authentic: it is neither published nor used.
    KeyUnverified = "key.unverified",
    /// The row of a signing key is taken for authentic from now on.
    KeyAdopted = "key.adopted",
    /// All private keys were sealed under another key-encryption key.
    KeysRewrapped = "keys.rewrapped",
}

impl Kind {
    pub(super) const LOGINS: [Self; 3] = [Self::LoggedIn, Self::LoginRefused, Self::LoginLimited];

    pub(super) fn changes_nothing(self) -> bool {
        self.bound() == Bound::Refusal
    }

    pub(super) fn is_routine(self) -> bool {
        self.bound() == Bound::Routine
    }
}
