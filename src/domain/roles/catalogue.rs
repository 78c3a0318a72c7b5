//! The effect of all roles together at one moment: which roles carry which words.

use super::name::ADMIN_ROLE;
use std::collections::{HashMap, HashSet};

use super::{BUILT_IN_WORDS, Role};

/// Each word that a role carries, with those roles.
#[derive(Debug)]
pub(crate) struct Catalogue(HashMap<String, HashSet<String>>);

impl Catalogue {
    /// The catalogue of `roles`, always with the words of the built-in role.
    pub(crate) fn new(roles: &[Role]) -> Self {
        let mut carried: HashMap<String, HashSet<String>> = HashMap::new();
        let words = |role: &Role| {
            let name = role.name.clone();
            role.scope.words().to_vec().into_iter().map(move |word| (word, name.clone()))
        };
        let built_in = BUILT_IN_WORDS.map(|word| (word.to_owned(), ADMIN_ROLE.to_owned()));
        for (word, role) in roles.iter().flat_map(words).chain(built_in) {
            carried.entry(word).or_default().insert(role);
        }
        Self(carried)
    }

    /// Whether a role carries `word`, so that only some users have it.
    pub(crate) fn is_carried(&self, word: &str) -> bool {
        self.0.contains_key(word)
    }

    /// Whether a user with `roles` has `word`: by one of them, or since no role carries it.
    pub(crate) fn holds(&self, roles: &[String], word: &str) -> bool {
        let carriers = self.0.get(word);
        carriers.is_none_or(|carriers| roles.iter().any(|role| carriers.contains(role)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::role;
    use super::*;

    #[test]
    fn a_carried_word_is_held_by_role_and_any_other_by_everybody() {
        let catalogue = Catalogue::new(&[
            role("clerk", "orders:read orders:write"),
            role("auditor", "orders:read"),
            role("operator", "signet:admin"),
            role("idle", ""),
        ]);
        for (roles, word, held) in [
            (&[][..], "profile", true),
            (&["clerk"], "profile", true),
            (&["undefined"], "profile", true),
            (&[], "orders:read", false),
            (&["clerk"], "orders:read", true),
            (&["auditor"], "orders:read", true),
            (&["auditor"], "orders:write", false),
            (&["auditor", "clerk"], "orders:write", true),
            (&["idle", "undefined"], "orders:read", false),
            // Words and names are compared as they are written.
            (&["Clerk"], "orders:read", false),
            (&["clerk"], "Orders:read", true),
            (&[], "signet:admin", false),
            (&["clerk"], "signet:admin", false),
            (&["admin"], "signet:admin", true),
            (&["operator"], "signet:admin", true),
            (&["operator"], "users:read", false),
            (&["admin"], "users:read", true),
        ] {
            let roles: Vec<_> = roles.iter().map(|role| (*role).to_owned()).collect();
            assert_eq!(catalogue.holds(&roles, word), held, "{roles:?} {word}");
        }
    }

    #[test]
    fn the_words_of_administration_are_never_open() {
        for roles in [&[][..], &[role("admin", "")]] {
            let catalogue = Catalogue::new(roles);
            for word in BUILT_IN_WORDS {
                assert!(catalogue.is_carried(word) && !catalogue.holds(&[], word));
                assert!(catalogue.holds(&["admin".into()], word));
            }
        }
    }
}
