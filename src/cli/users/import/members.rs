//! Members of the objects in which other systems write their users.

use anyhow::Result;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::records::{self, Top};
use super::sink::{Noticed, Sink};
use super::source::Reader;
use crate::domain::users::Email;

/// What a record says of a user; `None` where it is no user. Within, a sentence for the operator.
pub(super) type Read = Option<Result<Fields, String>>;

pub(super) const UNKNOWN: &str = "the password hash is of an unknown scheme";
pub(super) const MALFORMED: &str = "the password hash is malformed";

/// Reads the users of a list, each of them by `fields`; a report calls them what `label` says.
pub(super) fn read(
    reader: Reader,
    top: Top,
    sink: &mut Sink,
    label: fn(&Map<String, Value>) -> Option<String>,
    fields: fn(Map<String, Value>, &mut Noticed) -> Read,
) -> Result<()> {
    records::for_each(reader, top, |record| {
        let (email, read) = match record.value {
            Value::Object(user) => {
                (label(&user).unwrap_or_default(), fields(user, &mut sink.noticed))
            }
            _ => (String::new(), Some(Err("is not a JSON object".into()))),
        };
        let Some(fields) = read else { return Ok(()) };
        sink.check(record.number, email, fields, record.bytes)
    })
}

pub(super) fn label(members: &Map<String, Value>) -> Option<String> {
    members.get("email")?.as_str().map(str::to_owned)
}

/// A flag that says the opposite of what is meant.
pub(super) fn not(members: &Map<String, Value>, name: &str) -> Result<Option<Value>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(Value::Bool(!flag))),
        Some(_) => Err(format!("{name} must be true or false")),
    }
}

/// The text of a member; `None` where it is absent, blank or no text.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn full_name(first: Option<&str>, last: Option<&str>) -> Option<Value> {
    let name = [first, last].into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(Value::String(name))
}

/// The address, or a user name that is one where there is none.
pub(super) fn address(members: &Map<String, Value>, email: &str) -> Option<Value> {
    let is_address = |name: &&str| Email::parse(name).is_ok();
    let username = || text(members, "username").filter(is_address);
    text(members, email).or_else(username).map(|address| Value::String(address.to_owned()))
}

/// The members of these names, for the user's metadata; what is null or empty is left out. A user name
/// that is the address says nothing.
pub(super) fn metadata(
    members: &mut Map<String, Value>,
    names: &[&str],
    email: Option<&Value>,
) -> Option<Value> {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let kept: Map<_, _> = names
        .iter()
        .filter_map(|name| members.remove_entry(*name))
        .filter(|(_, value)| !is_empty(value) && Some(value) != email)
        .collect();
    (!kept.is_empty()).then_some(Value::Object(kept))
}

/// Base64 as PHC strings have it.
pub(super) fn unpadded(base64: &str) -> &str {
    base64.trim().trim_end_matches('=')
}
