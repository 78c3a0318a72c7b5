//! The set of what is revoked. Entries are never taken back, so sets only ever grow together, and
//! what has expired is dropped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::hashing::Seeded;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session, by `sid`.
    Session,
    /// A token, by `jti`.
    Token,
    /// A subject, by `sub`.
    Subject,
    /// A client, by `client_id`.
    Client,
    /// A signing key, by `kid`.
    Key,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Session, Self::Token, Self::Subject, Self::Client, Self::Key];

    /// The kind that a member of an entry names.
    pub fn of_member(name: &str) -> Option<Self> {
        match name {
            "sid" => Some(Self::Session),
            "jti" => Some(Self::Token),
            "sub" => Some(Self::Subject),
            "client_id" => Some(Self::Client),
            "kid" => Some(Self::Key),
            _ => None,
        }
    }

    /// Whether such an entry ends only the tokens that were issued before some moment.
    pub const fn has_before(self) -> bool {
        matches!(self, Self::Subject | Self::Client)
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What `name` names.
    pub kind: Kind,
    /// The session, token, subject, client or key.
    pub name: Cow<'a, str>,
    /// Tokens issued before this; those of other kinds end whenever they were issued.
    pub before: i64,
    /// When the last token that it could concern has expired.
    pub exp: i64,
}

/// Which tokens of a name are revoked, and until when that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    before: i64,
    exp: i64,
}

impl Reach {
    /// The union of both. Where the later `before` has the earlier `exp`, the tokens between have
    /// expired by then, so that no other token is revoked.
    fn with(self, other: Self) -> Self {
        Self { before: self.before.max(other.before), exp: self.exp.max(other.exp) }
    }
}

/// Entries by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations([HashMap<Box<str>, Reach, Seeded>; 5]);

/// What a verified token has that an entry can name.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `sid`, for tokens of users.
    pub session: Option<&'a str>,
    /// `jti`.
    pub token: &'a str,
    /// `sub`.
    pub subject: &'a str,
    /// `client_id`.
    pub client: &'a str,
    /// The key that signed it.
    pub key: &'a str,
    /// `iat`.
    pub issued_at: i64,
}

impl Revocations {
    /// Adds an entry.
    pub fn insert(&mut self, entry: Entry<'_>) {
        let reach = Reach { before: entry.before, exp: entry.exp };
        self.widen(entry.kind, entry.name.into(), reach);
    }

    #[allow(clippy::indexing_slicing, reason = "one map for each kind")]
    fn widen(&mut self, kind: Kind, name: Box<str>, reach: Reach) {
        let names = &mut self.0[kind as usize];
        if names.len() == names.capacity() {
            // Fourfold, since moving the held entries costs as much as adding them.
            names.reserve(names.len() * 3);
        }
        match names.entry(name) {
            Slot::Occupied(mut held) => *held.get_mut() = held.get().with(reach),
            Slot::Vacant(free) => {
                free.insert(reach);
            }
        }
    }

    /// Whether some entry ends the token of `names`.
    #[allow(clippy::indexing_slicing, reason = "one map for each kind")]
    pub fn end(&self, names: &Names<'_>) -> bool {
        let ends = |kind: Kind, name: &str| {
            let reach = self.0[kind as usize].get(name);
            reach.is_some_and(|reach| names.issued_at < reach.before)
        };
        names.session.is_some_and(|session| ends(Kind::Session, session))
            || ends(Kind::Token, names.token)
            || ends(Kind::Subject, names.subject)
            || ends(Kind::Client, names.client)
            || ends(Kind::Key, names.key)
    }

    /// Whether what this key signs is no longer good.
    #[allow(clippy::indexing_slicing, reason = "one map for each kind")]
    pub fn end_key(&self, kid: &str) -> bool {
        self.0[Kind::Key as usize].contains_key(kid)
    }

    /// What of `self` is not in `held` yet.
    #[allow(clippy::indexing_slicing, reason = "one map for each kind")]
    pub fn missing_from(self, held: &Self) -> Self {
        let mut missing = Self::default();
        for (kind, names) in Kind::ALL.into_iter().zip(self.0) {
            let held = &held.0[kind as usize];
            let new = |name: &str, reach: Reach| {
                held.get(name).is_none_or(|known| known.with(reach) != *known)
            };
            missing.0[kind as usize]
                .extend(names.into_iter().filter(|(name, reach)| new(name, *reach)));
        }
        missing
    }

    /// Adds all of `other`.
    pub fn absorb(&mut self, other: Self) {
        for (kind, names) in Kind::ALL.into_iter().zip(other.0) {
            for (name, reach) in names {
                self.widen(kind, name, reach);
            }
        }
    }

    /// The names whose entries concern no token any longer. Keys are not among them: who stole one
    /// dates tokens as he likes, and a JWK Set that was fetched before may outlive the entry. There
    /// are few of them.
    #[allow(clippy::indexing_slicing, reason = "one map for each kind")]
    pub fn expired(&self, now: i64) -> Vec<(Kind, Box<str>)> {
        let of_kind = |kind: Kind| {
            let ended = self.0[kind as usize].iter().filter(move |(_, reach)| reach.exp <= now);
            ended.map(move |(name, _)| (kind, name.clone()))
        };
        let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Key);
        kinds.flat_map(of_kind).collect()
    }

    /// Forgets these names.
    #[allow(clippy::indexing_slicing, reason = "one map for each kind")]
    pub fn remove(&mut self, names: &[(Kind, Box<str>)]) {
        for (kind, name) in names {
            self.0[*kind as usize].remove(name);
        }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, name: &str, before: i64, exp: i64) -> Entry<'_> {
        Entry { kind, name: name.into(), before, exp }
    }

    fn set(entries: &[(Kind, &str, i64, i64)]) -> Revocations {
        let mut set = Revocations::default();
        for (kind, name, before, exp) in entries {
            set.insert(entry(*kind, name, *before, *exp));
        }
        set
    }

    const TOKEN: Names<'_> = Names {
        session: Some("s"),
        token: "t",
        subject: "u",
        client: "c",
        key: "k",
        issued_at: 100,
    };

    #[test]
    fn each_kind_ends_its_tokens_and_no_others() {
        for (kind, name) in [
            (Kind::Session, "s"),
            (Kind::Token, "t"),
            (Kind::Key, "k"),
            (Kind::Subject, "u"),
            (Kind::Client, "c"),
        ] {
            let before = if kind.has_before() { 101 } else { i64::MAX };
            assert!(set(&[(kind, name, before, 1000)]).end(&TOKEN), "{kind:?}");
            assert!(!set(&[(kind, "other", before, 1000)]).end(&TOKEN), "{kind:?}");
            // A name of one kind is none of another.
            let others = ["s", "t", "u", "c", "k"].into_iter().filter(|other| *other != name);
            assert!(others.into_iter().all(|other| !set(&[(kind, other, before, 1)]).end(&TOKEN)));
            let at_once = set(&[(kind, name, 100, 1000)]);
            assert!(!kind.has_before() || !at_once.end(&TOKEN), "issued at that very second");
        }
        assert!(!Revocations::default().end(&TOKEN));
        let of_client = Names { session: None, ..TOKEN };
        assert!(!set(&[(Kind::Session, "s", i64::MAX, 1)]).end(&of_client));
    }

    #[test]
    fn entries_for_one_name_widen_each_other() {
        let both = set(&[(Kind::Subject, "u", 100, 1000), (Kind::Subject, "u", 50, 2000)]);
        assert_eq!(both, set(&[(Kind::Subject, "u", 100, 2000)]));
    }

    #[test]
    fn only_what_is_missing_has_to_be_added() {
        let held = set(&[(Kind::Token, "a", i64::MAX, 10), (Kind::Subject, "u", 5, 10)]);
        let new = set(&[
            (Kind::Token, "a", i64::MAX, 10),
            (Kind::Token, "b", i64::MAX, 10),
            (Kind::Subject, "u", 6, 9),
        ]);
        let missing = new.clone().missing_from(&held);
        assert_eq!(missing.len(), 2);
        let (mut by_parts, mut whole) = (held.clone(), held);
        by_parts.absorb(missing);
        whole.absorb(new);
        assert_eq!(by_parts, whole);
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let mut held = set(&[(Kind::Token, "a", i64::MAX, 10), (Kind::Session, "b", i64::MAX, 11)]);
        let expired = held.expired(10);
        held.remove(&expired);
        assert_eq!(held, set(&[(Kind::Session, "b", i64::MAX, 11)]));
        assert!(held.expired(10).is_empty());
    }

    #[test]
    fn a_revoked_key_is_never_forgotten() {
        let held = set(&[(Kind::Key, "k", i64::MAX, 10)]);
        assert!(held.expired(i64::MAX).is_empty());
    }
}
