//! A Django project's users: the records of `auth.user`, or of a model in its place, in what
//! `dumpdata` writes. Groups become roles. Superusers become administrators only where that is asked
//! for: whoever was trusted with a shop need not be trusted with everybody's login.

use crate::domain::roles::ADMIN_ROLE;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::dump::{self, Row};
use super::fields::Fields;
use super::members;
use super::rules::Job;
use super::sink::{Noticed, Sink};
use super::source::{self, Reader};
use crate::domain::users::Email;

const GROUP: &str = "auth.group";
/// More groups are no dump that anybody has.
const MAX_GROUPS: usize = 100_000;

impl Job {
    fn is_user(&self, model: &str) -> bool {
        match &self.django_model {
            Some(wanted) => model.eq_ignore_ascii_case(wanted),
            None => model.ends_with("auth.user"),
        }
    }
}

pub(super) fn read(reader: Reader, job: &Job, sink: &mut Sink) -> Result<()> {
    let mut groups = Groups::of(&job.path);
    let mut users = 0_u64;
    let wants = |model: &str| model == GROUP || job.is_user(model);
    dump::for_each(reader, wants, |record| {
        let row = record.value;
        if row.model == GROUP {
            return groups.add(&row);
        }
        if !job.is_user(&row.model) {
            sink.noticed.skip(&row.model);
            return Ok(());
        }
        users += 1;
        let (fields, problem) = fields(row, job, &mut groups, &mut sink.noticed)?;
        let email = fields.label();
        let fields = problem.map_or(Ok(fields), Err);
        sink.check(record.number, email, fields, record.bytes)
    })?;
    if users == 0
        && let Some(other) = sink.noticed.skipped.keys().find(|model| model.ends_with("user"))
    {
        let wanted = job.django_model.as_deref().unwrap_or("auth.user");
        bail!("the dump holds no {wanted}, but {other}: name it with --django-model {other}");
    }
    Ok(())
}

/// What a row says of a user, and what is wrong with it beyond that.
fn fields(
    row: Row,
    job: &Job,
    groups: &mut Groups,
    noticed: &mut Noticed,
) -> Result<(Fields, Option<String>)> {
    let Row { pk, mut fields, .. } = row;
    // A group that happens to be called so was never meant to administer Signet.
    let is_allowed = |role: &str| role != ADMIN_ROLE || job.rules.administrators.is_empty();
    let (roles, unknown_group) = match groups.roles(fields.get("groups"), is_allowed, noticed)? {
        Ok(roles) => (roles, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let mut granted = Vec::new();
    if fields.get("is_superuser") == Some(&Value::Bool(true)) {
        match job.superusers_are_admins {
            true => granted.push(ADMIN_ROLE.into()),
            false => noticed.superusers += 1,
        }
    }
    let disabled = members::not(&fields, "is_active");
    let problem = disabled.as_ref().err().cloned().or(unknown_group);
    let user = Fields {
        id: Some(pk),
        email: address(&mut fields),
        name: name(&fields),
        password_hash: fields.remove("password"),
        roles: Some(roles.into()),
        granted,
        disabled: disabled.unwrap_or_default(),
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

fn name(fields: &Map<String, Value>) -> Option<Value> {
    let part = |name| members::text(fields, name);
    members::full_name(part("first_name"), part("last_name"))
        .or_else(|| members::full_name(part("name"), None))
}

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

    fn add(&mut self, row: &Row) -> Result<()> {
        if let (Some(key), Some(Value::String(name))) = (key(&row.pk), row.fields.get("name")) {
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
        is_allowed: impl Fn(&str) -> bool,
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
            roles.extend(noticed.role(name, &is_allowed));
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
            let is_group = |model: &str| model == GROUP;
            dump::for_each(reader, is_group, |record| match record.value {
                row if row.model == GROUP => self.add(&row),
                _ => Ok(()),
            })?;
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
