//! The audit trail: who did what to whom, from where (OWASP ASVS chapter 16). Events are logged and
//! kept in the database. Invariants: an event never holds a secret, and no caller fills the trail
//! or its lines of the log (each request has another line of its own, refused or not): what any
//! caller can cause and changes nothing is logged at most once a second a kind and kept at most
//! once an hour for one kind and user or client, and what users do routinely to themselves is kept
//! a bounded number of times.

mod actor;
mod kind;
mod retention;
mod store;
mod throttle;

use std::sync::Arc;

use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::storage::{Db, StorageError, Stored};
use throttle::{MAX_ROUTINE, Throttle};
use uuid::Uuid;

pub use actor::Actor;
pub use kind::Kind;
pub use retention::Retention;

/// Where a request came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub(crate) address: Option<String>,
    /// The caller's user agent in a few words of ASCII.
    pub user_agent: Option<String>,
    /// The request's id, as in its log line and answer.
    pub request_id: Option<String>,
}

/// The one who causes an event, from where and when.
#[derive(Clone, Debug)]
pub struct Initiator {
    /// The user, client or operator who acts.
    pub actor: Actor,
    /// Where the request came from; empty at the command line and for Signet itself.
    pub origin: Origin,
    /// When the request was read.
    pub at: Timestamp,
}

impl Initiator {
    /// A caller who is not known.
    pub fn anonymous(origin: Origin, at: Timestamp) -> Self {
        Self { actor: Actor::Anonymous, origin, at }
    }

    /// The operator at the command line.
    pub fn command_line(at: Timestamp) -> Self {
        Self { actor: Actor::CommandLine, origin: Origin::default(), at }
    }

    /// Signet itself.
    pub fn system(at: Timestamp) -> Self {
        Self { actor: Actor::System, origin: Origin::default(), at }
    }

    /// The same request, made by `actor`.
    pub fn acting(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// The same request, made by the signed-in user with this id, or one who proved to be.
    pub fn as_user(&self, id: Uuid) -> Self {
        self.acting(Actor::User(id))
    }

    /// The same request, made by a client that has authenticated.
    pub fn as_client(&self, client_id: &str) -> Self {
        self.acting(Actor::Client(client_id.to_owned()))
    }

    pub(crate) fn is_user(&self, id: Uuid) -> bool {
        matches!(self.actor, Actor::User(actor) if actor == id)
    }
}

/// One event, before it is recorded.
#[derive(Debug)]
pub struct Event {
    kind: Kind,
    initiator: Initiator,
    subject: Option<String>,
    client_id: Option<String>,
    detail: Option<String>,
}

impl Event {
    /// An event of `kind` that `initiator` caused.
    pub fn new(kind: Kind, initiator: &Initiator) -> Self {
        let initiator = initiator.clone();
        Self { kind, initiator, subject: None, client_id: None, detail: None }
    }

    /// Names what the event happened to: a user's id, a key's `kid`, a role's name.
    pub fn about(self, subject: impl ToString) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }

    /// Names the client that it was done by or to.
    pub fn client(self, client_id: &str) -> Self {
        Self { client_id: Some(client_id.to_owned()), ..self }
    }

    /// Adds an explanation for people; never a secret.
    pub fn detail(self, detail: impl Into<Option<String>>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// The user or client whom a bound on this event holds for; empty where neither is known.
    fn bound_to(&self) -> String {
        match (&self.subject, &self.initiator.actor) {
            (Some(subject), _) => subject.clone(),
            (None, Actor::Anonymous) => String::new(),
            (None, actor) => actor.to_string(),
        }
    }

    /// Whether a user does it to the own account, directly or by a client, as a matter of routine.
    fn is_own_routine(&self) -> bool {
        let own = match self.initiator.actor {
            Actor::User(id) => {
                self.subject.as_ref().is_some_and(|subject| *subject == id.to_string())
            }
            _ => self.client_id.is_some(),
        };
        self.kind.is_routine() && own
    }
}

/// The events that a list is to have.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The name of what happened.
    pub event: Option<String>,
    /// What it happened to: a user's or client's id, a key's `kid`, a role's name.
    pub subject: Option<String>,
    /// The name of its actor.
    pub actor: Option<String>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

/// The place of an event in the trail: when it happened, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) at: Timestamp,
    pub(crate) id: String,
}

/// An event as it was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub(crate) place: Place,
    /// The name of what happened; a newer version may know more of them.
    pub event: String,
    /// The name of its actor.
    pub actor: String,
    /// What it happened to: a user's or client's id, a key's `kid`, a role's name.
    pub subject: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) request_id: Option<String>,
}

/// The trail. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    db: Db,
    random: Random,
    throttle: Arc<Throttle>,
}

impl Audit {
    /// A trail kept in `db`.
    pub fn new(db: Db, random: Random) -> Self {
        Self { db, random, throttle: Arc::default() }
    }

    /// Records `event`. What it reports has happened, so a failure to keep it is logged loudly and
    /// does not fail the request.
    pub async fn record(&self, event: Event) {
        let now = event.initiator.at;
        if event.kind.changes_nothing() {
            return self.record_refusal(event).await;
        }
        if event.kind == Kind::OwnNameChanged {
            return log(&event, 0);
        }
        if event.is_own_routine() && !self.throttle.keeps(&event, MAX_ROUTINE) {
            return self.log_in_turn(&event);
        }
        log(&event, 0);
        let id = self.random.uuid_at(now).to_string();
        if let Err(error) = self.db.execute(store::insert(id, &event)).await {
            log_not_kept(event.kind, &error);
        }
    }

    async fn record_refusal(&self, event: Event) {
        self.log_in_turn(&event);
        if !self.throttle.keeps(&event, 1) {
            return;
        }
        let (db, kind) = (self.db.clone(), event.kind);
        let insert = store::insert_once_an_hour(&event);
        let keep = async move {
            if let Err(error) = db.execute(insert).await {
                log_not_kept(kind, &error);
            }
        };
        if kind == Kind::LoginRefused {
            // Beside the answer, whose time would show whether the user exists.
            tokio::spawn(keep);
        } else {
            keep.await;
        }
    }

    /// Logs `event` unless another one of its kind was logged in the same second.
    fn log_in_turn(&self, event: &Event) {
        if let Some(suppressed) = self.throttle.logs(event.kind, event.initiator.at) {
            log(event, suppressed);
        }
    }

    /// Up to `limit` events of `filter` that come after `after` when the newest is first.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&Place>,
        limit: i64,
    ) -> Stored<Vec<Kept>> {
        store::list(&self.db, filter, after, limit).await
    }

    /// Records what many instances notice independently and one of them is to record: an event of
    /// the same kind and subject is there once at most. Returns whether it is there now.
    pub async fn record_once(&self, event: Event) -> bool {
        let subject = event.subject.as_deref().unwrap_or_default();
        let id = format!("{}:{subject}", event.kind.as_str());
        match self.db.execute(store::insert(id, &event)).await {
            Ok(_) => log(&event, 0),
            Err(StorageError::Conflict) => {}
            Err(error) => {
                log_not_kept(event.kind, &error);
                return false;
            }
        }
        true
    }

    /// Deletes events that are older than `retention` says, in batches of at most `limit` of each
    /// sort, so that no request waits for it. Returns how many it deleted: fewer than `limit` when
    /// nothing is left to delete.
    pub async fn purge(&self, retention: &Retention, now: Timestamp, limit: u32) -> Stored<u64> {
        let mut deleted = 0;
        for kind in Kind::LOGINS {
            let before = now.minus(retention.logins);
            deleted += self.db.execute(store::delete_kind(kind, before, limit)).await?;
        }
        let before = now.minus(retention.events);
        deleted += self.db.execute(store::delete(before, limit)).await?;
        Ok(deleted)
    }
}

fn log(event: &Event, suppressed: u64) {
    tracing::info!(
        target: "audit",
        event = event.kind.as_str(),
        actor = %event.initiator.actor,
        subject = event.subject.as_deref(),
        client_id = event.client_id.as_deref(),
        detail = event.detail.as_deref(),
        address = event.initiator.origin.address.as_deref(),
        user_agent = event.initiator.origin.user_agent.as_deref(),
        request_id = event.initiator.origin.request_id.as_deref(),
        suppressed = (suppressed > 0).then_some(suppressed),
    );
}

fn log_not_kept(kind: Kind, error: &StorageError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(target: "audit", event = kind.as_str(), %error, cause, "not kept");
}
