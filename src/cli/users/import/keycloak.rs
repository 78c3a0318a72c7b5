//! The users of a Keycloak realm: `users` in what `kc.sh export` writes, whole or in files of their own.
//! Realm roles and the roles of clients become roles; groups, second factors and links to other
//! systems stay behind.

use anyhow::Result;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::members::{self, MALFORMED, UNKNOWN, text, unpadded};
use super::records::Top;
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
const OWN_ROLES: [&str; 2] = ["offline_access", "uma_authorization"];

pub(super) fn read(reader: Reader, sink: &mut Sink) -> Result<()> {
    members::read(reader, Top::List(&["users"]), sink, members::label, |user, noticed| {
        // The service account of a client.
        if text(&user, "serviceAccountClientId").is_some() {
            noticed.skip("service account");
            return None;
        }
        Some(fields(user, noticed))
    })
}

fn fields(mut user: Map<String, Value>, noticed: &mut Noticed) -> Result<Fields, String> {
    let email = members::address(&user, "email");
    let roles = roles(&user, noticed);
    Ok(Fields {
        id: user.get("id").cloned(),
        name: members::full_name(text(&user, "firstName"), text(&user, "lastName")),
        password_hash: password_hash(user.get("credentials"))?.map(Value::String),
        roles: Some(roles.into()),
        disabled: members::not(&user, "enabled")?,
        email_verified: user.get("emailVerified").cloned(),
        created_at: user.get("createdTimestamp").cloned(),
        metadata: members::metadata(&mut user, &["username", "attributes"], email.as_ref()),
        email,
        ..Fields::default()
    })
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
    all.into_iter().filter_map(|name| noticed.role(name, |_| true)).collect()
}

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
    let [hash, salt] = ["value", "salt"].map(|name| text(&secret, name).map(unpadded));
    let (hash, salt) = (hash.ok_or(MALFORMED)?, salt.ok_or(MALFORMED)?);
    let rounds = data.get("hashIterations").and_then(Value::as_u64).ok_or(MALFORMED)?;
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
            let memory = parameter("memory").ok_or(MALFORMED)?;
            let lanes = parameter("parallelism").ok_or(MALFORMED)?;
            Ok(Some(format!(
                "$argon2{kind}$v={version}$m={memory},t={rounds},p={lanes}${salt}${hash}"
            )))
        }
        _ => Err(UNKNOWN.into()),
    }
}

fn part(credential: &Value, name: &str) -> Result<Map<String, Value>, String> {
    match credential.get(name) {
        Some(Value::Object(part)) => Ok(part.clone()),
        Some(Value::String(text)) => {
            serde_json::from_str(text).map_err(|_| format!("{name} must be a JSON object"))
        }
        _ => Err(format!("{name} must be a JSON object")),
    }
}
