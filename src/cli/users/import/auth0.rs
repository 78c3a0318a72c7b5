//! Users of Auth0: an export of users (an object a line), what support hands out with password hashes
//! (the same, with other names), and files made for Auth0's own bulk import (an array).

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value};

use super::fields::Fields;
use super::members::{self, MALFORMED, UNKNOWN, text, unpadded};
use super::records::Top;
use super::sink::Sink;
use super::source::Reader;
use crate::domain::credentials::password::hex;

pub(super) fn read(reader: Reader, sink: &mut Sink) -> Result<()> {
    members::read(reader, Top::Record, sink, members::label, |user, _| Some(fields(user)))
}

fn fields(mut user: Map<String, Value>) -> Result<Fields, String> {
    let email = members::address(&user, "email");
    let object_id = || user.get("_id")?.get("$oid")?.as_str().map(|id| format!("auth0|{id}"));
    let id = user.get("user_id").cloned().or_else(|| object_id().map(Value::String));
    let parts = members::full_name(text(&user, "given_name"), text(&user, "family_name"));
    // Where a user has no name, Auth0 writes the address.
    let whole = text(&user, "name").map(|name| Value::String(name.to_owned()));
    let whole = whole.filter(|name| Some(name) != email.as_ref());
    let kept = ["username", "app_metadata", "user_metadata"];
    Ok(Fields {
        id,
        name: parts.or(whole),
        password_hash: password_hash(&user)?.map(Value::String),
        disabled: user.get("blocked").cloned(),
        email_verified: user.get("email_verified").cloned(),
        created_at: user.get("created_at").cloned(),
        metadata: members::metadata(&mut user, &kept, email.as_ref()),
        email,
        ..Fields::default()
    })
}

fn password_hash(user: &Map<String, Value>) -> Result<Option<String>, String> {
    let plain = text(user, "password_hash").or_else(|| text(user, "passwordHash"));
    if let Some(hash) = plain {
        return Ok(Some(hash.to_owned()));
    }
    let custom = match user.get("custom_password_hash") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(custom)) => custom,
        Some(_) => return Err("custom_password_hash must be a JSON object".into()),
    };
    let hash = custom.get("hash").and_then(Value::as_object).ok_or(MALFORMED)?;
    match text(custom, "algorithm") {
        // Whole strings, PBKDF2 as PHC.
        Some("bcrypt" | "argon2" | "pbkdf2") => {
            Ok(Some(text(hash, "value").ok_or(MALFORMED)?.to_owned()))
        }
        Some("scrypt") => {
            let number =
                |name: &str, usual: u64| custom.get(name).map_or(Some(usual), Value::as_u64);
            let salt = custom.get("salt").and_then(Value::as_object).ok_or(MALFORMED)?;
            let (salt, hash) = (bytes(salt)?, bytes(hash)?);
            let cost = number("cost", 16_384).filter(|cost| cost.is_power_of_two());
            let log_n = cost.ok_or(MALFORMED)?.trailing_zeros();
            let r = number("blockSize", 8).ok_or(MALFORMED)?;
            let p = number("parallelization", 1).ok_or(MALFORMED)?;
            Ok(Some(format!("$scrypt$ln={log_n},r={r},p={p}${salt}${hash}")))
        }
        _ => Err(UNKNOWN.into()),
    }
}

/// A value in the encoding that it names, in base64 as PHC strings have it.
fn bytes(member: &Map<String, Value>) -> Result<String, String> {
    let value = text(member, "value").ok_or(MALFORMED)?;
    let bytes = match text(member, "encoding").unwrap_or("utf8") {
        "base64" => STANDARD_NO_PAD.decode(unpadded(value)).map_err(|_| MALFORMED)?,
        "hex" => hex(value).map_err(|_| MALFORMED)?,
        "utf8" => value.as_bytes().to_vec(),
        _ => return Err(MALFORMED.into()),
    };
    Ok(unpadded(&STANDARD.encode(bytes)).to_owned())
}
