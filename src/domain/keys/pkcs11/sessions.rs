//! The sessions with a token: a few at a time, since one carries one operation. Modules differ in
//! their answers when a token was away or a login is lost. So any failure ends its session and all
//! older ones, and the operation is tried once more in a new one.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::{Pkcs11Config, TokenError};

/// The maximum number of sessions. Tokens share a limit among all their users.
const MAX_SESSIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a failed token is not used, so that operations fail immediately and do not wait for
/// time limits of the module.
const REST: Duration = Duration::from_secs(1);

pub(super) struct Login {
    pub(super) session: Session,
    /// By id: a search costs a token several round trips.
    private_keys: HashMap<Vec<u8>, ObjectHandle>,
    generation: u64,
}

impl Login {
    pub(super) fn find(
        &self,
        class: ObjectClass,
        id: &[u8],
    ) -> Result<Option<ObjectHandle>, TokenError> {
        let wanted = [Attribute::Token(true), Attribute::Class(class), Attribute::Id(id.to_vec())];
        Ok(self.session.find_objects(&wanted)?.first().copied())
    }

    /// The private key of this id, remembered for as long as the session lasts.
    pub(super) fn find_private(&mut self, id: &[u8]) -> Result<Option<ObjectHandle>, TokenError> {
        if let Some(known) = self.private_keys.get(id) {
            return Ok(Some(*known));
        }
        let found = self.find(ObjectClass::PRIVATE_KEY, id)?;
        self.private_keys.extend(found.map(|object| (id.to_vec(), object)));
        Ok(found)
    }
}

struct Pool {
    idle: Vec<Login>,
    open: usize,
    limit: usize,
    /// Raised by a failure: older sessions are not used again.
    generation: u64,
    rest_until: Option<Instant>,
    pin_refused: bool,
}

pub(super) struct Sessions {
    pub(super) config: Pkcs11Config,
    module: Pkcs11,
    /// Held while sessions are opened and closed: with the last one the login ends, for all.
    pool: Mutex<Pool>,
    returned: Condvar,
}

impl Sessions {
    pub(super) fn open(config: Pkcs11Config) -> Result<Self, TokenError> {
        let module = Pkcs11::new(&config.module)
            .map_err(|error| TokenError::Module(config.module.clone(), error))?;
        let pool = Pool {
            idle: Vec::new(),
            open: 0,
            limit: MAX_SESSIONS,
            generation: 0,
            rest_until: None,
            pin_refused: false,
        };
        let sessions = Self { config, module, pool: Mutex::new(pool), returned: Condvar::new() };
        sessions.with(|_| Ok(()))?;
        Ok(sessions)
    }

    /// Runs `work` in a session, and once more in a new one if it fails there.
    pub(super) fn with<T>(
        &self,
        work: impl Fn(&mut Login) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let mut login = self.take()?;
        let mut outcome = work(&mut login);
        if is_failure(&outcome) {
            self.put_back(login, true);
            login = self.take()?;
            outcome = work(&mut login);
        }
        self.put_back(login, is_failure(&outcome));
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Login, TokenError> {
        let mut pool = self.lock();
        loop {
            let full = |pool: &mut Pool| pool.idle.is_empty() && pool.open >= pool.limit;
            let waited = self.returned.wait_timeout_while(pool, PATIENCE, full);
            let (free, time) = waited.unwrap_or_else(PoisonError::into_inner);
            if time.timed_out() {
                return Err(TokenError::Unavailable);
            }
            pool = free;
            if let Some(login) = pool.idle.pop() {
                return Ok(login);
            }
            match self.open_session(&mut pool) {
                // The token has no more sessions: wait for one of this process.
                Err(TokenError::Failed(Error::Pkcs11(RvError::SessionCount, _)))
                    if pool.open > 0 =>
                {
                    pool.limit = pool.open;
                }
                opened => return opened,
            }
        }
    }

    fn put_back(&self, login: Login, failed: bool) {
        let mut pool = self.lock();
        let current = login.generation == pool.generation;
        if current && !failed {
            pool.idle.push(login);
        } else {
            if current {
                pool.generation += 1;
                pool.limit = MAX_SESSIONS;
                pool.open -= pool.idle.len();
                pool.idle.clear();
            }
            drop(login);
            pool.open -= 1;
        }
        self.returned.notify_all();
    }

    fn open_session(&self, pool: &mut Pool) -> Result<Login, TokenError> {
        // Tokens lock a PIN that was wrong a few times.
        if pool.pin_refused {
            return Err(TokenError::PinRefused(self.config.token_label.clone()));
        }
        if pool.rest_until.is_some_and(|end| Instant::now() < end) {
            return Err(TokenError::Unavailable);
        }
        let mut session = self.log_in();
        let is_away = matches!(session, Err(TokenError::Failed(_) | TokenError::NoToken(_)));
        if is_away && pool.open == 0 && pool.generation > 0 {
            // Some modules see a token that was away only after a restart. No call is running: all
            // sessions are closed, and opening them is under the pool's lock.
            let _ = self.module.clone().finalize();
            session = self.log_in();
        }
        match &session {
            Ok(_) => pool.open += 1,
            Err(TokenError::PinRefused(_)) => pool.pin_refused = true,
            Err(_) if pool.open == 0 => pool.rest_until = Some(Instant::now() + REST),
            Err(_) => {}
        }
        Ok(Login { session: session?, private_keys: HashMap::new(), generation: pool.generation })
    }

    /// A new session. The login belongs to the process: all sessions share it.
    fn log_in(&self) -> Result<Session, TokenError> {
        match self.module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        // Sessions are read-write, since keys are made and removed too.
        let session = self.module.open_rw_session(self.find_slot()?)?;
        let pin = AuthPin::new(self.config.pin.expose().as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked
                | RvError::UserPinNotInitialized,
                _,
            )) => Err(TokenError::PinRefused(self.config.token_label.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The present slot of the token, which may be another one after it was away.
    fn find_slot(&self) -> Result<Slot, TokenError> {
        let label = &self.config.token_label;
        let is_ours = |slot: &Slot| {
            // A slot that fails is treated as another token's.
            self.module.get_token_info(*slot).is_ok_and(|token| token.label() == label)
        };
        let slots = self.module.get_slots_with_token()?;
        slots.into_iter().find(is_ours).ok_or_else(|| TokenError::NoToken(label.clone()))
    }
}

fn is_failure<T>(outcome: &Result<T, TokenError>) -> bool {
    matches!(outcome, Err(TokenError::Failed(_) | TokenError::Unusable(..)))
}
