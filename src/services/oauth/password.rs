//! The password grant (RFC 6749 section 4.3), for first-party clients.

use super::{AuthorizationServer, OfSession, TokenError, TokenResponse, Wish, target};
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::clients::{Credentials, GrantType};
use crate::domain::credentials::Password;
use crate::domain::sessions::{Login, NewSession};
use crate::domain::tokens::RefreshToken;
use crate::domain::users::User;
use crate::services::authentication::LoginError;
use crate::storage::StorageError;

pub(crate) struct PasswordRequest {
    /// What the client authenticates by; where absent, the bundled first-party client.
    pub(crate) credentials: Option<Credentials>,
    /// The login name as it was typed. A client is authenticated before the answer says that this,
    /// or the password, is missing.
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) wish: Wish,
}

impl AuthorizationServer {
    /// Logs a user in: one session, its first access token and its first refresh token. Not to be cut
    /// off: an attempt that is not settled counts as failed.
    pub(crate) async fn password(
        &self,
        request: PasswordRequest,
        by: &Initiator,
    ) -> Result<TokenResponse, TokenError> {
        let PasswordRequest { credentials, username, password, wish } = request;
        let credentials = super::or_first_party(credentials);
        let client = self.client(&credentials, by).await?;
        let username = username.ok_or(TokenError::InvalidRequest("username is missing"))?;
        let password = password.ok_or(TokenError::InvalidRequest("password is missing"))?;
        super::check_grant(&client, GrantType::Password)?;
        let policy = self.access_tokens.policy();
        let resources = target::of_grant(&client, &wish, policy)?;

        let user = self.authentication.log_in(&client, &username, password, by).await?;
        let scope = self.scope_of_user(&client, None, &user, wish.scope.as_ref()).await?;
        let session = NewSession {
            sid: self.stores.random.uuid_at(by.at),
            user_id: user.id,
            client_id: client.client_id.clone(),
            scope: scope.to_string(),
            audience: target::kept(&resources, policy),
            epoch: user.session_epoch,
            login: Login::by_password(by.at),
            origin: super::session_origin(&by.origin),
        };
        let first = RefreshToken {
            user_id: user.id,
            sid: session.sid,
            generation: NewSession::FIRST_GENERATION,
        };
        let of_session = OfSession { user: &user, sid: session.sid, auth_time: by.at };
        let access = self.sign(&client, &scope, &resources, Some(of_session), by.at).await?;

        self.stores.sessions.start(session, by.at).await?;
        self.check_still_current(&user, first, by.at).await?;
        let by = &by.as_user(user.id);
        let logged_in = Event::new(Kind::LoggedIn, by).about(user.id).client(&client.client_id);
        self.stores.audit.record(logged_in).await;
        self.metrics.count_token(GrantType::Password.as_str());
        let refreshes = client.may_use(GrantType::RefreshToken);
        let refresh_token = refreshes.then(|| self.refresh_tokens.encode(&first));
        Ok(TokenResponse { access, scope, refresh_token })
    }

    /// The user may have been disabled, given a new password or lost a role since the account was
    /// read; whoever did that has not seen the session that was started.
    async fn check_still_current(
        &self,
        user: &User,
        started: RefreshToken,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        let present = self.stores.users.find(user.id).await?;
        let present = present.filter(|present| present.is_in(Some(user.session_epoch)));
        if present.as_ref().is_some_and(|present| present.roles == user.roles) {
            return Ok(());
        }
        self.stores.sessions.revoke(started.user_id, started.sid, now).await?;
        tracing::info!(user = %user.id, at = %now, "the account changed during a login");
        match present {
            // The password is right: the same request once more gets a token by the new roles.
            Some(_) => {
                let cause = "the user's roles changed during the login";
                Err(StorageError::Unavailable(cause.into()).into())
            }
            None => Err(TokenError::InvalidGrant(LoginError::INCORRECT)),
        }
    }
}
