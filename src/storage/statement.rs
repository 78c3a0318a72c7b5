//! Statements and the values that they bind, in the two types that columns have: TEXT and BIGINT.

use sqlx::any::AnyArguments;
use sqlx::{Any, SqlSafeStr};
use uuid::Uuid;

use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// A statement with its bound values.
pub type Statement<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// The statement `text` with `values` for `$1`, `$2` and so on.
pub(crate) fn statement<'q>(text: impl SqlSafeStr, values: &[&dyn Value]) -> Statement<'q> {
    values.iter().fold(sqlx::query(text), |statement, value| match value.column() {
        Column::Text(text) => statement.bind(text),
        Column::Number(number) => statement.bind(number),
    })
}

/// What is bound; NULL has the type of its column.
pub(crate) enum Column {
    Text(Option<String>),
    Number(Option<i64>),
}

pub(crate) trait Value: Sync {
    fn column(&self) -> Column;
}

macro_rules! values {
    ($($type:ty: $column:ident($value:ident => $bound:expr)),+ $(,)?) => {$(
        impl Value for $type {
            fn column(&self) -> Column {
                let $value = self;
                Column::$column(Some($bound))
            }
        }

        impl Value for Option<$type> {
            fn column(&self) -> Column {
                Column::$column(self.as_ref().map(|$value| $bound))
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
