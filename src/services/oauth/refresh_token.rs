//! The refresh token grant (RFC 6749 section 6, RFC 9700 section 4.14.2). Everything that can fail
//! comes first and the commit last, so a request that is cut off changed nothing, or lost only its
//! answer, which the retry window gives again.

use super::{AuthorizationServer, CheckError, OfSession, TokenError, TokenResponse, Wish, target};
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::clients::{Client, Credentials, GrantType};
use crate::domain::sessions::{Advance, CommitError, Refusal, RotationError, Session};
use crate::domain::tokens::RefreshToken;
use crate::domain::users::User;
use crate::storage::StorageError;

/// The answer for every reason; which one it was goes to the audit trail.
const NOT_GOOD: TokenError = TokenError::InvalidGrant("the refresh token is not valid");
/// A lost race is decided once more; to lose this often, a token has to be used in a loop.
const MAX_ATTEMPTS: usize = 8;

pub(crate) struct RefreshRequest {
    /// What the client authenticates by. Where absent, the bundled first-party client, and a token of
    /// another client asks for that one's authentication.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) wish: Wish,
}

impl AuthorizationServer {
    /// Exchanges a refresh token for an access token and the next refresh token. Scope may be
    /// narrowed for this one answer, never widened, and follows what client and user have lost since.
    pub(crate) async fn refresh(
        &self,
        request: RefreshRequest,
        by: &Initiator,
    ) -> Result<TokenResponse, TokenError> {
        let is_identified = request.credentials.is_some();
        let credentials = super::or_first_party(request.credentials);
        let client = &*self.client(&credentials, by).await?;
        let by = &by.as_client(&client.client_id);
        let refresh_token =
            request.refresh_token.ok_or(TokenError::InvalidRequest("refresh_token is missing"))?;
        super::check_grant(client, GrantType::RefreshToken)?;
        let Some(presented) = self.refresh_tokens.parse(&refresh_token) else {
            return Err(self.refuse(client, None, "not_ours", by).await);
        };
        let RefreshToken { user_id, sid, generation } = presented;
        self.refresh_limit.take(sid, by.at).map_err(CheckError::Limited)?;

        let sessions = &self.stores.sessions;
        for _ in 0..MAX_ATTEMPTS {
            let rotation = sessions
                .open_rotation(user_id, sid, generation, &client.client_id, by.at)
                .await
                .map(|rotation| rotation.asked_from(super::session_origin(&by.origin)));
            let rotation = match rotation {
                Ok(rotation) => rotation,
                Err(RotationError::Storage(error)) => return Err(error.into()),
                Err(RotationError::Reuse(_)) => {
                    self.metrics.count_refresh("reused", "");
                    self.record(Kind::RefreshTokenReused, client, presented, by).await;
                    return Err(NOT_GOOD);
                }
                Err(RotationError::Invalid(reason)) => {
                    let refused = self.refuse(client, Some(presented), reason.as_str(), by).await;
                    return Err(match reason {
                        Refusal::OtherClient if !is_identified => {
                            TokenError::InvalidClient { basic: false }
                        }
                        _ => refused,
                    });
                }
            };
            let session = rotation.session();
            let user = match check_user(client, session, self.stores.users.find(user_id).await?) {
                Ok(user) => user,
                Err(reason) => {
                    // Normally the session is gone already; this one was started or restored since.
                    sessions.revoke(user_id, sid, by.at).await?;
                    return Err(self.refuse(client, Some(presented), reason, by).await);
                }
            };
            let (granted, wish) = (target::granted_scope(session)?, &request.wish);
            let scope =
                self.scope_of_user(client, Some(&granted), &user, wish.scope.as_ref()).await?;
            let resources = target::of_refresh(client, session, wish, self.access_tokens.policy())?;
            let of_session = OfSession { user: &user, sid, auth_time: session.login.auth_time };
            let access = self.sign(client, &scope, &resources, Some(of_session), by.at).await?;
            let next = RefreshToken { generation: rotation.next_generation(), ..presented };
            let advance = rotation.advance();

            match sessions.commit(rotation, by.at).await {
                Ok(()) => {
                    self.report(advance, client, presented, by).await;
                    let refresh_token = Some(self.refresh_tokens.encode(&next));
                    return Ok(TokenResponse { access, scope, refresh_token });
                }
                Err(CommitError::LostRace) => {}
                Err(CommitError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(StorageError::Unavailable("every attempt lost a race".into()).into())
    }

    /// Counts a refresh that was committed. A recovery is audited too: its answer was lost, or this is
    /// the first sign of somebody else who holds the token.
    async fn report(
        &self,
        advance: Option<Advance>,
        client: &Client,
        presented: RefreshToken,
        by: &Initiator,
    ) {
        self.metrics.count_token(GrantType::RefreshToken.as_str());
        self.metrics.count_refresh(
            match advance {
                None => "replayed",
                Some(Advance::Redeemed) => "advanced",
                Some(Advance::Healed) => "healed",
                Some(Advance::Recovered) => "recovered",
            },
            "",
        );
        if advance == Some(Advance::Healed) {
            self.metrics.sessions_healed.inc();
            tracing::warn!("a refresh token was newer than its session: the store had lost writes");
        }
        if advance == Some(Advance::Recovered) {
            self.record(Kind::RefreshTokenRecovered, client, presented, by).await;
        }
    }

    /// Records `kind` with the session and, where it is known, the user agent; the address has a place
    /// of its own.
    async fn record(&self, kind: Kind, client: &Client, presented: RefreshToken, by: &Initiator) {
        let detail = match &by.origin.user_agent {
            Some(user_agent) => format!("session {}; {user_agent}", presented.sid),
            None => format!("session {}", presented.sid),
        };
        let event = Event::new(kind, by).about(presented.user_id).client(&client.client_id);
        self.stores.audit.record(event.detail(detail)).await;
    }

    /// Counts and records a token that is refused for `reason`; returns the answer.
    async fn refuse(
        &self,
        client: &Client,
        presented: Option<RefreshToken>,
        reason: &'static str,
        by: &Initiator,
    ) -> TokenError {
        self.metrics.count_refresh("refused", reason);
        let event = Event::new(Kind::RefreshRefused, by).client(&client.client_id);
        let event = match presented {
            Some(RefreshToken { user_id, sid, .. }) => {
                event.about(user_id).detail(format!("{reason}; session {sid}"))
            }
            None => event.detail(reason.to_owned()),
        };
        self.stores.audit.record(event).await;
        NOT_GOOD
    }
}

/// The session's user, who must be active and not have ended all sessions since; else the reason.
fn check_user(
    client: &Client,
    session: &Session,
    user: Option<User>,
) -> Result<User, &'static str> {
    match user {
        _ if client.is_younger_than(session.started_at) => Err("client_registered_anew"),
        None => Err("user_removed"),
        Some(user) if !user.is_active() => Err("user_disabled"),
        Some(user) if user.session_epoch != session.epoch => Err("sessions_ended"),
        Some(user) => Ok(user),
    }
}
