//! Users of Clerk: the CSV file of its dashboard, or the same members as JSON, also as its API writes them.

use anyhow::{Result, bail};
use csv::ByteRecord;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::members::{self, MALFORMED, UNKNOWN, text};
use super::records::{self, Top};
use super::sink::Sink;
use super::source::Reader;
use super::table;

/// Hashes that are written as their scheme does; what Clerk calls otherwise is something of its own.
const SCHEMES: [&str; 7] = [
    "argon2i",
    "argon2id",
    "bcrypt",
    "bcrypt_sha256_django",
    "pbkdf2_sha256_django",
    "phpass",
    "scrypt_werkzeug",
];

pub(super) fn read(mut reader: Reader, sink: &mut Sink) -> Result<()> {
    if matches!(records::first_byte(&mut reader)?, Some(b'[' | b'{')) {
        let top = Top::List(&["data", "users"]);
        return members::read(reader, top, sink, email, |user, _| Some(fields(user)));
    }
    let mut columns: Vec<String> = Vec::new();
    table::for_each(reader, |line, record| {
        if columns.is_empty() {
            columns = names(record)?;
            return Ok(());
        }
        let user = members(&columns, record);
        let email = user.as_ref().ok().and_then(email).unwrap_or_default();
        sink.check(line, email, user.and_then(fields), record.as_slice().len())
    })
}

fn names(record: &ByteRecord) -> Result<Vec<String>> {
    let name = |name: &[u8]| String::from_utf8_lossy(name).trim().to_lowercase();
    let names: Vec<_> = record.iter().map(name).collect();
    for needed in ["primary_email_address", "password_digest"] {
        if !names.iter().any(|name| name == needed) {
            bail!("the first line does not name the column {needed}, as a Clerk export does");
        }
    }
    Ok(names)
}

fn members(columns: &[String], record: &ByteRecord) -> Result<Map<String, Value>, String> {
    if record.len() != columns.len() {
        return Err(format!(
            "has {} fields, where the first line names {} columns",
            record.len(),
            columns.len()
        ));
    }
    let cell = |(name, cell): (&String, &[u8])| {
        let cell = str::from_utf8(cell).map_err(|_| String::from("is not UTF-8"))?;
        Ok((name.clone(), Value::String(cell.to_owned())))
    };
    columns.iter().zip(record).map(cell).collect()
}

/// The addresses that a member lists, in a list or in text.
fn addresses(user: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let apart = |c: char| c.is_whitespace() || ",;|[]\"".contains(c);
    match user.get(name)? {
        Value::String(text) => {
            Some(text.split(apart).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        Value::Array(list) => {
            Some(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        }
        _ => None,
    }
}

/// The member of the API's list of addresses that is the primary one.
fn primary(user: &Map<String, Value>) -> Option<&Value> {
    let list = user.get("email_addresses")?.as_array()?;
    let id = user.get("primary_email_address_id");
    list.iter().find(|address| address.get("id") == id).or_else(|| list.first())
}

fn email(user: &Map<String, Value>) -> Option<String> {
    let of_api = || primary(user)?.get("email_address")?.as_str().map(str::to_owned);
    let first = |name: &str| addresses(user, name)?.into_iter().next();
    text(user, "primary_email_address")
        .map(str::to_owned)
        .or_else(of_api)
        .or_else(|| first("verified_email_addresses"))
        .or_else(|| first("unverified_email_addresses"))
}

/// Whether the address was proven; `None` where the file says nothing of it.
fn is_verified(user: &Map<String, Value>, email: &str) -> Option<bool> {
    let is_it = |address: &String| address.eq_ignore_ascii_case(email);
    if let Some(verified) = addresses(user, "verified_email_addresses") {
        return Some(verified.iter().any(is_it));
    }
    let status = primary(user)?.get("verification")?.get("status")?.as_str()?;
    Some(status == "verified")
}

fn fields(mut user: Map<String, Value>) -> Result<Fields, String> {
    let email = email(&user);
    let verified = email.as_deref().and_then(|email| is_verified(&user, email));
    let email = email.map(Value::String);
    let kept =
        ["username", "external_id", "public_metadata", "private_metadata", "unsafe_metadata"];
    Ok(Fields {
        id: user.get("id").cloned(),
        name: members::full_name(text(&user, "first_name"), text(&user, "last_name")),
        password_hash: password_hash(&user)?.map(Value::String),
        disabled: user.get("banned").cloned(),
        email_verified: verified.map(Value::Bool),
        created_at: user.get("created_at").cloned(),
        metadata: members::metadata(&mut user, &kept, email.as_ref()),
        email,
        ..Fields::default()
    })
}

fn password_hash(user: &Map<String, Value>) -> Result<Option<String>, String> {
    let Some(digest) = text(user, "password_digest") else { return Ok(None) };
    match text(user, "password_hasher") {
        None => Ok(Some(digest.to_owned())),
        Some(scheme) if SCHEMES.contains(&scheme) => Ok(Some(digest.to_owned())),
        // The hash, the salt, the signer key, the separator, the rounds and the memory cost.
        Some("scrypt_firebase") => {
            let parts: Vec<_> = digest.split('$').collect();
            let [hash, salt, key, separator, r, log_n] = parts[..] else {
                return Err(MALFORMED.into());
            };
            Ok(Some(format!("$firescrypt$ln={log_n},r={r},p=1${salt}${hash}${separator}${key}")))
        }
        Some(_) => Err(UNKNOWN.into()),
    }
}
