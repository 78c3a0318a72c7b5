//! Statements and the values that they bind, in the two types that columns have: TEXT and BIGINT.

use sqlx::any::AnyArguments;
use sqlx::{Any, SqlSafeStr};
use uuid::Uuid;

use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// A statement with its bound values.
pub type Statement<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// The statement `text` with `values` for `$1`, `$2` and so on.
pub fn statement<'q>(text: impl SqlSafeStr, values: &[&dyn Value]) -> Statement<'q> {
    values.iter().fold(sqlx::query(text), |statement, value| match value.column() {
        Column::Text(text) => statement.bind(text),
        Column::Number(number) => statement.bind(number),
    })
}

/// What is bound.
pub enum Column {
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Number(Option<i64>),
}

/// A value that a column can hold.
pub trait Value: Sync {
    /// NULL, in the column's type.
    fn null() -> Column
    where
        Self: Sized;

    /// The value as it is bound.
    fn column(&self) -> Column;
}

macro_rules! values {
    ($($type:ty: $column:ident($value:ident => $bound:expr)),+ $(,)?) => {$(
        impl Value for $type {
            fn null() -> Column {
                Column::$column(None)
            }

            fn column(&self) -> Column {
                let $value = self;
                Column::$column(Some($bound))
            }
        }
    )+};
}

values! {
    String: Text(text => text.clone()),
    &str: Text(text => (*text).to_owned()),
    Uuid: Text(id => id.to_string()),
    Fingerprint: Text(fingerprint => fingerprint.to_string()),
    i64: Number(number => *number),
    Timestamp: Number(time => time.as_unix()),
}

impl<T: Value> Value for Option<T> {
    fn null() -> Column {
        T::null()
    }

    fn column(&self) -> Column {
        self.as_ref().map_or_else(T::null, T::column)
    }
}
