//! Changes of roles, decided from all roles, as pure functions.

use super::name::ADMIN_ROLE;
use std::fmt;

use super::{BUILT_IN_WORDS, Catalogue, EVERYBODYS_WORDS, MAX_ROLES, Revision, Role};
use crate::base::time::Timestamp;
use crate::domain::tokens::Scope;

/// A requested change of a role.
#[derive(Clone, Debug)]
pub struct Change {
    /// The role.
    pub name: String,
    /// The action.
    pub what: What,
    /// The expected state of the role.
    pub expect: Expect,
    /// Whether the change may also take the role from users, or open words of it to all users.
    pub force: bool,
}

/// The action on a role.
#[derive(Clone, Debug)]
pub enum What {
    /// Defines the role, or changes the given members.
    Put {
        /// The words that it carries.
        scope: Option<Scope>,
        /// Its description; `Some(None)` removes it.
        description: Option<Option<String>>,
    },
    /// Removes the role, also from the users who have it.
    Remove,
}

/// The state of a role that a change expects.
#[derive(Clone, Debug)]
pub enum Expect {
    /// No role has this name.
    Absent,
    /// The role exists, in any state.
    Present,
    /// The role is in one of these states.
    OneOf(Vec<Revision>),
}

/// The change to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new role.
    Create(Role),
    /// A changed role.
    Replace(Role),
    /// The removal of the role of this name.
    Delete(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub step: Step,
    /// Words that all users had and only users with a role have from now on.
    pub closes: Vec<String>,
    /// Words that all users have from now on.
    pub opens: Vec<String>,
    /// How many users lose a removed role, or get the words of a new one.
    pub holders: u64,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No role has this name.
    #[error("no role is named {0}")]
    Unknown(String),
    /// A role of this name exists already.
    #[error("the role {0} exists already")]
    Exists(String),
    /// The role is not in the expected state.
    #[error("the role {0} was changed concurrently: read it again and repeat the change")]
    Changed(String),
    /// The role is part of Signet.
    #[error(
        "the role {0} is part of Signet: it cannot be removed and always carries {words}",
        words = BUILT_IN_WORDS.join(" and ")
    )]
    BuiltIn(String),
    /// Every login needs the word.
    #[error("{0} is open to every user, and no role can carry it")]
    Everybodys(&'static str),
    /// The maximum number of roles exists.
    #[error("there can be at most {MAX_ROLES} roles")]
    Full,
    /// The change takes from users, or gives them more than is obvious, and was not forced.
    #[error("{0}: that has to be forced")]
    NotForced(Effects),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    pub holders: u64,
    /// Words of administration that these users would get; empty if they lose the role.
    pub gains: Vec<String>,
    pub opens: Vec<String>,
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holders > 0 {
            let users = if self.holders == 1 { "user has" } else { "users have" };
            write!(f, "{} {users} ", self.holders)?;
            match &self.gains[..] {
                [] => f.write_str("the role and would lose it")?,
                words => write!(f, "the name already and would hold {}", words.join(" "))?,
            }
        }
        if !self.opens.is_empty() {
            let and = if self.holders > 0 { ", and " } else { "" };
            let words = self.opens.join(" ");
            write!(f, "{and}no role would carry {words}, which opens it to every user")?;
        }
        Ok(())
    }
}

impl Change {
    /// Whether the change is allowed, with its effects. `roles` are all present roles; `holders` is
    /// the number of users who have the name of the role.
    pub fn decide(self, roles: &[Role], holders: u64, now: Timestamp) -> Result<Decision, Refusal> {
        let present = self.expected(roles, holders)?;
        let step = match self.what {
            What::Remove => Step::Delete(self.name),
            What::Put { scope, description } => {
                let role = match present {
                    Some(role) => Role {
                        scope: scope.unwrap_or_else(|| role.scope.clone()),
                        description: description.unwrap_or_else(|| role.description.clone()),
                        updated_at: now,
                        version: role.version + 1,
                        ..role.clone()
                    },
                    None => Role {
                        name: self.name,
                        scope: scope.unwrap_or_default(),
                        description: description.flatten(),
                        created_at: now,
                        updated_at: now,
                        version: 0,
                    },
                };
                if present.is_some() { Step::Replace(role) } else { Step::Create(role) }
            }
        };
        check(&step, roles)?;
        let after = after(&step, roles);
        let (before, after) = (Catalogue::new(roles), Catalogue::new(&after));
        let opens = newly(present, |word| !after.is_carried(word));
        let closes = newly(step.role(), |word| !before.is_carried(word));
        let administers = |word: &str| BUILT_IN_WORDS.contains(&word);
        let (concerned, gains) = match &step {
            Step::Create(role) => (holders, newly(Some(role), administers)),
            Step::Replace(_) => (0, Vec::new()),
            Step::Delete(_) => (holders, Vec::new()),
        };
        // Users who have the name of a new role get it implicitly, which matters if it administers.
        let takes_or_gives = concerned > 0 && (step.role().is_none() || !gains.is_empty());
        if !self.force && (takes_or_gives || !opens.is_empty()) {
            let holders = if takes_or_gives { concerned } else { 0 };
            return Err(Refusal::NotForced(Effects { holders, gains, opens }));
        }
        Ok(Decision { step, closes, opens, holders: concerned })
    }

    fn expected<'a>(&self, roles: &'a [Role], holders: u64) -> Result<Option<&'a Role>, Refusal> {
        let present = roles.iter().find(|role| role.name == self.name);
        match (present, &self.expect) {
            // Users may have a name that is not defined, or whose removal was interrupted. A
            // repeated removal may name the state that the role was in.
            (None, Expect::Present | Expect::OneOf(_))
                if holders > 0 && matches!(self.what, What::Remove) =>
            {
                Ok(None)
            }
            (None, Expect::Absent) | (Some(_), Expect::Present) => Ok(present),
            (Some(role), Expect::OneOf(states)) if states.contains(&role.revision()) => Ok(present),
            (Some(_), Expect::OneOf(_)) => Err(Refusal::Changed(self.name.clone())),
            (Some(_), Expect::Absent) => Err(Refusal::Exists(self.name.clone())),
            (None, _) => Err(Refusal::Unknown(self.name.clone())),
        }
    }
}

impl Step {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Create(role) | Self::Replace(role) => &role.name,
            Self::Delete(name) => name,
        }
    }

    /// The role after the change; `None` if it is removed.
    pub fn role(&self) -> Option<&Role> {
        match self {
            Self::Create(role) | Self::Replace(role) => Some(role),
            Self::Delete(_) => None,
        }
    }
}

fn check(step: &Step, roles: &[Role]) -> Result<(), Refusal> {
    let keeps = |role: &Role| BUILT_IN_WORDS.iter().all(|word| role.scope.contains(word));
    if step.name() == ADMIN_ROLE && !step.role().is_some_and(keeps) {
        return Err(Refusal::BuiltIn(ADMIN_ROLE.into()));
    }
    let carries = |word: &&str| step.role().is_some_and(|role| role.scope.contains(word));
    if let Some(word) = EVERYBODYS_WORDS.into_iter().find(|word| carries(word)) {
        return Err(Refusal::Everybodys(word));
    }
    if matches!(step, Step::Create(_)) && roles.len() >= MAX_ROLES {
        return Err(Refusal::Full);
    }
    Ok(())
}

fn after(step: &Step, roles: &[Role]) -> Vec<Role> {
    let others = roles.iter().filter(|role| role.name != step.name());
    others.chain(step.role()).cloned().collect()
}

fn newly(role: Option<&Role>, is_new: impl Fn(&str) -> bool) -> Vec<String> {
    let words = role.map_or(&[][..], |role| role.scope.words());
    words.iter().filter(|word| is_new(word)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::role;
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(200);

    fn roles() -> Vec<Role> {
        vec![
            role("admin", "signet:admin users:read"),
            role("clerk", "orders:read orders:write"),
            role("auditor", "orders:read"),
        ]
    }

    fn put(name: &str, scope: &str, expect: Expect) -> Change {
        let what = What::Put { scope: Scope::parse(scope).ok(), description: None };
        Change { name: name.into(), what, expect, force: false }
    }

    fn remove(name: &str) -> Change {
        Change { what: What::Remove, ..put(name, "", Expect::Present) }
    }

    #[test]
    fn what_is_expected_must_be_there() {
        let (old, other) = (role("", "").revision(), Role { version: 1, ..role("", "") });
        for (name, expect, good) in [
            ("clerk", Expect::Present, true),
            ("clerk", Expect::OneOf(vec![other.revision(), old]), true),
            ("clerk", Expect::OneOf(vec![other.revision()]), false),
            ("clerk", Expect::OneOf(Vec::new()), false),
            ("clerk", Expect::Absent, false),
            ("new", Expect::Absent, true),
            ("new", Expect::Present, false),
            ("new", Expect::OneOf(vec![old]), false),
        ] {
            let change = put(name, "orders:read orders:write", expect.clone());
            assert_eq!(change.decide(&roles(), 0, NOW).is_ok(), good, "{name} {expect:?}");
        }
    }

    #[test]
    fn words_that_open_need_force_and_words_that_close_are_reported() {
        let decided = |change: Change, holders| change.decide(&roles(), holders, NOW);
        // Another role still carries it.
        assert!(decided(remove("auditor"), 0).unwrap().opens.is_empty());
        let effects = |change: Change, holders| match decided(change, holders).unwrap_err() {
            Refusal::NotForced(effects) => effects.to_string(),
            other => panic!("{other}"),
        };
        let held = "1 user has the role and would lose it";
        assert_eq!(effects(remove("auditor"), 1), held);
        let opens = "no role would carry orders:write, which opens it to every user";
        assert_eq!(effects(remove("clerk"), 1), format!("{held}, and {opens}"));
        assert_eq!(effects(put("clerk", "", Expect::Present), 0), opens);
        let forced = decided(Change { force: true, ..remove("clerk") }, 3).unwrap();
        assert_eq!((forced.step, forced.opens.len()), (Step::Delete("clerk".into()), 1));

        let new = decided(put("packer", "orders:read parcels", Expect::Absent), 0).unwrap();
        assert_eq!(new.closes, ["parcels"]);
        let Step::Create(role) = new.step else { panic!("it is new") };
        assert_eq!((role.created_at, role.version), (NOW, 0));
    }

    #[test]
    fn a_name_that_only_users_have_can_be_taken_from_them() {
        let decided =
            |force, holders| Change { force, ..remove("undefined") }.decide(&roles(), holders, NOW);
        assert!(matches!(decided(true, 0), Err(Refusal::Unknown(_))));
        assert!(matches!(decided(false, 2), Err(Refusal::NotForced(_))));
        assert_eq!(decided(true, 2).unwrap().step, Step::Delete("undefined".into()));
        // By the state it was in before a removal that was cut off.
        let read = Expect::OneOf(vec![role("", "").revision()]);
        let again = |change: Change, holders| {
            Change { expect: read.clone(), force: true, ..change }.decide(&roles(), holders, NOW)
        };
        assert!(again(remove("undefined"), 1).is_ok());
        assert!(matches!(again(remove("undefined"), 0), Err(Refusal::Unknown(_))));
        let put = put("undefined", "a", Expect::Present);
        assert!(matches!(again(put, 1), Err(Refusal::Unknown(_))));
    }

    #[test]
    fn who_has_the_name_of_a_new_role_becomes_an_administrator_only_by_force() {
        let new = |scope, force, holders| {
            let new = Change { force, ..put("operator", scope, Expect::Absent) };
            new.decide(&roles(), holders, NOW)
        };
        let Err(Refusal::NotForced(effects)) = new("a signet:admin", false, 2) else { panic!() };
        let printed = "2 users have the name already and would hold signet:admin";
        assert_eq!(effects.to_string(), printed);
        assert!(matches!(new("users:read", false, 1), Err(Refusal::NotForced(_))));
        assert_eq!(new("signet:admin", true, 2).unwrap().holders, 2);
        assert_eq!(new("signet:admin", false, 0).unwrap().holders, 0);
        assert_eq!(new("orders:read", false, 2).unwrap().holders, 2);
    }

    #[test]
    fn what_every_login_needs_is_closed_by_no_role() {
        for word in ["openid", "profile", "email"] {
            for (name, expect) in [("new", Expect::Absent), ("clerk", Expect::Present)] {
                let change = Change { force: true, ..put(name, &format!("a {word}"), expect) };
                let refused = change.decide(&roles(), 0, NOW).unwrap_err();
                assert_eq!(refused, Refusal::Everybodys(word));
            }
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let what = What::Put { scope: None, description: Some(None) };
        let change = Change { what, ..put("clerk", "", Expect::Present) };
        let Ok(Decision { step: Step::Replace(role), .. }) = change.decide(&roles(), 0, NOW) else {
            panic!("it is there")
        };
        assert_eq!(role.scope.to_string(), "orders:read orders:write");
        assert_eq!((role.description, role.version), (None, 1));
        assert_eq!((role.created_at.as_unix(), role.updated_at), (100, NOW));
    }

    #[test]
    fn the_built_in_role_keeps_its_words_whoever_forces() {
        let refused = |change: Change| {
            let change = Change { force: true, ..change };
            matches!(change.decide(&roles(), 0, NOW), Err(Refusal::BuiltIn(_)))
        };
        assert!(refused(remove("admin")));
        assert!(refused(put("admin", "", Expect::Present)));
        assert!(refused(put("admin", "signet:admin", Expect::Present)));
        // Also where its row is missing.
        let gone = Change { force: true, ..put("admin", "", Expect::Absent) };
        assert!(matches!(gone.decide(&[], 0, NOW), Err(Refusal::BuiltIn(_))));
        assert!(!refused(put("admin", "users:read more signet:admin", Expect::Present)));
    }

    #[test]
    fn there_are_only_so_many() {
        let mut many: Vec<_> = (0..MAX_ROLES).map(|n| role(&format!("r{n}"), "")).collect();
        let add = || put("one-more", "", Expect::Absent);
        assert_eq!(add().decide(&many, 0, NOW), Err(Refusal::Full));
        assert!(put("r1", "x", Expect::Present).decide(&many, 0, NOW).is_ok());
        many.pop();
        assert!(add().decide(&many, 0, NOW).is_ok());
    }
}
