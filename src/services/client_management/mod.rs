//! What is done to registered clients, by HTTP and at the command line alike: the step in
//! [`crate::domain::clients`], and the audit event that says who did it. Invariant: the bundled client goes
//! on to let administrators in, and no client takes its own right to administer from itself.

pub mod view;

use std::time::Duration;

use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Audit, By, Event, Kind};
use crate::domain::clients::registry::STALENESS;
use crate::domain::clients::{
    Client, ClientSecret, ClientStore, ClientType, FIRST_PARTY, GrantType,
};
use crate::domain::revocations::{Revocations, Revoked};
use crate::domain::tokens::{LEEWAY, scope};
use crate::storage::{Db, StorageError};

pub use view::ClientView;

/// Two secrets are for a change-over, not for good.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(90 * 86_400);
/// How long a secret stays valid beside its successor, where nothing else is said.
pub const USUAL_OVERLAP: Duration = Duration::from_secs(86_400);

/// Why something was not done to a client.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// Its name belongs to another.
    #[error("there is a client {0} already")]
    Taken(String),
    /// Somebody else was faster.
    #[error("the client was changed or removed meanwhile")]
    Stale,
    /// Whoever signs in at the documentation page, administrators among them, does so by it.
    #[error(
        "{FIRST_PARTY} is part of Signet: it cannot be removed or disabled, and keeps its grants \
         and the scope signet:admin"
    )]
    Bundled,
    /// Who did it could not undo it.
    #[error("a client cannot take its right to administer from itself: somebody else has to")]
    Oneself,
    /// It has none.
    #[error("{0} is a public client: it has no secret")]
    NoSecret(String),
    /// Tokens for it administer Signet.
    #[error(
        "{0} is the audience of the tokens that administer Signet, which a scope word such as \
         signet:admin brings: no client is registered for it"
    )]
    AdminAudience(String),
    /// Two secrets for too long.
    #[error("the present secret can stay valid for at most 90 days")]
    Overlap,
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Keeps the register of clients. Cheap to clone.
#[derive(Clone)]
pub struct Registrar {
    db: Db,
    clients: ClientStore,
    revocations: Revocations,
    audit: Audit,
    random: Random,
    admin_audience: String,
}

/// How far ahead the tokens of a client that goes are cut off: instances that have not heard of it issue
/// some for a moment more, and issue is told in whole seconds.
const CUT_OFF_AHEAD: Duration = STALENESS.saturating_add(Duration::from_secs(1));

/// Waits until every instance has taken over what was done to clients.
pub async fn taken_over() {
    tokio::time::sleep(STALENESS).await;
}

/// The same after one was disabled or removed: until the tokens that it gets when it is enabled again, or
/// registered anew, are none of those that are cut off.
pub async fn cut_off() {
    tokio::time::sleep(CUT_OFF_AHEAD).await;
}

impl Registrar {
    /// The registrar of these clients, which are in `db`. No client is registered for
    /// `admin_audience`.
    pub fn new(
        db: Db,
        clients: ClientStore,
        revocations: Revocations,
        audit: Audit,
        random: Random,
        admin_audience: String,
    ) -> Self {
        Self { db, clients, revocations, audit, random, admin_audience }
    }

    /// Registers `client`, which has been checked. A confidential one gets a secret, which is in the
    /// answer and nowhere else.
    pub async fn register(
        &self,
        mut client: Client,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<(Client, Option<Secret<String>>), RegistrarError> {
        self.check_audiences(&client.audiences)?;
        let mut shown = None;
        if client.client_type == ClientType::Confidential {
            let (text, kept) = Client::new_secret(&self.random, now);
            client.secrets.push(kept);
            shown = Some(text);
        }
        self.observe_token_life(&client, now).await?;
        match self.clients.create(&client).await {
            Err(StorageError::Conflict) => return Err(RegistrarError::Taken(client.client_id)),
            result => result?,
        }
        self.tell(Kind::ClientCreated, &client, None, &by, now).await;
        Ok((client, shown))
    }

    /// Puts `next`, which has been checked, in the place of `client`, which is as it was read;
    /// returns it as it is then.
    pub async fn change(
        &self,
        client: &Client,
        mut next: Client,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<Client, RegistrarError> {
        let differences = differences(client, &next);
        if differences.is_empty() {
            return Ok(next);
        }
        // An earlier version may have registered it: that changes nothing, and can be taken away.
        if next.audiences != client.audiences {
            self.check_audiences(&next.audiences)?;
        }
        let is_lost = |right: fn(&Client) -> bool| right(client) && !right(&next);
        if client.client_id == FIRST_PARTY && is_lost(serves_administrators) {
            return Err(RegistrarError::Bundled);
        }
        if is_oneself(client, &by) && is_lost(may_administer) {
            return Err(RegistrarError::Oneself);
        }
        self.observe_token_life(&next, now).await?;
        let shuts = client.disabled_at.is_none() && next.disabled_at.is_some();
        let done = self.db.write(async |transaction| {
            let done = self.clients.replace_in(transaction, client, &next, now).await?;
            if done && shuts {
                let revoked = all_tokens(client, now);
                self.revocations.record_in(transaction, revoked, now).await?;
            }
            Ok(done)
        });
        if !done.await? {
            return Err(RegistrarError::Stale);
        }
        self.revocations.announce();
        next.version += 1;
        for (kind, detail) in differences {
            self.tell(kind, client, detail, &by, now).await;
        }
        Ok(next)
    }

    /// Makes a new secret for `client`, and lets the present one end after `overlap`. Returns the
    /// client as it is then, and the secret.
    pub async fn rotate_secret(
        &self,
        client: &Client,
        overlap: Duration,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<(Client, Secret<String>), RegistrarError> {
        if overlap > LONGEST_OVERLAP {
            return Err(RegistrarError::Overlap);
        }
        if client.client_type == ClientType::Public {
            return Err(RegistrarError::NoSecret(client.client_id.clone()));
        }
        let (text, kept) = Client::new_secret(&self.random, now);
        let until = now.plus(overlap);
        if !self.clients.add_secret(&client.client_id, &kept, until, now).await? {
            return Err(RegistrarError::Stale);
        }
        let detail = format!("the present one ends at {until}");
        self.tell(Kind::ClientSecretRotated, client, Some(detail), &by, now).await;
        let secrets = changed_over(client, kept, until, now);
        Ok((Client { secrets, version: client.version + 1, ..client.clone() }, text))
    }

    /// Removes `client`, which is as it was read, with its secrets.
    pub async fn remove(
        &self,
        client: &Client,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<(), RegistrarError> {
        if client.client_id == FIRST_PARTY {
            return Err(RegistrarError::Bundled);
        }
        if is_oneself(client, &by) {
            return Err(RegistrarError::Oneself);
        }
        let done = self.db.write(async |transaction| {
            let done = self.clients.remove_in(transaction, client).await?;
            if done {
                let revoked = all_tokens(client, now);
                self.revocations.record_in(transaction, revoked, now).await?;
            }
            Ok(done)
        });
        if !done.await? {
            return Err(RegistrarError::Stale);
        }
        self.revocations.announce();
        self.tell(Kind::ClientDeleted, client, None, &by, now).await;
        Ok(())
    }

    fn check_audiences(&self, audiences: &[String]) -> Result<(), RegistrarError> {
        match audiences.contains(&self.admin_audience) {
            true => Err(RegistrarError::AdminAudience(self.admin_audience.clone())),
            false => Ok(()),
        }
    }

    /// Before the first token that lives longer can be issued.
    async fn observe_token_life(
        &self,
        client: &Client,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        match client.access_token_lifetime {
            Some(life) => self.revocations.observe_token_life(life + LEEWAY, now).await,
            None => Ok(()),
        }
    }

    async fn tell(
        &self,
        kind: Kind,
        client: &Client,
        detail: Option<String>,
        by: &By<'_>,
        now: Timestamp,
    ) {
        let event = Event {
            kind,
            actor: by.actor.clone(),
            subject: Some(client.client_id.clone()),
            client_id: Some(&client.client_id),
            detail,
            origin: by.origin,
        };
        self.audit.record(event, now).await;
    }
}

/// All tokens of a client that goes.
fn all_tokens(client: &Client, now: Timestamp) -> Revoked {
    Revoked::Client { client_id: client.client_id.clone(), before: now.plus(CUT_OFF_AHEAD) }
}

/// The secrets as they are after the change: the one that was newest, where it overlaps, and the
/// new one.
fn changed_over(
    client: &Client,
    new: ClientSecret,
    until: Timestamp,
    now: Timestamp,
) -> Vec<ClientSecret> {
    let present = client.secrets.iter().filter(|old| old.expires_at.is_none() && until > now);
    let ending = present.map(|old| ClientSecret { expires_at: Some(until), ..old.clone() });
    ending.chain([new]).collect()
}

fn serves_administrators(client: &Client) -> bool {
    client.disabled_at.is_none()
        && [GrantType::Password, GrantType::RefreshToken].iter().all(|g| client.may_use(*g))
        && client.scope.contains(scope::ADMIN)
}

fn may_administer(client: &Client) -> bool {
    client.disabled_at.is_none()
        && client.may_use(GrantType::ClientCredentials)
        && client.scope.contains(scope::ADMIN)
}

fn is_oneself(client: &Client, by: &By<'_>) -> bool {
    matches!(&by.actor, Actor::Client(id) if *id == client.client_id)
}

/// The events that tell how `next` differs, with the names of the fields.
fn differences(client: &Client, next: &Client) -> Vec<(Kind, Option<String>)> {
    let mut events = Vec::new();
    if client.disabled_at.is_some() != next.disabled_at.is_some() {
        let disabled = next.disabled_at.is_some();
        events.push((if disabled { Kind::ClientDisabled } else { Kind::ClientEnabled }, None));
    }
    let scopes = format!("scopes from '{}' to '{}'", client.scope, next.scope);
    let fields: Vec<&str> = [
        ("name", client.name != next.name),
        ("grants", client.grant_types != next.grant_types),
        (&scopes, client.scope != next.scope),
        ("audiences", client.audiences != next.audiences),
        ("claims", client.claims != next.claims),
        ("access_token_lifetime", client.access_token_lifetime != next.access_token_lifetime),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect();
    if !fields.is_empty() {
        events.push((Kind::ClientChanged, Some(fields.join(", "))));
    }
    events
}
