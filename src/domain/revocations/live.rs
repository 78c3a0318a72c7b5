//! All valid revocations in memory, indexed by the tokens that they concern.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};

use uuid::Uuid;

use super::entry::{Entry, Revoked, RevokedToken};
use crate::base::time::Timestamp;
use crate::domain::tokens::Claims;

#[derive(Debug, Default)]
pub(super) struct Live {
    sessions: HashMap<Uuid, Session>,
    /// Sessions that have ended and are not published: a subject entry of the user covers each.
    ended: HashMap<Uuid, Session>,
    tokens: HashMap<String, Token>,
    subjects: HashMap<String, CutOff>,
    clients: HashMap<String, CutOff>,
    keys: HashMap<String, Timestamp>,
    /// The keys in `tokens` for one session, or for one client's own tokens, so that an entry for
    /// the whole can replace them.
    grouped: HashMap<Group, Vec<String>>,
    by_user: HashMap<Uuid, OfUser>,
}

/// The number of published entries that name a session or token of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfUser {
    pub sessions: usize,
    pub tokens: usize,
}

/// Tokens that one entry can cover.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Group {
    Session(Uuid),
    /// A client's own tokens, or those in entries of a previous version.
    Subject(String),
}

#[derive(Debug)]
struct Session {
    user_id: Uuid,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct Token {
    subject: String,
    session: Option<Uuid>,
    issued_at: Option<Timestamp>,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct CutOff {
    before: Timestamp,
    expires_at: Timestamp,
}

impl Live {
    /// Adds an entry. Of two for the same tokens, the wider one is kept; an entry for a whole
    /// session, or for all of a client's own tokens, replaces those for single tokens.
    pub(super) fn add(&mut self, entry: Entry) {
        let expires_at = entry.expires_at;
        match entry.revoked {
            Revoked::Session { sid, user_id } => {
                let ended = self.ended.remove(&sid).map(|ended| ended.expires_at);
                let expires_at = ended.map_or(expires_at, |ended| ended.max(expires_at));
                match self.sessions.entry(sid) {
                    Occupied(mut present) => {
                        let present = present.get_mut();
                        present.expires_at = present.expires_at.max(expires_at);
                    }
                    Vacant(vacant) => {
                        vacant.insert(Session { user_id, expires_at });
                        self.by_user.entry(user_id).or_default().sessions += 1;
                    }
                }
                self.fold(&Group::Session(sid), |_| true);
            }
            Revoked::Ended { sid, user_id } => {
                let present = match self.sessions.get_mut(&sid) {
                    Some(published) => published,
                    None => self.ended.entry(sid).or_insert(Session { user_id, expires_at }),
                };
                present.expires_at = present.expires_at.max(expires_at);
                // A subject entry covers the subject's tokens too.
                if let Some(before) = self.cut_off_of(&user_id.to_string()) {
                    let is_covered =
                        |token: &Token| token.issued_at.is_some_and(|issued_at| issued_at < before);
                    self.fold(&Group::Session(sid), is_covered);
                }
            }
            Revoked::Token(RevokedToken { jti, subject, session, issued_at, .. }) => {
                self.add_token(jti, Token { subject, session, issued_at, expires_at });
            }
            Revoked::Subject { sub, before } => {
                let group = Group::Subject(sub.clone());
                cut_off(&mut self.subjects, sub, before, expires_at);
                self.fold(&group, |token| token.issued_at.is_some_and(|at| at < before));
            }
            Revoked::Client { client_id, before } => {
                cut_off(&mut self.clients, client_id, before, expires_at);
            }
            Revoked::Key { kid } => {
                let present = self.keys.entry(kid).or_insert(expires_at);
                *present = expires_at.max(*present);
            }
        }
    }

    fn add_token(&mut self, jti: String, token: Token) {
        let is_covered = token.session.is_some_and(|sid| self.sessions.contains_key(&sid));
        if is_covered {
            return;
        }
        if let Some(present) = self.tokens.get_mut(&jti) {
            present.expires_at = present.expires_at.max(token.expires_at);
            return;
        }
        let group = match token.session {
            Some(sid) => Group::Session(sid),
            None => Group::Subject(token.subject.clone()),
        };
        self.grouped.entry(group).or_default().push(jti.clone());
        if let Some(user) = user_of(&token) {
            self.by_user.entry(user).or_default().tokens += 1;
        }
        self.tokens.insert(jti, token);
    }

    /// Drops the entries of single tokens of `group` that one entry covers now.
    fn fold(&mut self, group: &Group, is_covered: impl Fn(&Token) -> bool) {
        let Some(names) = self.grouped.get_mut(group) else { return };
        let (tokens, by_user) = (&mut self.tokens, &mut self.by_user);
        names.retain(|jti| {
            let Some(token) = tokens.get(jti) else { return false };
            if !is_covered(token) {
                return true;
            }
            if let Some(count) = user_of(token).and_then(|user| by_user.get_mut(&user)) {
                count.tokens = count.tokens.saturating_sub(1);
            }
            tokens.remove(jti);
            false
        });
        if names.is_empty() {
            self.grouped.remove(group);
        }
    }

    pub(super) fn of_user(&self, user_id: Uuid) -> OfUser {
        self.by_user.get(&user_id).copied().unwrap_or_default()
    }

    /// The number of published entries that name tokens of no session whose subject this is.
    pub(super) fn tokens_of(&self, subject: &str) -> usize {
        self.grouped.get(&Group::Subject(subject.to_owned())).map_or(0, Vec::len)
    }

    /// The moment before which all tokens of the subject are revoked, if any.
    pub(super) fn cut_off_of(&self, sub: &str) -> Option<Timestamp> {
        self.subjects.get(sub).map(|cut_off| cut_off.before)
    }

    pub(super) fn cut_off_entry(&self, sub: &str) -> Option<Entry> {
        let CutOff { before, expires_at } = *self.subjects.get(sub)?;
        Some(Entry { revoked: Revoked::Subject { sub: sub.to_owned(), before }, expires_at })
    }

    pub(super) fn has_session(&self, sid: Uuid) -> bool {
        self.sessions.contains_key(&sid) || self.ended.contains_key(&sid)
    }

    pub(super) fn has_token(&self, jti: &str) -> bool {
        self.tokens.contains_key(jti)
    }

    /// Whether the token with these claims is revoked, its key aside.
    pub(super) fn covers(&self, claims: &Claims) -> bool {
        let is_cut_off = |cut_off: &CutOff| claims.iat < cut_off.before;
        claims.sid.is_some_and(|sid| self.has_session(sid))
            || self.has_token(&claims.jti)
            || self.subjects.get(&claims.sub).is_some_and(is_cut_off)
            || self.clients.get(&claims.client_id).is_some_and(is_cut_off)
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        self.sessions.retain(|_, session| session.expires_at > now);
        self.ended.retain(|_, session| session.expires_at > now);
        self.tokens.retain(|_, token| token.expires_at > now);
        self.subjects.retain(|_, cut_off| cut_off.expires_at > now);
        self.clients.retain(|_, cut_off| cut_off.expires_at > now);
        self.keys.retain(|_, expires_at| *expires_at > now);
        let tokens = &self.tokens;
        self.grouped.retain(|_, names| {
            names.retain(|jti| tokens.contains_key(jti));
            !names.is_empty()
        });
        self.by_user.clear();
        for session in self.sessions.values() {
            self.by_user.entry(session.user_id).or_default().sessions += 1;
        }
        for user in self.tokens.values().filter_map(user_of) {
            self.by_user.entry(user).or_default().tokens += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
            + self.tokens.len()
            + self.subjects.len()
            + self.clients.len()
            + self.keys.len()
    }

    /// All entries that are valid at `now`, unpublished ones included.
    pub(super) fn entries(&self, now: Timestamp) -> Vec<Entry> {
        let sessions = self.sessions.iter().map(|(&sid, &Session { user_id, expires_at })| {
            (Revoked::Session { sid, user_id }, expires_at)
        });
        let ended = self.ended.iter().map(|(&sid, &Session { user_id, expires_at })| {
            (Revoked::Ended { sid, user_id }, expires_at)
        });
        let tokens = self.tokens.iter().map(|(jti, token)| {
            let Token { session, issued_at, expires_at: ends_at, .. } = *token;
            let (jti, subject) = (jti.clone(), token.subject.clone());
            (Revoked::Token(RevokedToken { jti, subject, session, issued_at, ends_at }), ends_at)
        });
        let subjects = self.subjects.iter().map(|(sub, &CutOff { before, expires_at })| {
            (Revoked::Subject { sub: sub.clone(), before }, expires_at)
        });
        let clients = self.clients.iter().map(|(client_id, &CutOff { before, expires_at })| {
            (Revoked::Client { client_id: client_id.clone(), before }, expires_at)
        });
        let keys = self.keys.iter().map(|(kid, &at)| (Revoked::Key { kid: kid.clone() }, at));
        let all = sessions.chain(ended).chain(tokens).chain(subjects).chain(clients).chain(keys);
        all.filter(|(_, expires_at)| *expires_at > now)
            .map(|(revoked, expires_at)| Entry { revoked, expires_at })
            .collect()
    }
}

/// The user of a token; `None` for a client's own.
fn user_of(token: &Token) -> Option<Uuid> {
    Uuid::parse_str(&token.subject).ok()
}

fn cut_off(
    cut_offs: &mut HashMap<String, CutOff>,
    name: String,
    before: Timestamp,
    expires_at: Timestamp,
) {
    let present = cut_offs.entry(name).or_insert(CutOff { before, expires_at });
    present.before = present.before.max(before);
    present.expires_at = present.expires_at.max(expires_at);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn claims(sub: &str, client_id: &str, jti: &str, sid: Option<Uuid>, iat: i64) -> Claims {
        let claims = json!({
            "iss": "https://id.example.com", "aud": "a", "sub": sub, "client_id": client_id,
            "jti": jti, "sid": sid, "iat": iat, "exp": iat + 60,
        });
        serde_json::from_value(claims).unwrap()
    }

    fn token(jti: &str, subject: &str, session: Option<Uuid>, issued_at: i64) -> Revoked {
        let (jti, subject, issued_at) = (jti.into(), subject.into(), Some(at(issued_at)));
        Revoked::Token(RevokedToken { jti, subject, session, issued_at, ends_at: at(900) })
    }

    fn live(all: impl IntoIterator<Item = (Revoked, i64)>) -> Live {
        let mut live = Live::default();
        for (revoked, expires_at) in all {
            live.add(Entry { revoked, expires_at: at(expires_at) });
        }
        live
    }

    #[test]
    fn each_kind_covers_its_tokens_and_no_others() {
        let (sid, user_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let live = live([
            (Revoked::Session { sid, user_id }, 900),
            (token("t", "u", None, 100), 900),
            (Revoked::Subject { sub: "gone".into(), before: at(100) }, 900),
            (Revoked::Subject { sub: "gone".into(), before: at(50) }, 800),
            (Revoked::Client { client_id: "off".into(), before: at(100) }, 900),
        ]);
        for (token, covered) in [
            (claims("u", "c", "x", None, 100), false),
            (claims("u", "c", "x", Some(sid), 100), true),
            (claims("u", "c", "x", Some(user_id), 100), false),
            (claims("u", "c", "t", None, 100), true),
            (claims("gone", "c", "x", None, 99), true),
            (claims("gone", "c", "x", None, 100), false),
            (claims("u", "off", "x", None, 99), true),
            (claims("u", "off", "x", None, 100), false),
        ] {
            assert_eq!(live.covers(&token), covered, "{token:?}");
        }
        assert_eq!(live.len(), 4);
    }

    #[test]
    fn an_entry_for_a_whole_session_takes_the_place_of_its_tokens() {
        let (sid, other, user_id) = (Uuid::from_u128(1), Uuid::from_u128(3), Uuid::from_u128(2));
        let user = user_id.to_string();
        let mut live = live([
            (token("a", &user, Some(sid), 1), 900),
            (token("b", &user, Some(sid), 2), 900),
            (token("c", &user, Some(other), 3), 900),
        ]);
        let of_user = |sessions, tokens| OfUser { sessions, tokens };
        assert_eq!((live.len(), live.of_user(user_id)), (3, of_user(0, 3)));
        live.add(Entry { revoked: Revoked::Session { sid, user_id }, expires_at: at(950) });
        live.add(Entry { revoked: token("d", &user, Some(sid), 4), expires_at: at(900) });
        assert_eq!((live.len(), live.of_user(user_id)), (2, of_user(1, 1)));
        assert!(live.has_session(sid) && live.has_token("c") && !live.has_token("a"));
        assert!(live.covers(&claims(&user, "c", "a", Some(sid), 1)));
        live.forget(at(920));
        assert_eq!((live.len(), live.of_user(user_id)), (1, of_user(1, 0)));
        assert!(live.grouped.is_empty());
    }

    #[test]
    fn a_cut_off_takes_the_place_of_a_clients_own_tokens_issued_before() {
        let mut live = live([
            (token("a", "reports", None, 99), 900),
            (token("b", "reports", None, 100), 900),
            (token("c", "others", None, 1), 900),
        ]);
        let revoked = Revoked::Subject { sub: "reports".into(), before: at(100) };
        live.add(Entry { revoked, expires_at: at(900) });
        assert_eq!(live.len(), 3);
        assert!(!live.has_token("a") && live.has_token("b") && live.has_token("c"));
        assert_eq!(live.cut_off_of("reports"), Some(at(100)));
        assert!(live.covers(&claims("reports", "reports", "a", None, 99)));
    }

    #[test]
    fn a_session_that_is_not_published_is_known_all_the_same() {
        let (sid, user_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut live = live([(Revoked::Ended { sid, user_id }, 900)]);
        assert!(live.has_session(sid));
        assert_eq!((live.len(), live.entries(at(0)).len()), (0, 1));
        assert_eq!(live.of_user(user_id), OfUser::default());
        live.add(Entry { revoked: Revoked::Session { sid, user_id }, expires_at: at(800) });
        live.add(Entry { revoked: Revoked::Ended { sid, user_id }, expires_at: at(800) });
        let entry = Entry { revoked: Revoked::Session { sid, user_id }, expires_at: at(900) };
        assert_eq!((live.len(), live.entries(at(0))), (1, vec![entry]));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let key = |kid: &str| Revoked::Key { kid: kid.into() };
        // Of two entries, the one that lasts longer holds.
        let mut live = live([(key("old"), 100), (key("new"), 101), (key("new"), 99)]);
        assert_eq!(live.entries(at(100)).len(), 1);
        live.forget(at(100));
        assert_eq!(live.entries(at(0)), [Entry { revoked: key("new"), expires_at: at(101) }]);
    }
}
