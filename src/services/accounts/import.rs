//! Many accounts from elsewhere, and all of them to elsewhere. An import is made of batches, each
//! committed whole and safe to repeat, so that what was cut off is taken up by running it again; the
//! trail says that it began and what came of it.

use crate::domain::credentials::{PasswordPolicy, password};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Accounts;
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::users::import::{Comparison, ImportedUser};
use crate::domain::users::{User, email};
use crate::storage::Stored;

/// The reason where an account was in the way of storing a user, and was gone when it was read.
const VANISHED: &str = "met an account that was just being removed: run the import again";

/// Why a user is refused whose id an account of another address has.
pub const ID_TAKEN: &str = "the id belongs to an account of another address";

/// The account that a user of an import meets among those that exist.
#[derive(Debug, PartialEq, Eq)]
pub enum Met {
    /// No account has the address or the id.
    NoAccount,
    /// An account has the address.
    Account(Comparison),
    /// An account of another address has the id.
    OtherAddress,
}

impl Met {
    /// What becomes of the user; `None` where no account is in the way.
    pub fn outcome(self) -> Option<Outcome> {
        Some(match self {
            Self::NoAccount => return None,
            Self::Account(Comparison::Same) => Outcome::Present,
            Self::Account(Comparison::OtherPassword) => Outcome::PresentWithOtherPassword,
            Self::Account(Comparison::Different(why)) => Outcome::Refused(why),
            Self::OtherAddress => Outcome::Refused(ID_TAKEN.into()),
        })
    }
}

/// The result for one user of an import.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The account was made; in a dry run, it would have been.
    Created,
    /// The account exists already, and is the same.
    Present,
    /// The account exists already, with another password by now.
    PresentWithOtherPassword,
    /// The account was not made: another one is in its way. A sentence for people.
    Refused(String),
}

/// The result of a batch.
pub struct Imported {
    /// Of each user, in order.
    pub outcomes: Vec<Outcome>,
    /// How long the database was written to.
    pub wrote_for: Duration,
}

impl Accounts {
    /// The account that each of these users meets, found without a lock that others wait for.
    pub async fn meet(&self, users: &[&ImportedUser]) -> Stored<Vec<Met>> {
        let keys: Vec<_> =
            users.iter().map(|user| email::stored_keys(user.email.address())).collect();
        let each: Vec<_> = keys.iter().flatten().map(String::as_str).collect();
        let ids: Vec<_> = users.iter().filter_map(|user| user.id).collect();
        let found = self.users.find_any(&each, &ids).await?;
        let by_key: HashMap<_, _> =
            found.iter().map(|user| (user.email_key.as_str(), user)).collect();
        let taken_ids: HashSet<_> = found.iter().map(|user| user.id).collect();
        let holder = |keys: &[String]| keys.iter().find_map(|key| by_key.get(key.as_str()));
        let meet = |(user, keys): (&&ImportedUser, &Vec<String>)| match holder(keys) {
            Some(stored) => Met::Account(user.compare(stored)),
            None if user.id.is_some_and(|id| taken_ids.contains(&id)) => Met::OtherAddress,
            None => Met::NoAccount,
        };
        Ok(users.iter().zip(&keys).map(meet).collect())
    }

    /// Makes those of `batch` that are not there after all, all or nothing; what became of each, in
    /// order. A user without a password gets a hash that takes as long to check as one made under
    /// `policy`.
    pub async fn import(
        &self,
        batch: &[&ImportedUser],
        policy: &PasswordPolicy,
        now: Timestamp,
    ) -> Stored<Imported> {
        let unmatchable = || password::unmatchable(policy, &self.random);
        let new_id = || self.random.uuid_at(now);
        let to_user = |user: &&ImportedUser| user.to_user(new_id, unmatchable, now);
        let users: Vec<_> = batch.iter().map(to_user).collect();
        let start = Instant::now();
        let mut created = self.users.create_missing(&users).await?;
        let wrote_for = start.elapsed();
        // Of two alike in one batch, the first was made and the second meets it.
        let mut is_created = |(user, imported): (&User, &&ImportedUser)| {
            created.remove(&(user.id, imported.email.key().to_owned()))
        };
        let created: Vec<_> = users.iter().zip(batch).map(&mut is_created).collect();
        let late = batch.iter().zip(&created).filter(|(_, created)| !**created);
        let late: Vec<_> = late.map(|(user, _)| *user).collect();
        let mut met = self.meet(&late).await?.into_iter();
        let mut outcome = |created: bool| {
            if created {
                return Outcome::Created;
            }
            let met = met.next().and_then(Met::outcome);
            met.unwrap_or_else(|| Outcome::Refused(VANISHED.into()))
        };
        let outcomes = created.into_iter().map(&mut outcome).collect();
        Ok(Imported { outcomes, wrote_for })
    }

    /// Records that an import begins or what came of it, or that users are exported, before the first
    /// one is written.
    pub async fn record_transfer(&self, kind: Kind, detail: String, by: &Initiator) {
        self.audit.record(Event::new(kind, by).detail(detail)).await;
    }
}
