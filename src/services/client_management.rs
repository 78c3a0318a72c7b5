//! What is done to registered clients, by HTTP and at the command line alike: the step in
//! [`crate::domain::clients`], the audit event that says who did it, and the wait until every instance
//! has taken it over, so that a change is in force when it is acknowledged. Invariant: the bundled
//! client goes on to let administrators in, and no client takes its own right to administer from itself.

use std::time::Duration;

use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Audit, Event, Initiator, Kind};
use crate::domain::clients::registry::STALENESS;
use crate::domain::clients::{
    Client, ClientSecret, ClientStore, ClientType, FIRST_PARTY, GrantType,
};
use crate::domain::revocations::{Revocations, Revoked};
use crate::domain::tokens::{LEEWAY, scope};
use crate::storage::{Db, StorageError, Stored};

/// The longest time that a secret stays valid beside its successor: two secrets are for a change-over,
/// not for good.
pub(crate) const MAX_OVERLAP: Duration = Duration::from_secs(90 * 86_400);
/// The time that a secret stays valid beside its successor where none is given.
pub(crate) const DEFAULT_OVERLAP: Duration = Duration::from_secs(86_400);

/// How far ahead the tokens of a client that is disabled or deleted are cut off: instances that have not
/// taken it over issue some for a moment more, and times of issue are whole seconds.
const CUT_OFF_AHEAD: Duration = STALENESS.saturating_add(Duration::from_secs(1));

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientChangeError {
    #[error("there is no client {}", .0.escape_debug())]
    Unknown(String),
    #[error("there is a client {0} already")]
    Taken(String),
    #[error("the client was changed or removed since it was read: read it again")]
    Stale,
    /// Administrators and others sign in at the documentation page by the bundled client.
    #[error(
        "{FIRST_PARTY} is part of Signet: it cannot be removed or disabled, and keeps its grants \
         and the scope signet:admin"
    )]
    Bundled,
    #[error("a client cannot take its right to administer from itself: somebody else has to")]
    Oneself,
    #[error("{0} is a public client: it has no secret")]
    NoSecret(String),
    /// Tokens for this audience administer Signet.
    #[error(
        "{0} is the audience of the tokens that administer Signet, which a scope word such as \
         signet:admin brings: no client is registered for it"
    )]
    AdminAudience(String),
    #[error("the present secret can stay valid for at most 90 days")]
    Overlap,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The use cases of registered clients. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ClientManagement {
    pub(crate) db: Db,
    pub(crate) clients: ClientStore,
    pub(crate) revocations: Revocations,
    pub(crate) audit: Audit,
    pub(crate) random: Random,
    /// No client is registered for it.
    pub(crate) admin_audience: String,
}

impl ClientManagement {
    pub(crate) async fn load(&self, client_id: &str) -> Result<Client, ClientChangeError> {
        let found = self.clients.find(client_id).await?;
        found.ok_or_else(|| ClientChangeError::Unknown(client_id.to_owned()))
    }

    /// At most `limit` clients whose ids come after `after`, by id.
    pub(crate) async fn page(&self, after: &str, limit: i64) -> Stored<Vec<Client>> {
        self.clients.page(after, limit).await
    }

    /// Registers `client`, which has been checked. A confidential client gets a secret, which is
    /// returned and nowhere else.
    pub(crate) async fn create(
        &self,
        mut client: Client,
        by: &Initiator,
    ) -> Result<(Client, Option<Secret<String>>), ClientChangeError> {
        self.check_audiences(&client.audiences)?;
        let mut shown = None;
        if client.client_type == ClientType::Confidential {
            let (text, kept) = Client::new_secret(&self.random, by.at);
            client.secrets.push(kept);
            shown = Some(text);
        }
        self.observe_token_life(&client, by.at).await?;
        match self.clients.create(&client).await {
            Err(StorageError::Conflict) => return Err(ClientChangeError::Taken(client.client_id)),
            result => result?,
        }
        self.record(Kind::ClientCreated, &client, None, by).await;
        Ok((client, shown))
    }

    /// Puts `next`, which has been checked, in the place of `client`, which is as it was read. Returns
    /// the client as it is then.
    pub(crate) async fn update(
        &self,
        client: &Client,
        next: Client,
        by: &Initiator,
    ) -> Result<Client, ClientChangeError> {
        let updated = self.replace(client, next, by).await?;
        // A client that is enabled again, or registered anew, then gets tokens that are not cut off.
        let is_disabled = updated.disabled_at.is_some();
        tokio::time::sleep(if is_disabled { CUT_OFF_AHEAD } else { STALENESS }).await;
        Ok(updated)
    }

    async fn replace(
        &self,
        client: &Client,
        mut next: Client,
        by: &Initiator,
    ) -> Result<Client, ClientChangeError> {
        let differences = differences(client, &next);
        if differences.is_empty() {
            return Ok(next);
        }
        // An earlier version may have registered it: it stays, and can be taken away.
        if next.audiences != client.audiences {
            self.check_audiences(&next.audiences)?;
        }
        let is_lost = |right: fn(&Client) -> bool| right(client) && !right(&next);
        if client.client_id == FIRST_PARTY && is_lost(serves_administrators) {
            return Err(ClientChangeError::Bundled);
        }
        if is_oneself(client, by) && is_lost(may_administer) {
            return Err(ClientChangeError::Oneself);
        }
        self.observe_token_life(&next, by.at).await?;
        let is_shut = client.disabled_at.is_none() && next.disabled_at.is_some();
        let done = self.db.write(async |transaction| {
            let done = self.clients.replace_in(transaction, client, &next, by.at).await?;
            if done && is_shut {
                let revoked = all_tokens(client, by.at);
                self.revocations.record_in(transaction, revoked, by.at).await?;
            }
            Ok(done)
        });
        if !done.await? {
            return Err(ClientChangeError::Stale);
        }
        self.revocations.announce();
        next.version += 1;
        for (kind, detail) in differences {
            self.record(kind, client, detail, by).await;
        }
        Ok(next)
    }

    /// Makes a new secret for `client`, and lets the present one end after `overlap`. Returns the
    /// client as it is then, and the secret.
    pub(crate) async fn rotate_secret(
        &self,
        client: &Client,
        overlap: Duration,
        by: &Initiator,
    ) -> Result<(Client, Secret<String>), ClientChangeError> {
        if overlap > MAX_OVERLAP {
            return Err(ClientChangeError::Overlap);
        }
        if client.client_type == ClientType::Public {
            return Err(ClientChangeError::NoSecret(client.client_id.clone()));
        }
        let (text, kept) = Client::new_secret(&self.random, by.at);
        let until = by.at.plus(overlap);
        if !self.clients.add_secret(&client.client_id, &kept, until, by.at).await? {
            return Err(ClientChangeError::Stale);
        }
        let detail = format!("the present one ends at {until}");
        self.record(Kind::ClientSecretRotated, client, Some(detail), by).await;
        // Instances still accept the present secret for a moment, however soon it is to end.
        tokio::time::sleep(STALENESS).await;
        let secrets = rotated(client, kept, until, by.at);
        Ok((Client { secrets, version: client.version + 1, ..client.clone() }, text))
    }

    /// Deletes `client`, which is as it was read, with its secrets.
    pub(crate) async fn delete(
        &self,
        client: &Client,
        by: &Initiator,
    ) -> Result<(), ClientChangeError> {
        if client.client_id == FIRST_PARTY {
            return Err(ClientChangeError::Bundled);
        }
        if is_oneself(client, by) {
            return Err(ClientChangeError::Oneself);
        }
        let done = self.db.write(async |transaction| {
            let done = self.clients.remove_in(transaction, client).await?;
            if done {
                let revoked = all_tokens(client, by.at);
                self.revocations.record_in(transaction, revoked, by.at).await?;
            }
            Ok(done)
        });
        if !done.await? {
            return Err(ClientChangeError::Stale);
        }
        self.revocations.announce();
        self.record(Kind::ClientDeleted, client, None, by).await;
        tokio::time::sleep(CUT_OFF_AHEAD).await;
        Ok(())
    }

    fn check_audiences(&self, audiences: &[String]) -> Result<(), ClientChangeError> {
        match audiences.contains(&self.admin_audience) {
            true => Err(ClientChangeError::AdminAudience(self.admin_audience.clone())),
            false => Ok(()),
        }
    }

    /// Notes how long tokens of `client` live, before the first that lives longer can be issued.
    async fn observe_token_life(&self, client: &Client, now: Timestamp) -> Stored<()> {
        match client.access_token_lifetime {
            Some(life) => self.revocations.observe_token_life(life + LEEWAY, now).await,
            None => Ok(()),
        }
    }

    async fn record(&self, kind: Kind, client: &Client, detail: Option<String>, by: &Initiator) {
        let id = &client.client_id;
        self.audit.record(Event::new(kind, by).about(id).client(id).detail(detail)).await;
    }
}

fn all_tokens(client: &Client, now: Timestamp) -> Revoked {
    Revoked::Client { client_id: client.client_id.clone(), before: now.plus(CUT_OFF_AHEAD) }
}

/// The secrets of `client` after a rotation: the one that was newest, where it overlaps, and the new
/// one.
fn rotated(
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

fn is_oneself(client: &Client, by: &Initiator) -> bool {
    matches!(&by.actor, Actor::Client(id) if *id == client.client_id)
}

/// The audit events of the differences between `client` and `next`, with the names of the fields.
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
