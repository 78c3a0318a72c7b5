//! One database connection and the transactions on it. A connection of its own runs statements as
//! they come and keeps them prepared. Behind a transaction pooler (pgbouncer, `pool_mode =
//! transaction`) consecutive messages of a client may reach different servers, so there every
//! statement runs inside an explicit transaction, unnamed: what PostgreSQL prepares for it is gone
//! before another client gets the server. Invariant: nothing stays prepared beyond a transaction.

use std::fmt;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use sqlx::any::{AnyConnectOptions, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgQueryResult};
use sqlx::{
    Any, AnyConnection, Connection, Either, Error, Execute, Executor, PgConnection, Postgres,
    SqlStr,
};

use super::{Statement, Stored};

#[derive(Clone, Debug)]
pub(super) enum Options {
    /// To the database itself, with statements that are run on each new connection.
    Direct(AnyConnectOptions, &'static [&'static str]),
    Pooled(PgConnectOptions),
}

impl Options {
    /// Options for a transaction pooler. Poolers refuse startup parameters that they do not track,
    /// `extra_float_digits` among them.
    pub(super) fn pooled(url: &str) -> Result<Self, Error> {
        Ok(Self::Pooled(url.parse::<PgConnectOptions>()?.extra_float_digits(None)))
    }
}

#[derive(Debug)]
pub(super) enum Session {
    Direct(AnyConnection),
    Pooled(PgConnection),
}

impl Session {
    pub(super) async fn open(options: &Options) -> Result<Self, Error> {
        match options {
            Options::Direct(options, preparation) => {
                let mut connection = AnyConnection::connect_with(options).await?;
                for statement in *preparation {
                    sqlx::query(*statement).execute(&mut connection).await?;
                }
                Ok(Self::Direct(connection))
            }
            Options::Pooled(options) => {
                Ok(Self::Pooled(PgConnection::connect_with(options).await?))
            }
        }
    }

    pub(super) async fn ping(&mut self) -> Result<(), Error> {
        match self {
            Self::Direct(connection) => connection.ping().await,
            Self::Pooled(connection) => connection.ping().await,
        }
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        match self {
            Self::Direct(connection) => connection.close().await,
            Self::Pooled(connection) => connection.close().await,
        }
    }

    pub(super) async fn begin(
        &mut self,
        statement: &'static str,
    ) -> Result<Transaction<'_>, Error> {
        Ok(Transaction(match self {
            Self::Direct(connection) => Work::Direct(connection.begin_with(statement).await?),
            Self::Pooled(connection) => Work::Pooled(connection.begin_with(statement).await?),
        }))
    }

    /// Runs one statement, by `work`, in a transaction only where the connection needs one.
    pub(super) async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Self::Direct(connection) = self {
            return work(&mut Transaction(Work::Alone(connection))).await;
        }
        let mut transaction = self.begin("BEGIN").await?;
        let result = work(&mut transaction).await;
        // If the transaction cannot even be ended, that error is returned instead.
        transaction.end(result.is_ok()).await?;
        result
    }
}

/// A transaction that may write: what [`Db::write`](super::Db::write) gives to its work, and stores
/// take where a use case spans several of them. Statements run on `&mut *transaction`. Dropped, it
/// is rolled back.
pub struct Transaction<'t>(Work<'t>);

impl Transaction<'_> {
    /// Runs a statement; returns how many rows it changed.
    pub async fn execute(&mut self, statement: Statement<'_>) -> Stored<u64> {
        Ok(statement.execute(&mut *self).await?.rows_affected())
    }

    /// Commits, or rolls back where `is_good` is false.
    pub(super) async fn end(self, is_good: bool) -> Result<(), Error> {
        match (self.0, is_good) {
            (Work::Alone(_), _) => Ok(()),
            (Work::Direct(transaction), true) => transaction.commit().await,
            (Work::Direct(transaction), false) => transaction.rollback().await,
            (Work::Pooled(transaction), true) => transaction.commit().await,
            (Work::Pooled(transaction), false) => transaction.rollback().await,
        }
    }
}

enum Work<'t> {
    /// One statement outside of a transaction.
    Alone(&'t mut AnyConnection),
    Direct(sqlx::Transaction<'t, Any>),
    Pooled(sqlx::Transaction<'t, Postgres>),
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transaction")
    }
}

impl<'c> Executor<'c> for &'c mut Transaction<'_> {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match &mut self.0 {
            Work::Alone(connection) => connection.fetch_many(query),
            Work::Direct(transaction) => (&mut *transaction).fetch_many(query),
            Work::Pooled(transaction) => fetch_unnamed(transaction, query),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match &mut self.0 {
            Work::Alone(connection) => connection.fetch_optional(query),
            Work::Direct(transaction) => (&mut *transaction).fetch_optional(query),
            Work::Pooled(transaction) => {
                let mut steps = fetch_unnamed(transaction, query);
                async move {
                    let mut first = None;
                    // To the end: an error may follow the row.
                    while let Some(step) = steps.next().await {
                        if let (Either::Right(row), None) = (step?, &first) {
                            first = Some(row);
                        }
                    }
                    Ok(first)
                }
                .boxed()
            }
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        match &mut self.0 {
            Work::Alone(connection) => connection.prepare_with(sql, parameters),
            Work::Direct(transaction) => (&mut *transaction).prepare_with(sql, parameters),
            Work::Pooled(_) => {
                let message = "nothing stays prepared behind a transaction pooler";
                std::future::ready(Err(Error::AnyDriverError(message.into()))).boxed()
            }
        }
    }
}

/// Runs `query` without a name for what PostgreSQL prepares, so that the next statement replaces it.
fn fetch_unnamed<'e, 'q: 'e, E>(
    connection: &'e mut PgConnection,
    mut query: E,
) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
where
    E: 'q + Execute<'q, Any>,
{
    let arguments = query.take_arguments().and_then(|arguments| {
        arguments.map(|arguments| arguments.convert_into::<PgArguments>()).transpose()
    });
    let steps = match arguments {
        Ok(Some(arguments)) => {
            let query = sqlx::query_with::<Postgres, _>(query.sql(), arguments).persistent(false);
            connection.fetch_many(query)
        }
        Ok(None) => connection.fetch_many(sqlx::raw_sql(query.sql())),
        Err(error) => return stream::iter([Err(Error::Encode(error))]).boxed(),
    };
    let translate = |step: Result<Either<_, _>, Error>| match step? {
        Either::Left(result) => {
            let rows_affected = PgQueryResult::rows_affected(&result);
            Ok(Either::Left(AnyQueryResult { rows_affected, last_insert_id: None }))
        }
        Either::Right(row) => Ok(Either::Right(AnyRow::try_from(&row)?)),
    };
    steps.map(translate).boxed()
}
