//! All revocations that still matter, in memory, found by what they concern.

use std::collections::HashMap;

use uuid::Uuid;

use super::entry::{Entry, Revoked};
use crate::time::Timestamp;
use crate::tokens::Claims;

/// The revocations that one instance knows.
#[derive(Debug, Default)]
pub(super) struct Live {
    sessions: HashMap<Uuid, Session>,
    tokens: HashMap<String, Token>,
    subjects: HashMap<String, CutOff>,
    clients: HashMap<String, CutOff>,
    keys: HashMap<String, Timestamp>,
}

#[derive(Debug)]
struct Session {
    user_id: Uuid,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct Token {
    subject: String,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct CutOff {
    before: Timestamp,
    expires_at: Timestamp,
}

impl Live {
    /// Takes in an entry. Of two about the same, the one that says more holds.
    pub fn add(&mut self, entry: Entry) {
        let expires_at = entry.expires_at;
        match entry.revoked {
            Revoked::Session { sid, user_id } => {
                let present = self.sessions.entry(sid).or_insert(Session { user_id, expires_at });
                present.expires_at = present.expires_at.max(expires_at);
            }
            Revoked::Token { jti, subject, .. } => {
                let present = self.tokens.entry(jti).or_insert(Token { subject, expires_at });
                present.expires_at = present.expires_at.max(expires_at);
            }
            Revoked::Subject { sub, before } => {
                cut_off(&mut self.subjects, sub, before, expires_at)
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

    /// Whether all tokens of the session are revoked.
    pub fn has_session(&self, sid: Uuid) -> bool {
        self.sessions.contains_key(&sid)
    }

    /// Whether the token is revoked by itself.
    pub fn has_token(&self, jti: &str) -> bool {
        self.tokens.contains_key(jti)
    }

    /// Whether the token with these claims is revoked. The key that signed it is looked at by
    /// whoever verified the signature.
    pub fn covers(&self, claims: &Claims) -> bool {
        let is_cut_off = |cut_off: &CutOff| claims.iat < cut_off.before;
        claims.sid.is_some_and(|sid| self.has_session(sid))
            || self.has_token(&claims.jti)
            || self.subjects.get(&claims.sub).is_some_and(is_cut_off)
            || self.clients.get(&claims.client_id).is_some_and(is_cut_off)
    }

    /// Drops what does not matter any more.
    pub fn forget(&mut self, now: Timestamp) {
        self.sessions.retain(|_, session| session.expires_at > now);
        self.tokens.retain(|_, token| token.expires_at > now);
        self.subjects.retain(|_, cut_off| cut_off.expires_at > now);
        self.clients.retain(|_, cut_off| cut_off.expires_at > now);
        self.keys.retain(|_, expires_at| *expires_at > now);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
            + self.tokens.len()
            + self.subjects.len()
            + self.clients.len()
            + self.keys.len()
    }

    /// All that matter at `now`.
    pub fn entries(&self, now: Timestamp) -> Vec<Entry> {
        let sessions = self.sessions.iter().map(|(sid, session)| Entry {
            revoked: Revoked::Session { sid: *sid, user_id: session.user_id },
            expires_at: session.expires_at,
        });
        let tokens = self.tokens.iter().map(|(jti, token)| Entry {
            revoked: Revoked::Token {
                jti: jti.clone(),
                subject: token.subject.clone(),
                ends_at: token.expires_at,
            },
            expires_at: token.expires_at,
        });
        let subjects = self.subjects.iter().map(|(sub, cut_off)| Entry {
            revoked: Revoked::Subject { sub: sub.clone(), before: cut_off.before },
            expires_at: cut_off.expires_at,
        });
        let clients = self.clients.iter().map(|(client_id, cut_off)| Entry {
            revoked: Revoked::Client { client_id: client_id.clone(), before: cut_off.before },
            expires_at: cut_off.expires_at,
        });
        let keys = self.keys.iter().map(|(kid, expires_at)| Entry {
            revoked: Revoked::Key { kid: kid.clone() },
            expires_at: *expires_at,
        });
        let all = sessions.chain(tokens).chain(subjects).chain(clients).chain(keys);
        all.filter(|entry| entry.expires_at > now).collect()
    }
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
            (Revoked::Token { jti: "t".into(), subject: "u".into(), ends_at: at(900) }, 900),
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
    fn what_has_ended_is_forgotten() {
        let key = |kid: &str| Revoked::Key { kid: kid.into() };
        // Of two entries, the one that lasts longer holds.
        let mut live = live([(key("old"), 100), (key("new"), 101), (key("new"), 99)]);
        assert_eq!(live.entries(at(100)).len(), 1);
        live.forget(at(100));
        assert_eq!(live.entries(at(0)), [Entry { revoked: key("new"), expires_at: at(101) }]);
    }
}
