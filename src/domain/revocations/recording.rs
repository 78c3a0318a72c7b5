//! Recording of revocations, and the bounds of one party's share of the feed. Every listener
//! receives every change and holds every entry, so the entries of one party are bounded: one entry
//! for the whole replaces many for the parts. A token that an entry on record already covers adds
//! nothing.

use std::time::Duration;

use uuid::Uuid;

use super::store::TokenGroup;
use super::{Revocations, Revoked, RevokedToken};
use crate::base::time::Timestamp;
use crate::domain::tokens::LEEWAY;
use crate::storage::{Stored, Transaction};

/// The maximum number of entries of one change, which is sent as one event and signed as one token.
const MAX_ENTRIES_OF_CHANGE: usize = 1_000;
/// The number of live access tokens of one session, or of one client's own, that are revoked one by
/// one. A further one ends the session, or all tokens issued to the client so far.
const MAX_SINGLE_TOKENS: i64 = 10;
/// The number of published entries for sessions of one user. Beyond it one subject entry of the
/// user covers every further one. Logins add to it as well: a session that ends because its user
/// has too many is an entry.
const MAX_SESSIONS_OF_USER: usize = 100;
/// The number of published entries for single access tokens of one user. They are counted apart
/// from sessions: however often a user logs out, a revoked token ends alone.
const MAX_TOKENS_OF_USER: usize = 100;
/// The number of live tokens of one key of another issuer that can be on record. Signet does not
/// know which tokens that issuer has issued, so no other entry can cover them.
const MAX_TOKENS_OF_FOREIGN_KEY: usize = 1_000;
/// Tokens carry their time of issue in whole seconds: those of the present second are covered too.
const A_SECOND: Duration = Duration::from_secs(1);

/// An access token of another issuer, whose key is published here to verify. Its claims are that
/// issuer's word: they name no session or user of Signet.
#[derive(Clone, Debug)]
pub struct ForeignToken {
    pub(crate) jti: String,
    pub(crate) subject: String,
    pub(crate) kid: String,
    /// A moment after which no verifier accepts the token.
    pub(crate) ends_at: Timestamp,
}

/// The maximum number of tokens of this key is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The outcome of revoking one access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRevocation {
    /// An entry on record covers the token already.
    Covered,
    /// The token alone is revoked.
    Token,
    /// The token's whole session is revoked: delete it.
    Session {
        /// The session.
        sid: Uuid,
        /// Its user.
        user_id: Uuid,
    },
    /// All access tokens issued to the subject so far are revoked. Sessions continue.
    Subject,
}

#[derive(Clone, Copy, Debug)]
pub struct EndedSession {
    pub sid: Uuid,
    /// The last moment at which an access token of it can have been issued.
    pub last_issue: Timestamp,
}

impl Revocations {
    /// Records what one request ended, before it is answered, each item as a change of its own.
    pub async fn record(&self, revoked: &[Revoked], now: Timestamp) -> Stored<()> {
        let changes: Vec<_> = revoked.chunks(1).collect();
        self.record_changes(&changes, now).await
    }

    /// Records that sessions of a user end. To be called before they are deleted.
    pub async fn record_sessions(
        &self,
        user_id: Uuid,
        ended: &[EndedSession],
        now: Timestamp,
    ) -> Stored<()> {
        let (single, folded) = ended.split_at(self.room_for_sessions(user_id).min(ended.len()));
        let session = |ended: &EndedSession| Revoked::Session { sid: ended.sid, user_id };
        let mut changes: Vec<_> = single.iter().map(|ended| vec![session(ended)]).collect();
        if let Some(last_issue) = folded.iter().map(|ended| ended.last_issue).max() {
            // The clock of another instance may be ahead, but not by more than verifiers allow for.
            let last_issue = last_issue.min(now.plus(LEEWAY));
            let cut_off = self.cut_off(&user_id.to_string(), last_issue);
            let sids = folded.iter().map(|ended| Revoked::Ended { sid: ended.sid, user_id });
            let all: Vec<_> = cut_off.into_iter().chain(sids).collect();
            changes.extend(all.chunks(MAX_ENTRIES_OF_CHANGE).map(<[_]>::to_vec));
        }
        let changes: Vec<_> = changes.iter().map(Vec::as_slice).collect();
        self.record_changes(&changes, now).await
    }

    /// Records that everything of a user ends: the tokens issued before `now`, and those of the
    /// sessions `sids` whenever they were issued, since issue is in whole seconds. One change,
    /// unless there are very many sessions; then the user's tokens of this second are covered
    /// instead.
    pub async fn record_user(
        &self,
        user_id: Uuid,
        sids: impl Iterator<Item = Uuid>,
        now: Timestamp,
    ) -> Stored<()> {
        let sids: Vec<_> = sids.collect();
        let fits = sids.len() <= self.room_for_sessions(user_id);
        let before = if fits { now } else { now.plus(A_SECOND) };
        let mut revoked = vec![Revoked::Subject { sub: user_id.to_string(), before }];
        revoked.extend(sids.into_iter().map(|sid| match fits {
            true => Revoked::Session { sid, user_id },
            false => Revoked::Ended { sid, user_id },
        }));
        let changes: Vec<_> = revoked.chunks(MAX_ENTRIES_OF_CHANGE).collect();
        self.record_changes(&changes, now).await
    }

    /// Records that one access token is revoked, or a wider entry that covers it. To be called
    /// before the request is answered.
    pub async fn record_token(
        &self,
        token: &RevokedToken,
        now: Timestamp,
    ) -> Stored<TokenRevocation> {
        let RevokedToken { jti, subject, session, issued_at, .. } = token;
        let issued_at = issued_at.unwrap_or(now);
        let owner = Uuid::parse_str(subject).ok();
        // Only users have sessions, and a user's subject is their id.
        let session = session.filter(|_| owner.is_some());
        let cut_off = self.feed.ask(|live| live.cut_off_of(subject));
        let is_covered = cut_off.is_some_and(|before| issued_at < before)
            || session.is_some_and(|sid| self.has_session(sid))
            || self.feed.ask(|live| live.has_token(jti));
        if is_covered {
            return Ok(TokenRevocation::Covered);
        }
        let cut_off_at = |before| Revoked::Subject { sub: subject.clone(), before };
        let (single, alone) = match owner.is_none_or(|user_id| self.has_room_for_token(user_id)) {
            true => {
                let token = RevokedToken { session, ..token.clone() };
                (Revoked::Token(token), TokenRevocation::Token)
            }
            false => (cut_off_at(issued_at.plus(A_SECOND)), TokenRevocation::Subject),
        };
        let (whole, together) = match (session, owner) {
            (Some(sid), Some(user_id)) => {
                let whole = match self.room_for_sessions(user_id) {
                    0 => vec![cut_off_at(now.plus(A_SECOND)), Revoked::Ended { sid, user_id }],
                    _ => vec![Revoked::Session { sid, user_id }],
                };
                (whole, TokenRevocation::Session { sid, user_id })
            }
            _ => (vec![cut_off_at(now.plus(A_SECOND))], TokenRevocation::Subject),
        };
        let group = TokenGroup {
            owner: subject,
            session,
            since: cut_off.unwrap_or(Timestamp::from_unix(0)),
            limit: MAX_SINGLE_TOKENS,
        };
        let store = &self.store;
        let record = async |transaction: &mut Transaction<'_>| {
            store.record_token_in(transaction, &group, &single, &whole, now).await
        };
        let is_whole = store.db.write(record).await?;
        self.announce();
        Ok(if is_whole { together } else { alone })
    }

    /// Records that one access token of another issuer is revoked, and nothing else, unless that is
    /// on record. To be called before the request is answered.
    pub async fn record_foreign_token(
        &self,
        token: &ForeignToken,
        now: Timestamp,
    ) -> Stored<Result<TokenRevocation, TooMany>> {
        // No client id and no user id contains a colon.
        let owner = format!("kid:{}", token.kid);
        if self.feed.ask(|live| live.has_token(&token.jti)) {
            return Ok(Ok(TokenRevocation::Covered));
        }
        if self.feed.ask(|live| live.tokens_of(&owner)) >= MAX_TOKENS_OF_FOREIGN_KEY {
            return Ok(Err(TooMany));
        }
        let (jti, ends_at) = (token.jti.clone(), token.ends_at);
        let token = RevokedToken { jti, subject: owner, session: None, issued_at: None, ends_at };
        self.record(&[Revoked::Token(token)], now).await?;
        Ok(Ok(TokenRevocation::Token))
    }

    /// Records that a session without a record has ended, unless that is on record, or none of its
    /// access tokens can be valid at `now`: by its age the session had ended at `ends_at`. So old
    /// refresh tokens add nothing when they are presented.
    pub async fn record_lost_session(
        &self,
        user_id: Uuid,
        sid: Uuid,
        ends_at: Timestamp,
        now: Timestamp,
    ) -> Stored<()> {
        if self.has_session(sid) || ends_at.plus(self.store.token_life().await?) <= now {
            return Ok(());
        }
        self.record_sessions(user_id, &[EndedSession { sid, last_issue: now.min(ends_at) }], now)
            .await
    }

    fn room_for_sessions(&self, user_id: Uuid) -> usize {
        MAX_SESSIONS_OF_USER.saturating_sub(self.feed.ask(|live| live.of_user(user_id).sessions))
    }

    fn has_room_for_token(&self, user_id: Uuid) -> bool {
        self.feed.ask(|live| live.of_user(user_id).tokens) < MAX_TOKENS_OF_USER
    }

    /// The entry for all tokens issued to the subject up to `last_issue`, unless one is on record.
    fn cut_off(&self, sub: &str, last_issue: Timestamp) -> Option<Revoked> {
        let before = last_issue.plus(A_SECOND);
        let present = self.feed.ask(|live| live.cut_off_of(sub));
        let is_covered = present.is_some_and(|present| present >= before);
        (!is_covered).then(|| Revoked::Subject { sub: sub.to_owned(), before })
    }

    async fn record_changes(&self, changes: &[&[Revoked]], now: Timestamp) -> Stored<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let store = &self.store;
        store
            .db
            .write(async |transaction| store.record_in(transaction, changes, now).await)
            .await?;
        self.announce();
        Ok(())
    }

    /// Records one change within `transaction`. After its commit, [`Revocations::announce`] it.
    pub async fn record_in(
        &self,
        transaction: &mut Transaction<'_>,
        revoked: Revoked,
        now: Timestamp,
    ) -> Stored<()> {
        self.store.record_in(transaction, &[&[revoked]], now).await
    }

    pub(crate) async fn ensure_key(&self, kid: &str, now: Timestamp) -> Stored<()> {
        if self.store.has_key(kid).await? {
            return Ok(());
        }
        self.record(&[Revoked::Key { kid: kid.to_owned() }], now).await
    }
}
