//! Many accounts from elsewhere, and all of them to elsewhere. An import is made of batches, each
//! committed whole and safe to repeat, so that what was cut off is taken up by running it again; the
//! trail says that it began and what came of it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Accounts;
use crate::audit::{By, Event, Kind};
use crate::storage::StorageError;
use crate::time::Timestamp;
use crate::users::import::{Comparison, ImportedUser};
use crate::users::{PasswordPolicy, email, password};

/// Whoever was in the way of storing a user, and was not there any more when looked for.
const VANISHED: &str = "met an account that was just being removed: run the import again";

/// What became of one user of an import.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The account was made; in a dry run, it would have been.
    Created,
    /// It is there already, just so.
    Present,
    /// It is there already, with another password by now.
    PresentWithOtherPassword,
    /// It is not: an account that is there is in its way. A sentence for people.
    Refused(String),
}

/// What became of a batch.
pub struct Imported {
    /// Of each user, in order.
    pub outcomes: Vec<Outcome>,
    /// How long the database was written to.
    pub wrote_for: Duration,
}

impl Accounts {
    /// Makes those of `batch` that are not there, all or nothing; what became of each, in order.
    /// Who has no password gets a hash that takes as long to check as one made under `policy`.
    pub async fn import(
        &self,
        batch: &[&ImportedUser],
        policy: &PasswordPolicy,
        now: Timestamp,
    ) -> Result<Imported, StorageError> {
        let mut wrote_for = Duration::ZERO;
        // Most of what is there already is found without a lock that others wait for.
        let mut outcomes = self.meet(batch).await?;
        let missing = open_positions(&outcomes);
        if !missing.is_empty() {
            let unmatchable = || password::unmatchable(policy, &self.random);
            let new_id = || self.random.uuid_at(now);
            let to_user = |position: &usize| batch[*position].to_user(new_id, unmatchable, now);
            let users: Vec<_> = missing.iter().map(to_user).collect();
            let start = Instant::now();
            let mut created = self.users.create_missing(&users).await?;
            wrote_for = start.elapsed();
            for (position, user) in missing.iter().zip(&users) {
                // Of two alike in one batch, the first was made and the second meets it.
                if created.remove(&(user.id, batch[*position].email.key().to_owned())) {
                    outcomes[*position] = Some(Outcome::Created);
                }
            }
        }
        let late = open_positions(&outcomes);
        let users: Vec<_> = late.iter().map(|position| batch[*position]).collect();
        for (position, met) in late.into_iter().zip(self.meet(&users).await?) {
            outcomes[position] = met;
        }
        let vanished = || Outcome::Refused(VANISHED.into());
        let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(vanished));
        Ok(Imported { outcomes: outcomes.collect(), wrote_for })
    }

    /// What [`import`](Self::import) would do, as far as the accounts that are there decide it.
    pub async fn try_import(&self, batch: &[&ImportedUser]) -> Result<Imported, StorageError> {
        let met = self.meet(batch).await?;
        let outcomes = met.into_iter().map(|met| met.unwrap_or(Outcome::Created)).collect();
        Ok(Imported { outcomes, wrote_for: Duration::ZERO })
    }

    /// What each of these users meets; `None` where nobody has the address or the id.
    async fn meet(&self, users: &[&ImportedUser]) -> Result<Vec<Option<Outcome>>, StorageError> {
        let keys: Vec<_> = users.iter().map(|user| user.email.key()).collect();
        let ids: Vec<_> = users.iter().filter_map(|user| user.id).collect();
        let found = self.users.find_any(&keys, &ids).await?;
        let by_key: HashMap<_, _> =
            found.iter().map(|user| (email::key_of(&user.email), user)).collect();
        let taken_ids: HashSet<_> = found.iter().map(|user| user.id).collect();
        let meet = |user: &&ImportedUser| match by_key.get(user.email.key()) {
            Some(stored) => Some(match user.compare(stored) {
                Comparison::Same => Outcome::Present,
                Comparison::OtherPassword => Outcome::PresentWithOtherPassword,
                Comparison::Different(why) => Outcome::Refused(why),
            }),
            None if user.id.is_some_and(|id| taken_ids.contains(&id)) => {
                Some(Outcome::Refused("the id belongs to an account of another address".into()))
            }
            None => None,
        };
        Ok(users.iter().map(meet).collect())
    }

    /// Tells the trail that an import begins; `detail` says of what.
    pub async fn record_import_begun(&self, detail: String, by: By<'_>, now: Timestamp) {
        self.record_many(Kind::UsersImportBegun, detail, by, now).await;
    }

    /// Tells the trail what came of an import.
    pub async fn record_import(&self, detail: String, by: By<'_>, now: Timestamp) {
        self.record_many(Kind::UsersImported, detail, by, now).await;
    }

    /// Tells the trail that users are written out, before the first one is.
    pub async fn record_export(&self, detail: String, by: By<'_>, now: Timestamp) {
        self.record_many(Kind::UsersExported, detail, by, now).await;
    }

    async fn record_many(&self, kind: Kind, detail: String, by: By<'_>, now: Timestamp) {
        let By { actor, origin } = by;
        let detail = Some(detail);
        let event = Event { kind, actor, subject: None, client_id: None, detail, origin };
        self.audit.record(event, now).await;
    }
}

fn open_positions(outcomes: &[Option<Outcome>]) -> Vec<usize> {
    (0..outcomes.len()).filter(|position| outcomes[*position].is_none()).collect()
}
