//! The composition root: an [`App`] from a [`Config`]. The only place that picks engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::accounts::{Accounts, Roles};
use crate::attempts::{Attempts, Names, RefreshLimit};
use crate::audit::Audit;
use crate::clients::store::ClientStore;
use crate::clients::{Client, ClientRegistry, ClientType, FIRST_PARTY, GrantType};
use crate::config::{Config, SessionBackend};
use crate::custody::Custody;
use crate::keys::encryption_key::{self, EncryptionKeyError};
use crate::keys::{Keys, KeysError, Vault};
use crate::mail::Outbox;
use crate::metrics::Metrics;
use crate::oauth::AuthorizationServer;
use crate::postman::{Office, Postman, PostmanError};
use crate::registrar::Registrar;
use crate::roles::{RoleRegistry, RoleStore};
use crate::secret::{Random, SealingKeys};
use crate::sessions::Sessions;
use crate::storage::redis::{Redis, notices};
use crate::storage::{Db, StorageError};
use crate::time::{Clock, Timestamp};
use crate::tokens::{AccessTokens, RefreshTokenKey, Scope, scope};
use crate::users::{Hashing, UserStore};

/// Why the service cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database does not answer, or not to us.
    #[error("the database at {0} cannot be reached")]
    DatabaseUnreachable(String, #[source] StorageError),
    /// The database.
    #[error("the database cannot be used")]
    Database(#[source] StorageError),
    /// The session store.
    #[error("the session store cannot be used")]
    SessionStore(#[source] StorageError),
    /// The key-encryption key.
    #[error(transparent)]
    EncryptionKey(#[from] EncryptionKeyError),
    /// There are keys, but nothing to open them with.
    #[error(
        "the database holds signing keys, but there is no key-encryption key: give the one they \
         were sealed under in keys.encryption_key, or its file in {0}"
    )]
    EncryptionKeyMissing(String),
    /// The signing keys.
    #[error("the signing keys cannot be used")]
    Keys(#[from] KeysError),
    /// The templates or the transport of mail.
    #[error("mail cannot be sent")]
    Mail(#[from] PostmanError),
    /// Threads or metrics.
    #[error("the process cannot be set up")]
    Process(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The stores and domains that both the service and the command line work on.
pub struct Stores {
    /// The database.
    pub db: Db,
    /// Redis, where sessions live there.
    pub redis: Option<Redis>,
    /// The users.
    pub users: UserStore,
    /// The clients.
    pub clients: ClientStore,
    /// The sessions.
    pub sessions: Sessions,
    /// The audit trail.
    pub audit: Audit,
    /// Whole accounts.
    pub accounts: Accounts,
    /// The roles and who has them.
    pub roles: Roles,
    /// What is done to clients.
    pub registrar: Registrar,
    /// Mail that waits.
    pub outbox: Outbox,
    /// The source of secrets and identifiers.
    pub random: Random,
}

impl Stores {
    /// Connects everything that `config` names, with the database migrated, the bundled client and
    /// the built-in role in place.
    pub async fn open(config: &Config, now: Timestamp) -> Result<Self, StartError> {
        let db = open_database(config).await?;
        let random = Random::system();
        let policy = config.sessions.policy.clone();
        let redis = match &config.sessions.backend {
            SessionBackend::Sql => None,
            SessionBackend::Redis(redis) => {
                Some(Redis::connect(redis).await.map_err(StartError::SessionStore)?)
            }
        };
        let sessions = match redis.clone() {
            None => Sessions::in_sql(db.clone(), policy),
            Some(redis) => Sessions::in_redis(redis, policy),
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
        let registrar = Registrar::new(clients.clone(), audit.clone(), random.clone());
        let role_store = RoleStore::new(db.clone());
        let roles = Roles::new(role_store.clone(), users.clone(), audit.clone());
        ensure_first_party(&clients, now).await.map_err(StartError::Database)?;
        role_store.ensure_built_in(now).await.map_err(StartError::Database)?;
        Ok(Self {
            db,
            redis,
            users,
            clients,
            sessions,
            audit,
            accounts,
            roles,
            registrar,
            outbox,
            random,
        })
    }
}

/// Connects the database and applies the migrations that are missing.
pub async fn open_database(config: &Config) -> Result<Db, StartError> {
    let url = config.database.url.expose();
    let unreachable = |error| StartError::DatabaseUnreachable(database_address(url), error);
    let db = Db::connect(url, config.database.max_connections).await.map_err(unreachable)?;
    db.migrate().await.map_err(StartError::Database)?;
    Ok(db)
}

/// Where a database is, without user and password.
fn database_address(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) => match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}{}", url.path()),
            (Some(host), None) => format!("{host}{}", url.path()),
            (None, _) => url.path().to_owned(),
        },
        Err(_) => "an address that cannot be read".into(),
    }
}

/// The signing keys, for the command line: the session store is not needed.
pub async fn open_custody(config: &Config, now: Timestamp) -> Result<Custody, StartError> {
    let (db, random) = (open_database(config).await?, Random::system());
    let clients = ClientStore::new(db.clone());
    let audit = Audit::new(db.clone(), random.clone());
    open_keys(config, &db, clients, audit, &random, now).await
}

/// The attempts to guess passwords, kept where sessions are. Their names are made with a key that
/// lies sealed beside the signing keys.
async fn open_attempts(
    config: &Config,
    stores: &Stores,
    keys: &Keys,
    now: Timestamp,
) -> Result<Attempts, StartError> {
    let names = Names::new(&keys.refresh_token_key(&stores.random, now).await?);
    let policy = config.login_limits.clone();
    Ok(match stores.redis.clone() {
        None => Attempts::in_sql(stores.db.clone(), names, policy),
        Some(redis) => Attempts::in_redis(redis, names, policy),
    })
}

/// The same for the command line.
pub async fn open_attempts_alone(
    config: &Config,
    stores: &Stores,
    now: Timestamp,
) -> Result<Attempts, StartError> {
    let custody = open_custody(config, now).await?;
    open_attempts(config, stores, &custody.keys, now).await
}

/// Where instances tell each other that the signing keys have changed.
const KEYS_CHANGED: &str = "signet:keys";

/// Tells the running instances that the signing keys have changed, from the command line.
pub async fn tell_instances(config: &Config) {
    if let SessionBackend::Redis(redis) = &config.sessions.backend {
        match Redis::connect(redis).await {
            Ok(redis) => tell_keys_changed(&redis).await,
            Err(error) => tracing::warn!(%error, "{NOT_TOLD}"),
        }
    }
}

/// They look for themselves every two seconds.
const NOT_TOLD: &str = "the instances were not told, and find the change a little later";

async fn tell_keys_changed(redis: &Redis) {
    if let Err(error) = redis.notify(KEYS_CHANGED).await {
        tracing::warn!(%error, "{NOT_TOLD}");
    }
}

/// Opens the signing keys, making the key-encryption key and the first signing keys where this is
/// the very first start.
async fn open_keys(
    config: &Config,
    db: &Db,
    clients: ClientStore,
    audit: Audit,
    random: &Random,
    now: Timestamp,
) -> Result<Custody, StartError> {
    let vault = Vault::open(sealing_keys(config, db, random).await?, config.keys.pkcs11.as_ref())?;
    let (policy, lifetime) = (config.keys.policy.clone(), config.tokens.access_token_lifetime);
    Ok(Custody::open(db, vault, policy, clients, audit, lifetime, now).await?)
}

async fn sealing_keys(
    config: &Config,
    db: &Db,
    random: &Random,
) -> Result<SealingKeys, StartError> {
    let directory = &config.keys.directory;
    if let Some(given) = &config.keys.encryption_key {
        return Ok(encryption_key::parse(given)?);
    }
    if let Some(found) = encryption_key::find(directory)? {
        return Ok(found);
    }
    if !Keys::is_empty(db).await.map_err(StartError::Database)? {
        return Err(StartError::EncryptionKeyMissing(directory.display().to_string()));
    }
    Ok(encryption_key::create(directory, random)?)
}

async fn open_postman(
    config: &Config,
    stores: &Stores,
    keys: &Keys,
    now: Timestamp,
) -> Result<Option<Postman>, StartError> {
    let Some(mail) = &config.mail else { return Ok(None) };
    let token_key = keys.mailed_token_key(&stores.random, now).await?;
    let Stores { users, outbox, audit, random, .. } = stores;
    let (users, outbox) = (users.clone(), outbox.clone());
    let office = Office { users, outbox, audit: audit.clone(), random: random.clone() };
    Ok(Some(Postman::new(mail, &config.issuer, office, &token_key)?))
}

/// Registers the bundled client of `/login` and of the docs page, unless it is there.
async fn ensure_first_party(clients: &ClientStore, now: Timestamp) -> Result<(), StorageError> {
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

/// The running service.
pub struct App {
    /// Its configuration.
    pub config: Config,
    /// Where `now` comes from.
    pub clock: Clock,
    /// The database.
    pub db: Db,
    /// The clients.
    pub clients: ClientStore,
    /// The signing keys.
    pub keys: Keys,
    /// What is done to them.
    pub custody: Custody,
    /// The grants.
    pub authorization_server: AuthorizationServer,
    /// Whole accounts.
    pub accounts: Accounts,
    /// The roles and who has them.
    pub roles: Roles,
    /// What is done to clients.
    pub registrar: Registrar,
    /// Sends mail, where it is sent.
    pub postman: Option<Postman>,
    /// What is counted.
    pub metrics: Metrics,
    redis: Option<Redis>,
    keys_changed: Notify,
    draining: AtomicBool,
}

impl App {
    /// Composes the service over `stores`.
    pub async fn new(config: Config, stores: Stores, clock: Clock) -> Result<Self, StartError> {
        let now = clock.now();
        let Stores { db, clients, audit, random, .. } = &stores;
        let (clients, audit) = (clients.clone(), audit.clone());
        let custody = open_keys(&config, db, clients, audit, random, now).await?;
        custody.keys.check_all_open(now).await?;
        // Of an algorithm that is new in the configuration, the first key.
        custody.maintain(now).await?;
        let keys = custody.keys.clone();
        let attempts = open_attempts(&config, &stores, &keys, now).await?;
        let refresh_token_key = keys.refresh_token_key(&stores.random, now).await?;
        let postman = open_postman(&config, &stores, &keys, now).await?;
        let hashing = Hashing::start(config.passwords.clone(), stores.random.clone())
            .map_err(|error| StartError::Process(error.into()))?;
        let metrics = Metrics::new().map_err(|error| StartError::Process(error.into()))?;
        let authorization_server = AuthorizationServer {
            clients: ClientRegistry::new(stores.clients.clone()),
            users: stores.users,
            roles: RoleRegistry::new(RoleStore::new(stores.db.clone())),
            hashing: Arc::new(hashing),
            attempts,
            refresh_limit: RefreshLimit::new(config.refresh_limits),
            sessions: stores.sessions,
            requires_verified_email: config.require_verified_email,
            access_tokens: AccessTokens::new(keys.clone(), config.tokens.clone()),
            refresh_tokens: RefreshTokenKey::new(&refresh_token_key),
            audit: stores.audit,
            random: stores.random,
        };
        Ok(Self {
            config,
            clock,
            db: stores.db,
            clients: stores.clients,
            keys,
            custody,
            authorization_server,
            accounts: stores.accounts,
            roles: stores.roles,
            registrar: stores.registrar,
            postman,
            metrics,
            redis: stores.redis,
            keys_changed: Notify::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// Tells the other instances that the signing keys have changed.
    pub async fn tell_keys_changed(&self) {
        if let Some(redis) = &self.redis {
            tell_keys_changed(redis).await;
        }
    }

    /// Waits until another instance, or the command line, has changed the signing keys.
    pub async fn keys_changed(&self) {
        self.keys_changed.notified().await;
    }

    /// Listens for notices of other instances, where they share a Redis. Never ends then.
    pub async fn listen(&self) {
        if let SessionBackend::Redis(redis) = &self.config.sessions.backend {
            notices::listen(redis, KEYS_CHANGED, || self.keys_changed.notify_one()).await;
        }
    }

    /// From here on readiness is false.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether the service is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
