//! Who is written to, and what: sorts what was asked for, writes the letters and has them carried
//! away. Sorting looks at the database alone, so that it goes on while no server takes mail, and what
//! comes to nothing does not wait. Invariant: whether there is an account shows in nothing but the
//! letter; a token is made as its letter is sent, and is nowhere but in it.

mod sorting;
mod writing;

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use crate::base::fault;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Audit, Event, Kind as AuditKind, Origin};
use crate::domain::mail::letter::Unwritable;
use crate::domain::mail::template::{Fields, TemplateError};
use crate::domain::mail::transport::TransportError;
use crate::domain::mail::{
    Config, Courier, Kind, Letter, NotTaken, Outbox, Policy, Templates, Transport, Waiting, backoff,
};
use crate::domain::users::{Email, MailedTokenKey, UserStore};
use crate::storage::StorageError;

/// A claim outlives the longest delivery by this: what else there is to do takes less.
const CLAIM_MARGIN: Duration = Duration::from_secs(10);
/// How soon a database that was away is asked again.
const RETRY_REMOVAL_AFTER: Duration = Duration::from_millis(500);

/// Why mail cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum PostmanError {
    /// The templates.
    #[error("mail.templates")]
    Templates(#[from] TemplateError),
    /// The way it goes.
    #[error("mail.smtp")]
    Transport(#[from] TransportError),
}

/// What came of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Sent,
    /// It is tried again later.
    PutOff,
    /// It was refused for good, or tried for long enough.
    GivenUp,
    /// There is nothing to send any more.
    Void,
}

/// Sorts, writes and sends. Shared by the loops of a process.
pub struct Postman {
    users: UserStore,
    outbox: Outbox,
    audit: Audit,
    random: Random,
    tokens: MailedTokenKey,
    stationery: Stationery,
    transport: Transport,
}

/// What every letter is written on.
struct Stationery {
    templates: Templates,
    service: String,
    issuer: String,
    config: Config,
}

impl Stationery {
    /// Reads and tries the templates.
    fn open(config: &Config, issuer: &str) -> Result<Self, TemplateError> {
        let host = Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        let service = config.from.name.clone().or(host).unwrap_or_else(|| issuer.to_owned());
        Ok(Self {
            templates: config.load_templates()?,
            service,
            issuer: issuer.to_owned(),
            config: config.clone(),
        })
    }
}

/// The stores that a postman works on.
pub struct Office {
    /// The users.
    pub users: UserStore,
    /// What is to be sent.
    pub outbox: Outbox,
    /// The audit trail.
    pub audit: Audit,
    /// The source of chance.
    pub random: Random,
}

impl Postman {
    /// A postman who works as `config` says, with `token_key` to make tokens with. Nothing is
    /// connected yet.
    pub fn new(
        config: &Config,
        issuer: &str,
        office: Office,
        token_key: &Secret<Vec<u8>>,
    ) -> Result<Self, PostmanError> {
        let Office { users, outbox, audit, random } = office;
        Ok(Self {
            users,
            outbox,
            audit,
            random,
            tokens: MailedTokenKey::new(token_key),
            stationery: Stationery::open(config, issuer)?,
            transport: Transport::open(&config.transport)?,
        })
    }

    fn policy(&self) -> &Policy {
        &self.stationery.config.policy
    }

    /// What is to be sent.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// A courier for [`deliver`](Self::deliver).
    pub fn courier(&self) -> Courier {
        self.transport.courier()
    }

    /// How many couriers may be under way at once.
    pub fn lanes(&self) -> usize {
        self.transport.lanes()
    }

    /// Delivers the letter `id`; `None` where another has it, or had it.
    pub async fn deliver(
        &self,
        id: Uuid,
        courier: &mut Courier,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StorageError> {
        let longest = self.transport.timeout() + CLAIM_MARGIN;
        let Some(claimed) = self.outbox.claim(id, now.plus(longest), now).await? else {
            return Ok(None);
        };
        let letter = match self.write(&claimed, now).await {
            Ok(Some(letter)) => letter,
            Ok(None) => {
                self.outbox.remove(id).await?;
                return Ok(Some(Delivery::Void));
            }
            Err(WriteError::Storage(error @ StorageError::Unavailable(_))) => return Err(error),
            Err(error @ WriteError::Unwritable(_)) => {
                return self.give_up(&claimed, &error.to_string(), now).await.map(Some);
            }
            // A template or the account's row may be mended.
            Err(error) => return self.put_off(&claimed, &error.to_string(), now).await.map(Some),
        };
        let delivery = match courier.deliver(&letter).await {
            Ok(answer) => {
                fault::point("mail.taken");
                self.remove_delivered(id).await?;
                tracing::info!(mail = %id, kind = claimed.kind.as_str(), answer, "mail sent");
                Delivery::Sent
            }
            Err(NotTaken::Now(error)) => self.put_off(&claimed, &error, now).await?,
            Err(NotTaken::Ever(error)) => self.give_up(&claimed, &error, now).await?,
        };
        Ok(Some(delivery))
    }

    /// A letter that was delivered must not be sent again for the database having been away: nothing
    /// else is taken up before this is noted.
    async fn remove_delivered(&self, id: Uuid) -> Result<(), StorageError> {
        loop {
            match self.outbox.remove(id).await {
                Err(StorageError::Unavailable(_)) => tokio::time::sleep(RETRY_REMOVAL_AFTER).await,
                result => return result.map(drop),
            }
        }
    }

    async fn put_off(
        &self,
        claimed: &Waiting,
        error: &str,
        now: Timestamp,
    ) -> Result<Delivery, StorageError> {
        if now.since(claimed.created_at) >= self.policy().give_up_after {
            return self.give_up(claimed, error, now).await;
        }
        let [chance] = self.random.bytes();
        let due_at = now.plus(backoff::after(claimed.attempts, chance));
        self.outbox.put_off(claimed, due_at, error).await?;
        let (id, kind) = (claimed.id, claimed.kind.as_str());
        tracing::warn!(mail = %id, kind, attempt = claimed.attempts, error, %due_at, "mail put off");
        Ok(Delivery::PutOff)
    }

    async fn give_up(
        &self,
        claimed: &Waiting,
        error: &str,
        now: Timestamp,
    ) -> Result<Delivery, StorageError> {
        // Of two who give it up at once, one tells of it.
        if self.outbox.remove(claimed.id).await? {
            let origin = Origin::default();
            let event = Event {
                kind: AuditKind::MailGivenUp,
                actor: Actor::System,
                // A sign-up has no account to name.
                subject: claimed
                    .user_id
                    .filter(|_| claimed.kind != Kind::SignUp)
                    .map(|id| id.to_string()),
                client_id: None,
                detail: Some(format!("{}: {error}", claimed.kind.as_str())),
                origin: &origin,
            };
            self.audit.record(event, now).await;
        }
        Ok(Delivery::GivenUp)
    }

    /// Forgets what does not matter any more: counts, and tokens whose letter cannot be sent again.
    pub async fn purge(&self, now: Timestamp) -> Result<(), StorageError> {
        self.outbox.purge(now).await?;
        let then = now.minus(2 * self.policy().give_up_after);
        self.users.purge_pending(now, then).await?;
        self.users.purge_tokens(then).await
    }
}

/// Sends a test mail to `to` at once, past the outbox; returns what the server answered.
pub async fn send_test(
    config: &Config,
    issuer: &str,
    to: &Email,
    random: &Random,
    now: Timestamp,
) -> Result<String, TestError> {
    let stationery = Stationery::open(config, issuer)?;
    let mut courier = Transport::open(&config.transport)?.courier();
    let Stationery { templates, service, issuer, .. } = &stationery;
    let email = to.address();
    let fields =
        Fields { service, issuer, email, name: None, link: None, token: None, expires_in: None };
    let rendered = templates.render(Kind::Test, &fields)?;
    let letter = Letter::write(random.uuid_at(now), &config.from, email, rendered, now)?;
    let delivered = courier.deliver(&letter).await;
    courier.hang_up().await;
    delivered.map_err(|(NotTaken::Now(error) | NotTaken::Ever(error))| TestError::NotTaken(error))
}

/// Why a test mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The templates.
    #[error(transparent)]
    Templates(#[from] TemplateError),
    /// The way it goes.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The address.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// The server, in its own words.
    #[error("the mail was not taken: {0}")]
    NotTaken(String),
}

/// Why a letter is not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Templates(#[from] TemplateError),
    #[error("{0}")]
    Unwritable(#[from] Unwritable),
}
