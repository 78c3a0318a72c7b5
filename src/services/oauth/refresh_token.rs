//! The refresh token grant (RFC 6749 section 6, RFC 9700 section 4.14.2). Everything that can fail
//! comes first; the commit is the last step, so a request that is cut off changed nothing, or lost
//! only its answer, which the retry window gives again.

use uuid::Uuid;

use super::{AuthorizationServer, TokenError, TokenResponse, Wish, target};
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Event, Kind, Origin};
use crate::domain::clients::{Client, GrantType};
use crate::domain::sessions::{Advance, CommitError, Refusal, Rotation, RotationError, Session};
use crate::domain::tokens::{Grant, RefreshToken, UserSession};
use crate::domain::users::User;
use crate::storage::StorageError;

/// One answer for every reason: which one it was is for the audit log.
const NOT_GOOD: &str = "the refresh token is not valid";
/// A lost race is decided once more; to lose this often, a token is being hammered.
const MOST_ATTEMPTS: usize = 8;

/// A refresh request.
pub struct RefreshRequest {
    /// The token as it was presented.
    pub refresh_token: String,
    /// Whether the request said which client it comes from. Without it the bundled client stands
    /// in, and a token of another client asks for that one's authentication.
    pub identified: bool,
    /// Scope and resources.
    pub wish: Wish,
}

impl AuthorizationServer {
    /// Exchanges a refresh token for an access token and the next refresh token.
    pub async fn refresh(
        &self,
        client: &Client,
        request: RefreshRequest,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenResponse, TokenError> {
        super::check_grant(client, GrantType::RefreshToken)?;
        let Some(presented) = self.refresh_tokens.parse(&request.refresh_token) else {
            return Err(self.refuse(client, None, "not_ours", origin, now).await);
        };
        self.refresh_limit.take(presented.sid, now).map_err(TokenError::Limited)?;
        for _ in 0..MOST_ATTEMPTS {
            let rotation = self.open(client, request.identified, presented, origin, now).await?;
            let user = self.active_user(client, rotation.session(), origin, now).await?;
            let response = self.respond(client, &user, &rotation, &request.wish, now).await?;
            let advance = rotation.advance();
            match self.sessions.commit(rotation, now).await {
                Ok(()) => {
                    self.note(client, presented, advance, origin, now).await;
                    return Ok(response);
                }
                Err(CommitError::LostRace) => {}
                Err(CommitError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(StorageError::Unavailable("every attempt lost a race".into()).into())
    }

    /// Counts what was made true. A recovery is audited too: it is a lost answer, or the first
    /// that is seen of somebody else who holds the token.
    async fn note(
        &self,
        client: &Client,
        presented: RefreshToken,
        advance: Option<Advance>,
        origin: &Origin,
        now: Timestamp,
    ) {
        let counter = match advance {
            None => &self.refreshes.replayed,
            Some(Advance::Redeemed) => &self.refreshes.advanced,
            Some(Advance::Healed) => &self.refreshes.healed,
            Some(Advance::Recovered) => {
                let event = Event {
                    kind: Kind::RefreshTokenRecovered,
                    actor: Actor::Client(client.client_id.clone()),
                    subject: Some(presented.user_id.to_string()),
                    client_id: Some(&client.client_id),
                    detail: Some(described(presented.sid, origin)),
                    origin,
                };
                self.audit.record(event, now).await;
                &self.refreshes.recovered
            }
        };
        counter.inc();
    }

    async fn open(
        &self,
        client: &Client,
        identified: bool,
        presented: RefreshToken,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Rotation, TokenError> {
        let RefreshToken { user_id, sid, generation } = presented;
        let opened =
            self.sessions.open_rotation(user_id, sid, generation, &client.client_id, now).await;
        match opened {
            Ok(rotation) => Ok(rotation.asked_from(super::session_origin(origin))),
            Err(RotationError::Storage(error)) => Err(error.into()),
            Err(RotationError::Invalid(Refusal::OtherClient)) if !identified => {
                let reason = Refusal::OtherClient.as_str();
                self.refuse(client, Some(presented), reason, origin, now).await;
                Err(TokenError::InvalidClient { basic: false })
            }
            Err(RotationError::Invalid(reason)) => {
                Err(self.refuse(client, Some(presented), reason.as_str(), origin, now).await)
            }
            Err(RotationError::Reuse(session)) => {
                self.refreshes.reused.inc();
                let event = Event {
                    kind: Kind::RefreshTokenReused,
                    actor: Actor::Client(client.client_id.clone()),
                    subject: Some(session.user_id.to_string()),
                    client_id: Some(&client.client_id),
                    detail: Some(described(session.sid, origin)),
                    origin,
                };
                self.audit.record(event, now).await;
                Err(TokenError::InvalidGrant(NOT_GOOD))
            }
        }
    }

    /// The session's user, who must be active and not have ended all sessions since.
    async fn active_user(
        &self,
        client: &Client,
        session: &Session,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<User, TokenError> {
        let user = self.users.find(session.user_id).await?;
        let reason = match user {
            _ if client.is_younger_than(session.started_at) => "client_registered_anew",
            None => "user_removed",
            Some(user) if !user.is_active() => "user_disabled",
            Some(user) if user.session_epoch != session.epoch => "sessions_ended",
            Some(user) => return Ok(user),
        };
        // Normally its record is gone already; this one was begun or brought back since.
        self.sessions.revoke(session.user_id, session.sid, now).await?;
        let presented = RefreshToken { user_id: session.user_id, sid: session.sid, generation: 0 };
        Err(self.refuse(client, Some(presented), reason, origin, now).await)
    }

    /// Builds and signs the answer. Scope may be narrowed for this one answer, never widened, and
    /// follows what client and user have lost since.
    async fn respond(
        &self,
        client: &Client,
        user: &User,
        rotation: &Rotation,
        wish: &Wish,
        now: Timestamp,
    ) -> Result<TokenResponse, TokenError> {
        let session = rotation.session();
        let policy = self.access_tokens.policy();
        let granted = target::granted_scope(session)?;
        let wished = wish.scope.as_ref();
        let scope = self.scope_of_user(client, Some(&granted), user, wished).await?;
        let resources = target::of_refresh(client, session, wish, policy)?;
        let grant = Grant {
            sub: user.id.to_string(),
            client_id: &client.client_id,
            scope: scope.to_string(),
            resources: &resources,
            lifetime: client.access_token_lifetime,
            session: Some(UserSession {
                sid: session.sid,
                auth_time: session.login.auth_time,
                roles: user.roles.clone(),
                claims: super::scope::claims_of(client, user),
            }),
        };
        let access = self.access_tokens.issue(grant, &self.random, now).await?;
        let next = RefreshToken {
            user_id: session.user_id,
            sid: session.sid,
            generation: rotation.next_generation(),
        };
        Ok(TokenResponse {
            access_token: access.token,
            expires_in: access.expires_in,
            scope,
            refresh_token: Some(self.refresh_tokens.encode(&next)),
            healed: rotation.advance() == Some(Advance::Healed),
        })
    }

    async fn refuse(
        &self,
        client: &Client,
        presented: Option<RefreshToken>,
        reason: &'static str,
        origin: &Origin,
        now: Timestamp,
    ) -> TokenError {
        self.refreshes.refused(reason);
        let event = Event {
            kind: Kind::RefreshRefused,
            actor: Actor::Client(client.client_id.clone()),
            subject: presented.map(|token| token.user_id.to_string()),
            client_id: Some(&client.client_id),
            detail: Some(match presented {
                Some(token) => format!("{reason}; session {}", token.sid),
                None => reason.to_owned(),
            }),
            origin,
        };
        self.audit.record(event, now).await;
        TokenError::InvalidGrant(NOT_GOOD)
    }
}

/// The session, and the user agent where it is known: the address has a place of its own.
fn described(sid: Uuid, origin: &Origin) -> String {
    match &origin.user_agent {
        Some(user_agent) => format!("session {sid}; {user_agent}"),
        None => format!("session {sid}"),
    }
}
