//! What a file says of one user, read leniently where databases differ in how they write the same
//! (flags, lists, times) and then held to the rules of sign-up. Invariant: no message shows a value,
//! which in a file whose columns have slipped could be a hash.

use crate::base::display_name::{MAX_DISPLAY_NAME, check_display_name};
use crate::domain::credentials::password;
use crate::domain::roles::check_roles;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::dates;
use super::rules::{Rules, Warning};
use crate::base::secret::Secret;
use crate::domain::users::import::{ImportedUser, keep_id};
use crate::domain::users::{Email, Metadata, check_metadata};

type Checked<T> = Result<T, String>;

/// One user, as written. What is null or blank counts as not said.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    pub id: Option<Value>,
    pub email: Option<Value>,
    pub name: Option<Value>,
    pub password_hash: Option<Value>,
    pub roles: Option<Value>,
    pub disabled: Option<Value>,
    pub email_verified: Option<Value>,
    pub created_at: Option<Value>,
    pub metadata: Option<Value>,
    /// Roles that the operator asked for, whatever they carry.
    #[serde(skip)]
    pub granted: Vec<String>,
}

impl Fields {
    /// Their names, in the order in which an export writes them.
    pub(crate) const NAMES: [&str; 9] = [
        "id",
        "email",
        "name",
        "password_hash",
        "roles",
        "disabled",
        "email_verified",
        "created_at",
        "metadata",
    ];

    pub(crate) fn label(&self) -> String {
        self.email.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Checks all of it by `rules`; the error is a sentence for the operator, after the user's place.
    /// What the user comes in without is added to `warnings`.
    pub(crate) fn check(self, rules: &Rules, warnings: &mut Vec<Warning>) -> Checked<ImportedUser> {
        let email = text("email", self.email)?.ok_or("has no e-mail address")?;
        let email = Email::parse(&email).map_err(|problem| format!("email {problem}"))?;
        let name = cut(text("name", self.name)?.unwrap_or_default(), warnings);
        let name = check_display_name(&name).map_err(|problem| format!("name {problem}"))?;
        let metadata = object(self.metadata)?;
        let (id, metadata) = identity(self.id, metadata)?;
        let metadata = metadata.map(|members| check_metadata(members.into())).transpose();
        let metadata = metadata.map_err(|problem| format!("metadata {problem}"))?;
        let (roles, left_out) = roles(self.roles, self.granted, rules)?;
        warnings.extend(left_out.iter().cloned().map(Warning::RoleLeftOut));
        let created_at = dates::read(self.created_at.as_ref(), rules.now).unwrap_or_else(|| {
            warnings.push(Warning::DateLeftOut);
            None
        });
        Ok(ImportedUser {
            id,
            email,
            password_hash: hash(text("password_hash", self.password_hash)?)?,
            name,
            roles,
            left_out,
            disabled: flag("disabled", self.disabled)?,
            email_verified: flag("email_verified", self.email_verified)?,
            created_at,
            metadata,
        })
    }
}

fn text(name: &str, value: Option<Value>) -> Checked<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.trim().is_empty()).then_some(text)),
        Some(_) => Err(format!("{name} must be a string")),
    }
}

/// A UUID is kept as the id, anything else beside it.
fn identity(
    id: Option<Value>,
    metadata: Option<Metadata>,
) -> Checked<(Option<Uuid>, Option<Metadata>)> {
    let id = match id {
        Some(Value::Number(id)) if id.is_i64() || id.is_u64() => id.to_string(),
        Some(Value::Number(_)) => return Err("id must be a string or a whole number".into()),
        id => match text("id", id)? {
            None => return Ok((None, metadata)),
            Some(id) => match Uuid::try_parse(id.trim()) {
                // Some systems write one of these instead of a missing id.
                Ok(id) if id.is_nil() || id.is_max() => {
                    return Err("id must not be the nil or the max UUID".into());
                }
                Ok(id) => return Ok((Some(id), metadata)),
                Err(_) => id.trim().to_owned(),
            },
        },
    };
    let mut metadata = metadata.unwrap_or_default();
    keep_id(&mut metadata, id).map_err(|problem| format!("id {problem}"))?;
    Ok((None, Some(metadata)))
}

/// Django writes `!` and something random for a user who has no password; so do others.
fn hash(hash: Option<String>) -> Checked<Option<Secret<String>>> {
    let hash = hash.map(|hash| Secret::new(hash.trim().to_owned()));
    let Some(hash) = hash.filter(|hash| !hash.expose().starts_with('!')) else { return Ok(None) };
    password::check_stored(hash.expose())
        .map_err(|problem| format!("the password hash {problem}"))?;
    Ok(Some(hash))
}

/// A name with no more characters than a name may have.
fn cut(name: String, warnings: &mut Vec<Warning>) -> String {
    let name = name.trim();
    match name.char_indices().nth(MAX_DISPLAY_NAME) {
        None => name.to_owned(),
        Some((end, _)) => {
            warnings.push(Warning::NameCut);
            name.get(..end).unwrap_or_default().to_owned()
        }
    }
}

/// A list, or names apart by white space, commas or semicolons: those to come in with, and those that
/// `rules` leave out.
fn roles(
    value: Option<Value>,
    granted: Vec<String>,
    rules: &Rules,
) -> Checked<(Option<Vec<String>>, Vec<String>)> {
    let names: Vec<String> = match value {
        None | Some(Value::Null) => return Ok((None, Vec::new())),
        Some(Value::String(names)) => {
            let apart = |c: char| c.is_whitespace() || ",;".contains(c);
            names.split(apart).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        Some(value) => serde_json::from_value(value)
            .map_err(|_| "roles must be a list of strings, or names apart by spaces")?,
    };
    let names = check_roles(&names)?;
    let (left_out, mut names): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| rules.leaves_out(name));
    names.extend(granted);
    Ok((Some(check_roles(&names)?), left_out))
}

/// What JSON, SQLite, PostgreSQL and MySQL write for yes and no.
fn flag(name: &str, value: Option<Value>) -> Checked<Option<bool>> {
    let word = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Bool(flag)) => return Ok(Some(flag)),
        Some(Value::String(word)) => word.trim().to_lowercase(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => String::from("neither"),
    };
    match word.as_str() {
        "" => Ok(None),
        "true" | "t" | "yes" | "y" | "1" => Ok(Some(true)),
        "false" | "f" | "no" | "n" | "0" => Ok(Some(false)),
        _ => Err(format!("{name} must be true or false")),
    }
}

fn object(value: Option<Value>) -> Checked<Option<Metadata>> {
    let refused = || String::from("metadata must be a JSON object");
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => serde_json::from_str(&text).map(Some).map_err(|_| refused()),
        Some(_) => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::time::Timestamp;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng";

    fn check(value: Value) -> Checked<ImportedUser> {
        let (user, warnings) = check_by(value, &["admin"])?;
        assert_eq!(warnings, []);
        Ok(user)
    }

    fn check_by(
        mut value: Value,
        administrators: &[&str],
    ) -> Checked<(ImportedUser, Vec<Warning>)> {
        let object = value.as_object_mut().unwrap();
        object.entry("email").or_insert_with(|| json!("ada@example.com"));
        let fields: Fields = serde_json::from_value(value).unwrap();
        let now = Timestamp::from_unix(1_764_547_200);
        let administrators = administrators.iter().map(|role| role.to_string()).collect();
        let mut warnings = Vec::new();
        let user = fields.check(&Rules { now, administrators }, &mut warnings)?;
        Ok((user, warnings))
    }

    #[test]
    fn what_cannot_come_in_costs_nothing_else() {
        let long = "\u{e9}".repeat(201);
        let (user, warnings) = check_by(json!({"name": format!(" {long}")}), &[]).unwrap();
        assert_eq!((user.name.unwrap().chars().count(), warnings), (200, vec![Warning::NameCut]));
        for date in [json!("yesterday"), json!("2026-01-01"), json!(-1), json!("1969-01-01")] {
            let (user, warnings) = check_by(json!({"created_at": date}), &[]).unwrap();
            assert_eq!((user.created_at, warnings), (None, vec![Warning::DateLeftOut]), "{date}");
        }
        let roles = json!({"roles": ["a", "admin", "root"]});
        let (user, warnings) = check_by(roles.clone(), &["admin", "root"]).unwrap();
        assert_eq!((user.roles.unwrap(), user.left_out.len()), (vec!["a".to_owned()], 2));
        let left_out = |role: &str| Warning::RoleLeftOut(role.into());
        assert_eq!(warnings, [left_out("admin"), left_out("root")]);
        let (user, warnings) = check_by(roles, &[]).unwrap();
        assert_eq!((user.roles.unwrap().len(), warnings.len()), (3, 0));
    }

    #[test]
    fn the_same_is_written_in_many_ways() {
        for flag in [json!(true), json!(1), json!("1"), json!("t"), json!(" TRUE "), json!("yes")] {
            assert_eq!(check(json!({"disabled": flag})).unwrap().disabled, Some(true));
        }
        for flag in [json!(false), json!(0), json!("0"), json!("f"), json!("False"), json!("no")] {
            assert_eq!(check(json!({"email_verified": flag})).unwrap().email_verified, Some(false));
        }
        for roles in [json!(["a", "b", "a"]), json!("a b"), json!("a, b"), json!("a;b;")] {
            let user = check(json!({"roles": roles})).unwrap();
            assert_eq!(user.roles.unwrap(), ["a", "b"]);
        }
        for metadata in [json!({"team": 1}), json!("{\"team\": 1}")] {
            let user = check(json!({"metadata": metadata})).unwrap();
            assert_eq!(Value::Object(user.metadata.unwrap()), json!({"team": 1}));
        }
        let user = check(json!({"created_at": "2024-02-29"})).unwrap();
        assert_eq!(user.created_at.unwrap().to_string(), "2024-02-29T00:00:00Z");
    }

    #[test]
    fn what_is_null_or_blank_is_not_said() {
        for nothing in [json!(null), json!(""), json!("  ")] {
            let mut all: serde_json::Map<_, _> =
                Fields::NAMES.iter().map(|name| (name.to_string(), nothing.clone())).collect();
            all["email"] = json!("ada@example.com");
            let user = check(Value::Object(all)).unwrap();
            assert!(user.password_hash.is_none() && user.name.is_none() && user.id.is_none());
            assert!(user.roles.is_none_or(|roles| roles.is_empty()) && user.metadata.is_none());
            assert!(user.disabled.is_none() && user.email_verified.is_none());
            assert!(user.created_at.is_none());
        }
        assert!(check(json!({"password_hash": "!Xy"})).unwrap().password_hash.is_none());
        assert!(check(json!({"password_hash": HASH})).unwrap().password_hash.is_some());
    }

    #[test]
    fn an_id_is_kept_in_one_place_or_the_other() {
        let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        for written in [id.to_owned(), id.to_uppercase(), id.replace('-', "")] {
            let user = check(json!({"id": written, "metadata": {"a": 1}})).unwrap();
            assert_eq!(user.id.unwrap().to_string(), id);
            assert_eq!(user.metadata.unwrap().len(), 1);
        }
        for (written, kept) in [(json!(42), "42"), (json!(" 42 "), "42"), (json!("u_9"), "u_9")] {
            let user = check(json!({"id": written})).unwrap();
            assert_eq!((user.id, &user.metadata.unwrap()["imported_id"]), (None, &json!(kept)));
        }
        for (id, metadata) in [
            (json!(1.5), json!({})),
            (json!([1]), json!({})),
            (json!(true), json!({})),
            (json!(1), json!({"imported_id": "2"})),
            (json!("a\u{0}b"), json!({})),
            (json!(Uuid::nil()), json!({})),
            (json!(Uuid::max()), json!({})),
        ] {
            let refused = check(json!({"id": id, "metadata": metadata})).unwrap_err();
            assert!(refused.starts_with("id "), "{refused}");
        }
    }

    #[test]
    fn the_bounds_are_those_of_every_user() {
        let user = check(json!({"roles": "a ".repeat(40)})).unwrap();
        assert_eq!(user.roles.unwrap(), ["a"]);
        // The imported id takes its room too.
        let filled = |length: usize| json!({"a": "x".repeat(length)});
        let room = 16 * 1024 - filled(0).to_string().len();
        assert!(check(json!({"metadata": filled(room)})).is_ok());
        for user in [
            json!({"metadata": filled(room + 1)}),
            json!({"metadata": filled(room + 1).to_string()}),
            json!({"metadata": filled(room), "id": 7}),
        ] {
            assert_eq!(check(user).unwrap_err(), "metadata must have at most 16 KiB as JSON");
        }
    }

    #[test]
    fn refusals_say_why_and_show_no_value() {
        let secret = "$2x$10$abcdefghijklmnopqrstuv";
        for (name, values) in [
            ("email", vec![json!(secret), json!([secret]), json!(null), json!(7)]),
            ("name", vec![json!("a\u{0}b"), json!({"a": secret})]),
            ("password_hash", vec![json!(secret), json!(7), json!([secret]), json!("plain")]),
            ("roles", vec![json!("Not A Role"), json!([1]), json!({}), json!([secret])]),
            ("disabled", vec![json!(secret), json!(2), json!([true])]),
            ("email_verified", vec![json!("perhaps"), json!({})]),
            ("metadata", vec![json!(secret), json!([1]), json!("[1]"), json!(3)]),
            ("metadata", vec![json!({"a": u64::MAX}), json!("{\"a\": 1e300}"), json!({"": 1})]),
        ] {
            for value in values {
                let refused = check(json!({name: value})).expect_err(name);
                assert!(!refused.contains("abcdef"), "{name}: {refused}");
            }
        }
    }
}
