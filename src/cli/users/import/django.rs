//! A Django project's users: the records of `auth.user`, or of a model in its place, in what
//! `dumpdata` writes. Groups become roles. Superusers become administrators only where that is asked
//! for: whoever was trusted with a shop need not be trusted with everybody's login.

use crate::domain::roles::{ADMIN_ROLE, check_role};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::dump::{self, Record};
use super::fields::Fields;
use super::job::{DjangoOptions, Job};
use super::report::plain;
use super::sink::{Noticed, Sink};
use super::source::{self, Reader};
use crate::domain::users::Email;

const GROUP: &str = "auth.group";
/// More groups are no dump that anybody has.
const MAX_GROUPS: usize = 100_000;

impl DjangoOptions {
    fn is_user(&self, model: &str) -> bool {
        match &self.model {
            Some(wanted) => model.eq_ignore_ascii_case(wanted),
            None => model.ends_with("auth.user"),
        }
    }
}

/// Reads all users.
pub(super) fn read(
    reader: Reader,
    job: &Job,
    sink: &mut Sink,
    noticed: &mut Noticed,
) -> Result<()> {
    let options = &job.django;
    let mut groups = Groups::of(&job.path);
    let mut users = 0_u64;
    let wants = |model: &str| model == GROUP || options.is_user(model);
    dump::for_each(reader, wants, |record| {
        if record.model == GROUP {
            return groups.add(&record);
        }
        if !options.is_user(&record.model) {
            noticed.skip(&record.model);
            return Ok(());
        }
        users += 1;
        let (place, bytes) = (record.number, record.bytes);
        let (fields, problem) = fields(record, job, &mut groups, noticed)?;
        let email = fields.label();
        let fields = problem.map_or(Ok(fields), Err);
        sink.check(place, email, fields, &job.rules, bytes)
    })?;
    if users == 0
        && let Some(other) = noticed.skipped.keys().find(|model| model.ends_with("user"))
    {
        let wanted = options.model.as_deref().unwrap_or("auth.user");
        let other = plain(other);
        bail!("the dump holds no {wanted}, but {other}: name it with --django-model {other}");
    }
    Ok(())
}

/// What a record says of a user, and what is wrong with it beyond that.
fn fields(
    record: Record,
    job: &Job,
    groups: &mut Groups,
    noticed: &mut Noticed,
) -> Result<(Fields, Option<String>)> {
    let Record { pk, mut fields, .. } = record;
    let mut problem = None;
    let keeps_admin = job.rules.keeps_administrators();
    let roles = groups.roles(fields.get("groups"), keeps_admin, noticed)?.unwrap_or_else(|why| {
        problem = Some(why);
        Vec::new()
    });
    let mut granted = Vec::new();
    if fields.get("is_superuser") == Some(&Value::Bool(true)) {
        match job.django.superusers_are_admins {
            true => granted.push(ADMIN_ROLE.into()),
            false => noticed.superusers += 1,
        }
    }
    let disabled = match fields.get("is_active") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(active)) => Some(Value::Bool(!active)),
        Some(_) => {
            problem = Some("is_active must be true or false".into());
            None
        }
    };
    let user = Fields {
        id: Some(pk),
        email: address(&mut fields),
        name: name(&mut fields),
        password_hash: fields.remove("password"),
        roles: Some(roles.into()),
        granted,
        disabled,
        created_at: fields.remove("date_joined"),
        ..Fields::default()
    };
    Ok((user, problem))
}

/// Projects that log in by e-mail often keep it as the username alone.
fn address(fields: &mut Map<String, Value>) -> Option<Value> {
    let email = fields.remove("email");
    let is_blank = email.as_ref().is_none_or(|email| email.is_null() || email == "");
    let username = fields.remove("username");
    let is_address = |name: &Value| name.as_str().is_some_and(|name| Email::parse(name).is_ok());
    if is_blank { username.filter(is_address) } else { email }
}

fn name(fields: &mut Map<String, Value>) -> Option<Value> {
    let mut part = |name: &str| match fields.remove(name) {
        Some(Value::String(part)) => part.trim().to_owned(),
        _ => String::new(),
    };
    let whole = format!("{} {}", part("first_name"), part("last_name"));
    let whole = if whole.trim().is_empty() { part("name") } else { whole };
    Some(Value::String(whole))
}

/// The groups of the dump, by primary key.
struct Groups {
    names: HashMap<String, String>,
    /// The dump, while it has not been searched for groups that come after their users.
    unsearched: Option<PathBuf>,
}

impl Groups {
    fn of(path: &Path) -> Self {
        // What cannot be read twice has to have them first.
        let again = source::length(path).map(|_| path.to_owned());
        Self { names: HashMap::new(), unsearched: again }
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        if let (Some(key), Some(Value::String(name))) = (key(&record.pk), record.fields.get("name"))
        {
            self.names.insert(key, name.clone());
        }
        if self.names.len() > MAX_GROUPS {
            bail!("the dump has more than {MAX_GROUPS} groups");
        }
        Ok(())
    }

    /// The roles of a user's groups; within, a sentence for the operator where one is not known.
    fn roles(
        &mut self,
        groups: Option<&Value>,
        keeps_admin: bool,
        noticed: &mut Noticed,
    ) -> Result<Result<Vec<String>, String>> {
        let groups = match groups {
            None | Some(Value::Null) => return Ok(Ok(Vec::new())),
            Some(Value::Array(groups)) => groups,
            Some(_) => return Ok(Err("groups must be a list".into())),
        };
        let mut roles = Vec::new();
        for group in groups {
            let Some(name) = self.name(group)? else {
                let why = "is in a group that the dump does not hold: dump auth.group as well, \
                           first where it is read from standard input";
                return Ok(Err(why.into()));
            };
            let role = name.to_lowercase();
            // A group that happens to be called so was never meant to administer Signet.
            if check_role(&role).is_ok() && (role != ADMIN_ROLE || keeps_admin) {
                roles.push(role);
            } else {
                noticed.leave_out(name);
            }
        }
        Ok(Ok(roles))
    }

    /// The name of a group that a user refers to: by a list with its name (a natural key), or by its
    /// primary key.
    fn name(&mut self, group: &Value) -> Result<Option<String>> {
        if let Some([Value::String(name)]) = group.as_array().map(Vec::as_slice) {
            return Ok(Some(name.clone()));
        }
        let Some(key) = key(group) else { return Ok(None) };
        if !self.names.contains_key(&key)
            && let Some(path) = self.unsearched.take()
        {
            let reader = source::open(&path, std::sync::Arc::default())?;
            dump::for_each(
                reader,
                |model| model == GROUP,
                |record| {
                    if record.model == GROUP { self.add(&record) } else { Ok(()) }
                },
            )?;
        }
        Ok(self.names.get(&key).cloned())
    }
}

fn key(pk: &Value) -> Option<String> {
    match pk {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}
