//! The stores and domains that both the service and the command line work on.

use super::StartError;
use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::config::{Config, Pooler, SessionBackend};
use crate::domain::audit::Audit;
use crate::domain::clients::store::ClientStore;
use crate::domain::clients::{Client, ClientType, FIRST_PARTY, GrantType};
use crate::domain::outbox::Outbox;
use crate::domain::revocations::Revocations;
use crate::domain::roles::RoleStore;
use crate::domain::sessions::Sessions;
use crate::domain::tokens::{Scope, scope};
use crate::domain::users::UserStore;
use crate::services::accounts::Accounts;
use crate::services::client_management::ClientManagement;
use crate::services::role_management::RoleManagement;
use crate::storage::records::Records;
use crate::storage::redis::Redis;
use crate::storage::{Db, StorageError, Stored};

pub(crate) struct Stores {
    pub(crate) db: Db,
    pub(crate) redis: Option<Redis>,
    pub(crate) users: UserStore,
    pub(crate) clients: ClientStore,
    pub(crate) revocations: Revocations,
    pub(crate) sessions: Sessions,
    pub(crate) audit: Audit,
    pub(crate) accounts: Accounts,
    pub(crate) role_management: RoleManagement,
    pub(crate) client_management: ClientManagement,
    pub(crate) outbox: Outbox,
    pub(crate) random: Random,
}

impl Stores {
    /// Where small expiring records are kept: beside the sessions.
    pub(crate) fn records(&self) -> Records {
        match self.redis.clone() {
            None => Records::in_sql(self.db.clone()),
            Some(redis) => Records::in_redis(redis),
        }
    }

    /// Connects the stores that `config` names, migrates the database, and creates the bundled
    /// client and the built-in role if they are missing.
    pub(crate) async fn open(config: &Config, now: Timestamp) -> Result<Self, StartError> {
        let db = open_database(config).await?;
        let random = Random::system();
        let policy = config.sessions.policy.clone();
        let redis = match &config.sessions.backend {
            SessionBackend::Sql => None,
            SessionBackend::Redis(redis) => {
                Some(Redis::connect(redis).await.map_err(StartError::SessionStore)?)
            }
        };
        let revocations = Revocations::open(db.clone(), random.clone());
        let revocations = revocations.await.map_err(StartError::Database)?;
        let sessions = match redis.clone() {
            None => Sessions::in_sql(db.clone(), revocations.clone(), policy),
            Some(redis) => Sessions::in_redis(redis, revocations.clone(), policy),
        };
        let (users, clients) = (UserStore::new(db.clone()), ClientStore::new(db.clone()));
        let audit = Audit::new(db.clone(), random.clone());
        let limit = config.mail.as_ref().map_or(0, |mail| mail.policy.outbox_limit);
        let outbox = Outbox::new(db.clone(), limit);
        let accounts = Accounts::new(
            db.clone(),
            users.clone(),
            sessions.clone(),
            outbox.clone(),
            audit.clone(),
            random.clone(),
        );
        let client_management = ClientManagement {
            db: db.clone(),
            clients: clients.clone(),
            revocations: revocations.clone(),
            audit: audit.clone(),
            random: random.clone(),
            admin_audience: config.tokens.admin_audience.clone(),
        };
        let role_store = RoleStore::new(db.clone());
        let role_management = RoleManagement::new(role_store.clone(), users.clone(), audit.clone());
        ensure_first_party(&clients, now).await.map_err(StartError::Database)?;
        role_store.ensure_built_in(now).await.map_err(StartError::Database)?;
        Ok(Self {
            db,
            redis,
            users,
            clients,
            revocations,
            sessions,
            audit,
            accounts,
            role_management,
            client_management,
            outbox,
            random,
        })
    }
}

/// Connects the database and applies the migrations that are missing.
pub(crate) async fn open_database(config: &Config) -> Result<Db, StartError> {
    let db = connect_database(config).await?;
    db.migrate().await.map_err(StartError::Database)?;
    Ok(db)
}

pub(super) async fn connect_database(config: &Config) -> Result<Db, StartError> {
    let url = config.database.url.expose();
    let max_connections = config.database.max_connections;
    let db = match config.database.pooler {
        Pooler::None => Db::connect(url, max_connections).await,
        Pooler::Transaction => Db::connect_through_pooler(url, max_connections).await,
    };
    db.map_err(|error| StartError::DatabaseUnreachable(database_address(url), error))
}

/// The address of a database, for messages: without user name and password.
fn database_address(url: &str) -> String {
    if let Some(path) = url.strip_prefix("sqlite://") {
        return path.to_owned();
    }
    match url::Url::parse(url) {
        Ok(url) => match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}{}", url.path()),
            (Some(host), None) => format!("{host}{}", url.path()),
            (None, _) => url.path().to_owned(),
        },
        Err(_) => "an address that cannot be read".into(),
    }
}

/// Registers the bundled client of `/login` and of the docs page, unless it exists.
async fn ensure_first_party(clients: &ClientStore, now: Timestamp) -> Stored<()> {
    if clients.find(FIRST_PARTY).await?.is_some() {
        return Ok(());
    }
    let words = [scope::OPENID, scope::PROFILE, scope::EMAIL, scope::ADMIN].join(" ");
    let client = Client {
        client_id: FIRST_PARTY.into(),
        name: Some("Bundled first-party client".into()),
        client_type: ClientType::Public,
        grant_types: vec![GrantType::Password, GrantType::RefreshToken],
        scope: Scope::parse(&words).unwrap_or_default(),
        audiences: Vec::new(),
        access_token_lifetime: None,
        disabled_at: None,
        secrets: Vec::new(),
        created_at: now,
        claims: Vec::new(),
        version: 0,
    };
    match clients.create(&client).await {
        Err(StorageError::Conflict) => Ok(()),
        result => result,
    }
}
