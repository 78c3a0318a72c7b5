//! The password grant (RFC 6749 section 4.3), for first-party clients. Unknown users cost the same
//! as known ones, and whether an account is disabled or its address unproven is told only to who
//! has its password.

use super::password_check::LoginCheck;
use super::{AuthorizationServer, TokenError, TokenResponse, Wish};
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Event, Kind, Origin};
use crate::domain::clients::{Client, GrantType};
use crate::domain::credentials::password::check_stored;
use crate::domain::credentials::{Password, Verdict};
use crate::domain::sessions::{Login, NewSession};
use crate::domain::tokens::{Grant, RefreshToken, UserSession};
use crate::domain::users::User;
use crate::storage::StorageError;

/// The answer to an unknown user and to a wrong password alike.
const INCORRECT: &str = "Incorrect email or password";
/// The answer to the right password of a disabled user.
const INACTIVE: &str = "Inactive user";

/// What is left to do for a user who has shown the right password. Told to nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FurtherStep {
    /// To prove the address of the account.
    VerifyEmail,
}

impl FurtherStep {
    /// The reason in the audit log, and the answer.
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::VerifyEmail => ("unverified address", "E-mail address not verified"),
        }
    }
}

/// A password request.
pub struct PasswordRequest {
    /// The login name as it was typed.
    pub username: String,
    /// The password as it was typed.
    pub password: Password,
    /// Scope and resources.
    pub wish: Wish,
}

impl AuthorizationServer {
    /// Signs a user in: one session, its first access token and its first refresh token.
    pub async fn password(
        &self,
        client: &Client,
        request: PasswordRequest,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenResponse, TokenError> {
        super::check_grant(client, GrantType::Password)?;
        let policy = self.access_tokens.policy();
        let resources = super::target::of_grant(client, &request.wish, policy)?;

        let user = self.sign_in(client, &request, origin, now).await?;
        let wished = request.wish.scope.as_ref();
        let scope = self.scope_of_user(client, None, &user, wished).await?;
        let session = NewSession {
            sid: self.random.uuid_at(now),
            user_id: user.id,
            client_id: client.client_id.clone(),
            scope: scope.to_string(),
            audience: super::target::kept(&resources, policy),
            epoch: user.session_epoch,
            login: Login::by_password(now),
            origin: super::session_origin(origin),
        };
        let first = RefreshToken {
            user_id: user.id,
            sid: session.sid,
            generation: NewSession::FIRST_GENERATION,
        };
        let grant = Grant {
            sub: user.id.to_string(),
            client_id: &client.client_id,
            scope: session.scope.clone(),
            resources: &resources,
            lifetime: client.access_token_lifetime,
            session: Some(UserSession {
                sid: session.sid,
                auth_time: session.login.auth_time,
                roles: user.roles.clone(),
                claims: super::scope::claims_of(client, &user),
            }),
        };
        let access = self.access_tokens.issue(grant, &self.random, now).await?;
        let refreshes = client.may_use(GrantType::RefreshToken);
        self.sessions.start(session, now).await?;
        self.check_still_current(&user, first, now).await?;
        self.audit.record(event(Kind::LoggedIn, client, Some(&user), None, origin), now).await;
        Ok(TokenResponse {
            access_token: access.token,
            expires_in: access.expires_in,
            scope,
            refresh_token: refreshes.then(|| self.refresh_tokens.encode(&first)),
            healed: false,
        })
    }

    async fn sign_in(
        &self,
        client: &Client,
        request: &PasswordRequest,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<User, TokenError> {
        let LoginCheck { user, verdict, awaits_proof } =
            self.check_login(&request.username, request.password.clone(), origin, now).await?;
        let user = user.filter(|_| !awaits_proof);
        if verdict == Verdict::Wrong
            && let Some(user) = &user
            && let Err(problem) = check_stored(user.password_hash.expose())
        {
            tracing::warn!(user = %user.id, problem, "a stored password hash cannot be checked");
        }
        let (reason, answer) = match &user {
            // Whether the address has an account as well is told to nobody.
            _ if awaits_proof => FurtherStep::VerifyEmail.told(),
            None => ("unknown user", INCORRECT),
            Some(_) if verdict == Verdict::Wrong => ("wrong password", INCORRECT),
            Some(user) if !user.is_active() => ("disabled user", INACTIVE),
            Some(user) => self.further_step(user).map_or(("", ""), FurtherStep::told),
        };
        match user {
            Some(user) if reason.is_empty() => {
                if verdict == Verdict::RightButOutdated {
                    self.rehash(&user, request.password.clone());
                }
                Ok(user)
            }
            user => {
                let refused =
                    event(Kind::LoginRefused, client, user.as_ref(), Some(reason), origin);
                self.audit.record(refused, now).await;
                Err(TokenError::InvalidGrant(answer))
            }
        }
    }

    /// What stands between the right password of `user` and a session.
    fn further_step(&self, user: &User) -> Option<FurtherStep> {
        let unproven = self.requires_verified_email && user.email_verified_at.is_none();
        unproven.then_some(FurtherStep::VerifyEmail)
    }

    /// Hashes the password under the present settings, after the answer: nobody waits for it, and
    /// where it fails the next login tries again.
    fn rehash(&self, user: &User, password: Password) {
        let (users, hashing) = (self.users.clone(), self.hashing.clone());
        let (id, old) = (user.id, user.password_hash.clone());
        tokio::spawn(async move {
            let Ok(new) = hashing.hash(password).await else { return };
            if let Err(error) = users.replace_hash(id, &old, &new).await {
                tracing::warn!(user = %id, %error, "an outdated password hash was not renewed");
            }
        });
    }

    /// The user may have been disabled, given a new password or lost a role while this one was being
    /// checked; whoever did that has not seen the session that was begun since.
    async fn check_still_current(
        &self,
        user: &User,
        begun: RefreshToken,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        let present = self.users.find(user.id).await?;
        let present = present
            .filter(|present| present.is_active() && present.session_epoch == user.session_epoch);
        if present.as_ref().is_some_and(|present| present.roles == user.roles) {
            return Ok(());
        }
        self.sessions.revoke(begun.user_id, begun.sid, now).await?;
        tracing::info!(user = %user.id, at = %now, "the account changed during a login");
        match present {
            // The password is right: the same once more gets a token by the new roles.
            Some(_) => Err(StorageError::Unavailable("the roles changed meanwhile".into()).into()),
            None => Err(TokenError::InvalidGrant(INCORRECT)),
        }
    }
}

fn event<'a>(
    kind: Kind,
    client: &'a Client,
    user: Option<&User>,
    detail: Option<&str>,
    origin: &'a Origin,
) -> Event<'a> {
    Event {
        kind,
        actor: match user {
            Some(user) if kind == Kind::LoggedIn => Actor::User(user.id),
            _ => Actor::Anonymous,
        },
        subject: user.map(|user| user.id.to_string()),
        client_id: Some(&client.client_id),
        detail: detail.map(str::to_owned),
        origin,
    }
}
