//! Members of a change: an absent member stays as it is, so absent and null differ, and an unknown member
//! is an error, since the caller would take its change for made.

use serde_json::Value;

use super::Fields;
use crate::domain::users::Metadata;

/// The most unknown members that an answer names.
const MAX_NAMED: usize = 10;
/// The most bytes of an unknown name that an answer repeats.
const MAX_NAME: usize = 100;

impl Fields {
    /// Notes every member that is not among `known`.
    pub(crate) fn refuse_others(&mut self, known: &[&str]) {
        let is_known = |name: &String| known.contains(&name.as_str());
        let mut unknown: Vec<_> =
            self.members.keys().filter(|name| !is_known(name)).cloned().collect();
        unknown.sort();
        for name in unknown.iter().take(MAX_NAMED) {
            let name = name[..name.floor_char_boundary(MAX_NAME)].to_owned();
            self.reject(name, "is not known here");
        }
    }

    /// The text member `name`; empty for null. `None` where it is absent or not text.
    pub(crate) fn text_or_null(&mut self, name: &'static str) -> Option<String> {
        if !self.has(name) {
            return None;
        }
        let known = self.errors.len();
        let text = self.optional(name).unwrap_or_default();
        (self.errors.len() == known).then_some(text)
    }

    /// The member `name` that is true or false. `None` where it is absent or neither.
    pub(crate) fn flag_if_any(&mut self, name: &'static str) -> Option<bool> {
        match self.members.get(name)? {
            Value::Bool(flag) => Some(*flag),
            _ => {
                self.reject(name, "must be true or false");
                None
            }
        }
    }

    /// The member `name` that is a list of text. `None` where it is absent or not that.
    pub(crate) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts = match self.members.get(name)? {
            Value::Array(values) => values.iter().map(text).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.reject(name, "must be a list of text");
        }
        texts
    }

    /// Whether the member `name` is a list.
    pub(crate) fn is_list(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_array)
    }

    /// The member `name` that is an object; null where it is null. `None` where it is absent or
    /// neither.
    pub(crate) fn object_or_null(&mut self, name: &'static str) -> Option<Option<Metadata>> {
        match self.members.get(name)? {
            Value::Null => Some(None),
            Value::Object(members) => Some(Some(members.clone())),
            _ => {
                self.reject(name, "must be an object");
                None
            }
        }
    }
}
