//! What the lines of one file claim against each other. The first line of an address has it, also
//! where that line is refused: otherwise the next one would get the account, and its roles. An id
//! belongs to one account. Kept as hashes, since a file can have millions of lines.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use super::sink::Entry;
use crate::domain::users::Email;
use crate::domain::users::import::ImportedUser;
use crate::services::accounts::import::{ID_TAKEN, Met, Outcome};

/// How many addresses of refused lines are remembered, in some 20 MB.
const MAX_REFUSED: usize = 900_000;

#[derive(Default)]
pub(super) struct Claims {
    place: &'static str,
    dry_run: bool,
    hasher: RandomState,
    /// Addresses and UUIDs of those who are new: in a dry run all of the file's, otherwise one
    /// batch's, for the database knows those before.
    taken: HashSet<u64>,
    imported_ids: HashSet<u64>,
    knows_stored_ids: bool,
    /// Addresses of refused lines that no account has, with the first such place.
    refused: HashMap<u64, u64>,
}

impl Claims {
    pub(super) fn new(place: &'static str, dry_run: bool) -> Self {
        Self { place, dry_run, ..Self::default() }
    }

    /// What a batch claims is looked for in the database by those after it.
    pub(super) fn end_batch(&mut self) {
        if !self.dry_run {
            self.taken.clear();
        }
    }

    /// Whether the stored imported ids matter for a user who meets `met`, and are not loaded yet.
    pub(super) fn wants_stored_ids(&self, user: &ImportedUser, met: &Met) -> bool {
        !self.knows_stored_ids && *met == Met::NoAccount && own_id(user).is_some()
    }

    pub(super) fn learn_ids(&mut self, ids: impl Iterator<Item = String>) {
        self.imported_ids.extend(ids.map(|id| self.hasher.hash_one(id.as_str())));
    }

    pub(super) fn end_stored_ids(&mut self) {
        self.knows_stored_ids = true;
    }

    pub(super) fn refuse(&mut self, entry: &Entry) {
        if let Ok(email) = Email::parse(&entry.email) {
            self.reserve(self.hash("address", email.key()), entry.place);
        }
    }

    /// What becomes of the user at `place`, who meets `met`; `None` where the account is to be made.
    pub(super) fn decide(&mut self, user: &ImportedUser, place: u64, met: Met) -> Option<Outcome> {
        let address = self.hash("address", user.email.key());
        match met {
            Met::NoAccount => {}
            Met::OtherAddress => {
                self.reserve(address, place);
                return met.outcome();
            }
            Met::Account(_) => return met.outcome(),
        }
        let refused = |why: String| Some(Outcome::Refused(why));
        if let Some(first) = self.refused.get(&address) {
            return refused(format!("the address is that of {} {first}, refused", self.place));
        }
        if self.refused.len() >= MAX_REFUSED {
            return refused(format!(
                "no further users are imported after {MAX_REFUSED} refusals: correct those first"
            ));
        }
        if self.taken.contains(&address) {
            // Otherwise it is compared with the first one, once that is stored.
            let why = "the address came before in the file";
            return if self.dry_run { refused(why.into()) } else { None };
        }
        let uuid = user.id.map(|id| self.hash("id", id));
        let is_taken = uuid.is_some_and(|id| self.taken.contains(&id));
        let own_id = own_id(user).map(|id| self.hasher.hash_one(id));
        if is_taken || own_id.is_some_and(|id| self.imported_ids.contains(&id)) {
            self.reserve(address, place);
            return refused(ID_TAKEN.into());
        }
        self.taken.extend(uuid.into_iter().chain([address]));
        self.imported_ids.extend(user.imported_id().map(|id| self.hasher.hash_one(id)));
        None
    }

    fn reserve(&mut self, address: u64, place: u64) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.entry(address).or_insert(place);
        }
    }

    fn hash(&self, what: &str, value: impl Hash) -> u64 {
        self.hasher.hash_one((what, value))
    }
}

/// The imported id of a user who has no other id. Where two systems were brought together
/// an export has such ids twice, beside UUIDs.
fn own_id(user: &ImportedUser) -> Option<&str> {
    user.imported_id().filter(|_| user.id.is_none())
}

#[cfg(test)]
mod tests {
    use super::super::Fields;
    use super::super::rules::Rules;
    use super::*;
    use crate::base::time::Timestamp;

    fn named(name: &str) -> ImportedUser {
        let fields =
            Fields { email: Some(format!("{name}@example.com").into()), ..Fields::default() };
        let rules = Rules { now: Timestamp::from_unix(0), administrators: [].into() };
        fields.check(&rules, &mut Vec::new()).unwrap()
    }

    fn refused(email: &str, place: u64) -> Entry {
        let user = Err("is wrong".into());
        Entry { place, email: email.into(), user, warnings: Vec::new() }
    }

    #[test]
    fn beyond_what_is_remembered_nobody_new_is_taken() {
        let mut claims = Claims::new("line", false);
        (0..MAX_REFUSED as u64 - 1).for_each(|number| claims.reserve(number, number));
        assert_eq!(claims.decide(&named("ada"), 1, Met::NoAccount), None);
        claims.refuse(&refused("bob@example.com", 2));
        claims.refuse(&refused("eve@example.com", 3));
        assert_eq!(claims.refused.len(), MAX_REFUSED);
        let outcome = claims.decide(&named("eve"), 4, Met::NoAccount);
        assert!(
            matches!(outcome, Some(Outcome::Refused(why)) if why.contains("correct those first"))
        );
    }
}
