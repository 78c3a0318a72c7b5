//! The users of a Keycloak realm: `users` in what `kc.sh export` writes, whole or in files of their own.
//! Realm roles and the roles of clients become roles; groups, second factors and links to other
//! systems stay behind.

use crate::domain::roles::check_role;
use anyhow::Result;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::members::{self, Read, text, unpadded};
use super::records::{self, Top};
use super::rules::Rules;
use super::sink::{Noticed, Sink};
use super::source::Reader;

/// Keycloak's own clients, whose roles mean nothing elsewhere.
const OWN_CLIENTS: [&str; 7] = [
    "account",
    "account-console",
    "admin-cli",
    "broker",
    "master-realm",
    "realm-management",
    "security-admin-console",
];
/// Realm roles that every user has.
const OWN_ROLES: [&str; 2] = ["offline_access", "uma_authorization"];

/// Reads all users.
pub(super) fn read(
    reader: Reader,
    rules: &Rules,
    sink: &mut Sink,
    noticed: &mut Noticed,
) -> Result<()> {
    records::for_each(reader, Top::List(&["users"]), |record| {
        let email = record.value.get("email").and_then(Value::as_str).unwrap_or_default();
        let email = email.to_owned();
        let read = match record.value {
            Value::Object(user) => fields(user, noticed),
            _ => Some(Err("is not a JSON object".into())),
        };
        let Some(fields) = read else { return Ok(()) };
        sink.check(record.number, email, fields, rules, record.bytes)
    })
}

fn fields(mut user: Map<String, Value>, noticed: &mut Noticed) -> Read {
    // The account of a client that authenticates by itself.
    if text(&user, "serviceAccountClientId").is_some() {
        noticed.skip("service account");
        return None;
    }
    let email = members::address(&user, "email");
    let roles = roles(&user, noticed);
    let hash = match password_hash(user.get("credentials")) {
        Ok(hash) => hash,
        Err(why) => return Some(Err(why)),
    };
    let disabled = match user.get("enabled") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(enabled)) => Some(Value::Bool(!enabled)),
        Some(_) => return Some(Err("enabled must be true or false".into())),
    };
    Some(Ok(Fields {
        id: user.get("id").cloned(),
        name: members::full_name(text(&user, "firstName"), text(&user, "lastName")),
        password_hash: hash.map(Value::String),
        roles: Some(roles.into()),
        disabled,
        email_verified: user.get("emailVerified").cloned(),
        created_at: user.get("createdTimestamp").cloned(),
        metadata: members::metadata(&mut user, &["username", "attributes"], email.as_ref()),
        email,
        ..Fields::default()
    }))
}

/// Realm roles by their names, roles of clients with the client's name before them, in lower case.
fn roles(user: &Map<String, Value>, noticed: &mut Noticed) -> Vec<String> {
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let is_own =
        |name: &String| OWN_ROLES.contains(&name.as_str()) || name.starts_with("default-roles-");
    let mut all = user.get("realmRoles").map(names).unwrap_or_default();
    all.retain(|name| !is_own(name));
    let clients = user.get("clientRoles").and_then(Value::as_object);
    for (client, list) in clients.into_iter().flatten() {
        if !OWN_CLIENTS.contains(&client.as_str()) && !client.ends_with("-realm") {
            all.extend(names(list).into_iter().map(|name| format!("{client}:{name}")));
        }
    }
    let mut roles = Vec::new();
    for name in all {
        let role = name.to_lowercase();
        match check_role(&role) {
            Ok(()) => roles.push(role),
            Err(_) => noticed.leave_out(name),
        }
    }
    roles
}

/// The hash of the user's password as a PHC string.
fn password_hash(credentials: Option<&Value>) -> Result<Option<String>, String> {
    let list = match credentials {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("credentials must be a list".into()),
    };
    let is_password = |credential: &&Value| credential.get("type") == Some(&"password".into());
    let Some(credential) = list.iter().find(is_password) else { return Ok(None) };
    // Written by hand, for Keycloak to hash.
    if credential.get("value").is_some_and(|value| !value.is_null()) {
        return Err("has a password in plain text, which is not taken".into());
    }
    let (data, secret) = (part(credential, "credentialData")?, part(credential, "secretData")?);
    let malformed = || String::from("the password hash is malformed");
    let [hash, salt] = ["value", "salt"].map(|name| text(&secret, name).map(unpadded));
    let (hash, salt) = (hash.ok_or_else(malformed)?, salt.ok_or_else(malformed)?);
    let rounds = data.get("hashIterations").and_then(Value::as_u64).ok_or_else(malformed)?;
    let algorithm = text(&data, "algorithm").unwrap_or("pbkdf2-sha256");
    match algorithm {
        "pbkdf2" | "pbkdf2-sha256" | "pbkdf2-sha512" => {
            Ok(Some(format!("${algorithm}$i={rounds}${salt}${hash}")))
        }
        "argon2" => {
            let parameters = data.get("additionalParameters");
            let parameter = |name: &str| {
                // Each is a list of one.
                let value = parameters?.get(name)?;
                value.get(0).unwrap_or(value).as_str().map(str::to_owned)
            };
            let version = match parameter("version").as_deref() {
                Some("1.0") => 16,
                _ => 19,
            };
            let kind = parameter("type").unwrap_or_else(|| "id".into());
            let memory = parameter("memory").ok_or_else(malformed)?;
            let lanes = parameter("parallelism").ok_or_else(malformed)?;
            Ok(Some(format!(
                "$argon2{kind}$v={version}$m={memory},t={rounds},p={lanes}${salt}${hash}"
            )))
        }
        _ => Err("the password hash is of an unknown scheme".into()),
    }
}

/// A part of a credential: an object, or its text.
fn part(credential: &Value, name: &str) -> Result<Map<String, Value>, String> {
    match credential.get(name) {
        Some(Value::Object(part)) => Ok(part.clone()),
        Some(Value::String(text)) => {
            serde_json::from_str(text).map_err(|_| format!("{name} must be a JSON object"))
        }
        _ => Err(format!("{name} must be a JSON object")),
    }
}
