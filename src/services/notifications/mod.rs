//! Mail to users: decides to whom a message that was asked for goes, writes it and sends it.
//! Sorting looks at the database alone, so that it goes on while no server takes mail, and what
//! comes to nothing does not wait. Invariants: whether there is an account shows in nothing but the
//! message; a token is made as its message is sent, and is nowhere but in it.

mod sorting;
mod writing;

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use crate::base::fault;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Audit, Event, Initiator, Kind as AuditKind};
use crate::domain::mail::message::Unwritable;
use crate::domain::mail::template::{Fields, TemplateError};
use crate::domain::mail::transport::TransportError;
use crate::domain::mail::{Config, Connection, Message, NotTaken, Policy, Templates, Transport};
use crate::domain::outbox::{Entry, Kind, Outbox, Waiting, backoff};
use crate::domain::users::{Email, MailedTokenKey, UserStore};
use crate::storage::{StorageError, Stored};

/// The time by which a claim outlives the longest delivery; the rest of the work takes less.
const CLAIM_MARGIN: Duration = Duration::from_secs(10);
/// The pause before a database that did not answer is asked again.
const RETRY_REMOVAL_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub(crate) enum NotifierError {
    #[error("mail.templates")]
    Templates(#[from] TemplateError),
    #[error("mail.smtp")]
    Transport(#[from] TransportError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Sent,
    PutOff,
    /// The server refused the message for good, or it was tried for long enough.
    GivenUp,
    /// The message is not wanted any more.
    Void,
}

/// Sorts, writes and sends messages. Shared by the loops of a process.
pub(crate) struct Notifier {
    users: UserStore,
    pub(crate) outbox: Outbox,
    audit: Audit,
    random: Random,
    tokens: MailedTokenKey,
    context: MessageContext,
    pub(crate) transport: Transport,
}

struct MessageContext {
    templates: Templates,
    service: String,
    issuer: String,
    config: Config,
}

impl MessageContext {
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

impl Notifier {
    /// A notifier that works by `config` and makes tokens with `token_key`. Nothing is connected
    /// yet.
    pub(crate) fn new(
        config: &Config,
        issuer: &str,
        users: UserStore,
        outbox: Outbox,
        audit: Audit,
        random: Random,
        token_key: &Secret<Vec<u8>>,
    ) -> Result<Self, NotifierError> {
        Ok(Self {
            users,
            outbox,
            audit,
            random,
            tokens: MailedTokenKey::new(token_key),
            context: MessageContext::open(config, issuer)?,
            transport: Transport::open(&config.transport)?,
        })
    }

    fn policy(&self) -> &Policy {
        &self.context.config.policy
    }

    /// Delivers the message `id`; `None` where another instance has it or had it.
    pub(crate) async fn deliver(
        &self,
        id: Uuid,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Stored<Option<Delivery>> {
        let longest = self.transport.timeout() + CLAIM_MARGIN;
        let Some(claimed) = self.outbox.claim(id, now.plus(longest), now).await? else {
            return Ok(None);
        };
        let message = match self.write(&claimed.entry, now).await {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.outbox.remove(id).await?;
                return Ok(Some(Delivery::Void));
            }
            Err(WriteError::Storage(error @ StorageError::Unavailable(_))) => return Err(error),
            Err(error @ WriteError::Unwritable(_)) => {
                return self.give_up(&claimed.entry, &error.to_string(), now).await.map(Some);
            }
            // A template or the account's row may be mended.
            Err(error) => return self.put_off(&claimed, &error.to_string(), now).await.map(Some),
        };
        let delivery = match connection.deliver(&message).await {
            Ok(answer) => {
                fault::point("mail.taken");
                self.remove_delivered(id).await?;
                tracing::info!(mail = %id, kind = claimed.entry.kind.as_str(), answer, "mail sent");
                Delivery::Sent
            }
            Err(NotTaken::Now(error)) => self.put_off(&claimed, &error, now).await?,
            Err(NotTaken::Ever(error)) => self.give_up(&claimed.entry, &error, now).await?,
        };
        Ok(Some(delivery))
    }

    /// Removes a delivered message, however long the database does not answer: it must not be sent
    /// again, so nothing else is begun before.
    async fn remove_delivered(&self, id: Uuid) -> Stored<()> {
        loop {
            match self.outbox.remove(id).await {
                Err(StorageError::Unavailable(_)) => tokio::time::sleep(RETRY_REMOVAL_AFTER).await,
                result => return result.map(drop),
            }
        }
    }

    async fn put_off(&self, claimed: &Waiting, error: &str, now: Timestamp) -> Stored<Delivery> {
        if now.since(claimed.created_at) >= self.policy().give_up_after {
            return self.give_up(&claimed.entry, error, now).await;
        }
        let [chance] = self.random.bytes();
        let due_at = now.plus(backoff::after(claimed.attempts, chance));
        self.outbox.put_off(claimed, due_at, error).await?;
        let (id, kind) = (claimed.entry.id, claimed.entry.kind.as_str());
        tracing::warn!(mail = %id, kind, attempt = claimed.attempts, error, %due_at, "mail put off");
        Ok(Delivery::PutOff)
    }

    async fn give_up(&self, claimed: &Entry, error: &str, now: Timestamp) -> Stored<Delivery> {
        // Of two instances that give it up concurrently, one records it.
        if self.outbox.remove(claimed.id).await? {
            let event = Event::new(AuditKind::MailGivenUp, &Initiator::system(now))
                .detail(format!("{}: {error}", claimed.kind.as_str()));
            // A sign-up has no account to name.
            let event = match claimed.user_id.filter(|_| claimed.kind != Kind::SignUp) {
                Some(id) => event.about(id),
                None => event,
            };
            self.audit.record(event).await;
        }
        Ok(Delivery::GivenUp)
    }

    /// Deletes what does not matter any more: counts, and tokens whose message cannot be sent
    /// again.
    pub(crate) async fn purge(&self, now: Timestamp) -> Stored<()> {
        self.outbox.purge(now).await?;
        let then = now.minus(2 * self.policy().give_up_after);
        self.users.purge_tokens(now, then).await
    }
}

/// Sends a test message to `to` immediately, past the outbox; returns the server's answer.
pub(crate) async fn send_test(
    config: &Config,
    issuer: &str,
    to: &Email,
    random: &Random,
    now: Timestamp,
) -> Result<String, TestError> {
    let context = MessageContext::open(config, issuer)?;
    let mut connection = Transport::open(&config.transport)?.connection();
    let MessageContext { templates, service, issuer, .. } = &context;
    let email = to.address();
    let fields =
        Fields { service, issuer, email, name: None, link: None, token: None, expires_in: None };
    let rendered = templates.render(Kind::Test, &fields)?;
    let message = Message::write(random.uuid_at(now), &config.from, email, rendered, now)?;
    let delivered = connection.deliver(&message).await;
    connection.hang_up().await;
    delivered.map_err(|(NotTaken::Now(error) | NotTaken::Ever(error))| TestError::NotTaken(error))
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    #[error(transparent)]
    Templates(#[from] TemplateError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    #[error("the server did not accept the message: {0}")]
    NotTaken(String),
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Templates(#[from] TemplateError),
    #[error("{0}")]
    Unwritable(#[from] Unwritable),
}
