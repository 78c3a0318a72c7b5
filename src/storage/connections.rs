//! The pool of database connections. sqlx's own pool asks the database after every statement
//! whether the connection is still good, a second round trip for each. Here one that was
//! interrupted is closed immediately, and one that has rested is asked before its next use.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};

use super::session::{Options, Session};
use super::{StorageError, Stored};

/// A connection that has rested for longer may have lost its server since, and a request
/// should not be what finds out; a busy one proves itself by use.
const RESTED: Duration = Duration::from_millis(500);
/// An older connection is replaced, so that a database which has moved is found again.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

#[derive(Debug)]
pub(super) struct Connector {
    pub(super) options: Options,
}

impl Manager for Connector {
    type Type = Session;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Session, sqlx::Error> {
        Session::open(&self.options).await
    }

    async fn recycle(
        &self,
        connection: &mut Session,
        metrics: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        if metrics.age() > MAX_AGE {
            return Err(RecycleError::message("old"));
        }
        if metrics.last_used() > RESTED {
            connection.ping().await?;
        }
        Ok(())
    }
}

/// A connection taken from the pool. It goes back by [`give_back_after`](Self::give_back_after) alone: dropped
/// in any other way, by a failure or with a caller who went away, it is closed.
pub(super) struct Lease(Option<Object<Connector>>);

impl Lease {
    pub(super) async fn take(pool: &Pool<Connector>) -> Stored<Self> {
        match pool.get().await {
            Ok(connection) => Ok(Self(Some(connection))),
            Err(PoolError::Backend(error)) => Err(error.into()),
            Err(error) => Err(StorageError::Unavailable(error.into())),
        }
    }

    pub(super) fn connection(&mut self) -> Stored<&mut Session> {
        self.0.as_deref_mut().ok_or_else(|| StorageError::Internal("a lease was given back".into()))
    }

    /// Gives the connection back unless `result` says that it is of no more use.
    pub(super) fn give_back_after<T>(mut self, result: Result<T, sqlx::Error>) -> Stored<T> {
        let result = result.map_err(StorageError::from);
        if !matches!(result, Err(StorageError::Unavailable(_))) {
            drop(self.0.take());
        }
        result
    }

    pub(super) async fn close(mut self) {
        if let Some(connection) = self.0.take().map(Object::take) {
            // It is gone either way.
            let _ = connection.close().await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}
