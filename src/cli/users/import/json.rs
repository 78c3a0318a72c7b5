//! A JSON array of users with the members of `Fields`. One that is wrong is refused by itself.

use anyhow::Result;
use serde_json::Value;

use super::records::{self, Top};
use super::rules::Rules;
use super::sink::Sink;
use super::source::Reader;

/// Reads all users.
pub(super) fn read(reader: Reader, rules: &Rules, sink: &mut Sink) -> Result<()> {
    records::for_each(reader, Top::Record, |record| {
        let email = record.value.get("email").and_then(Value::as_str).unwrap_or_default();
        let (email, value) = (email.to_owned(), record.value);
        let fields = match value {
            // What is within is anything, so only names can be wrong, and only names are shown.
            Value::Object(_) => serde_json::from_value(value).map_err(|error| error.to_string()),
            _ => Err("is not a JSON object".into()),
        };
        sink.check(record.number, email, fields, rules, record.bytes)
    })
}

/// Whether a file that begins so holds users of this form, rather than a Django dump.
pub(super) fn is_list_of_users(reader: Reader) -> bool {
    records::first_of_array(reader).is_some_and(|first| !first.contains_key("model"))
}
