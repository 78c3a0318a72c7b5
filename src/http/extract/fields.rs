//! The members of JSON bodies and forms, with everything that is wrong in them collected.

mod changes;
mod form;
mod member;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Payload;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroize;

use super::{BodyError, MAX_BODY, MediaType, body};
use crate::base::secret::Secret;
use crate::domain::credentials::Password;
use crate::http::error::{FieldError, Problem};

pub(crate) use form::read_form;
pub(crate) use member::request_body;
pub(crate) use member::{Body, DisplayName, Member, Schema};

/// The members of a JSON object or a form, with everything that is wrong in them collected.
pub(crate) struct Fields {
    members: HashMap<String, Value>,
    errors: Vec<FieldError>,
}

/// A JSON object in which no member is repeated: readers differ in which one they take (RFC 8259
/// section 4), and so could be set against each other.
struct Members(HashMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = HashMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a member is repeated"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Fields {
    /// Reads the JSON object of `request`.
    pub(crate) async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, BodyError> {
        Self::read_up_to(MAX_BODY, request, payload).await
    }

    /// The same where nothing need be said: a request without a body has no members.
    pub(crate) async fn read_if_any(
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, BodyError> {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
        let empty = !headers.contains_key(header::TRANSFER_ENCODING)
            && length.is_none_or(|length| length == b"0");
        if empty {
            return Ok(Self { members: HashMap::new(), errors: Vec::new() });
        }
        Self::read(request, payload).await
    }

    /// The same where up to `longest` bytes may come.
    pub(crate) async fn read_up_to(
        longest: usize,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, BodyError> {
        let (text, _) = body(request, payload, &[MediaType::Json], longest).await?;
        Self::parse(text)
    }

    /// The same for a change, which may be called a merge patch (RFC 7396) as well.
    pub(crate) async fn read_patch(
        longest: usize,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, BodyError> {
        let media_types = &[MediaType::Json, MediaType::MergePatch];
        let (text, _) = body(request, payload, media_types, longest).await?;
        Self::parse(text)
    }

    fn parse(text: Secret<String>) -> Result<Self, BodyError> {
        match serde_json::from_str(text.expose()) {
            Ok(Members(members)) => Ok(Self { members, errors: Vec::new() }),
            Err(error) if error.is_data() => {
                Err(BodyError::Malformed("the body must be a JSON object without repeated members"))
            }
            Err(_) => Err(BodyError::Malformed("the body is not JSON")),
        }
    }

    /// Reads the members of `B`, and ignores others.
    pub(crate) fn body<B: Body>(&mut self) -> B {
        B::read(self)
    }

    /// Reads the member `name`; where it is required, its absence is an error.
    pub(crate) fn member<T: Member>(&mut self, name: &'static str, is_required: bool) -> Option<T> {
        let known = self.errors.len();
        let value = T::read(self, name);
        if is_required && value.is_none() && self.errors.len() == known {
            self.reject(name, "is missing");
        }
        value
    }

    /// Notes what is wrong with a password that the owner of `login` chooses in the member `name`.
    pub(crate) fn check_new_password(
        &mut self,
        name: &'static str,
        password: Option<&Password>,
        login: &str,
    ) {
        if let Some(Err(problem)) = password.map(|password| password.check_new(login)) {
            self.reject(name, problem);
        }
    }

    /// The text member `name`; absent and null are the same. Another type is an error.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<String> {
        match self.members.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.reject(name, "must be text");
                None
            }
        }
    }

    /// The password member `name`, which must be there; no copy of it is left behind.
    pub(crate) fn password(&mut self, name: &'static str) -> Option<Password> {
        match self.members.get(name) {
            Some(Value::String(text)) => Some(Password::new(text)),
            _ => {
                self.required(name);
                None
            }
        }
    }

    /// The text member `name`, which must be there.
    pub(crate) fn required(&mut self, name: &'static str) -> Option<String> {
        let known = self.errors.len();
        let value = self.optional(name);
        if value.is_none() && self.errors.len() == known {
            self.reject(name, "is missing");
        }
        value
    }

    /// The text member `name`, which must not be seen; no copy of it is left behind.
    pub(crate) fn secret(&mut self, name: &'static str) -> Option<Secret<String>> {
        self.optional(name).map(Secret::new)
    }

    /// The same, which must be there.
    pub(crate) fn required_secret(&mut self, name: &'static str) -> Option<Secret<String>> {
        self.required(name).map(Secret::new)
    }

    /// The member `name` that is true or false; absent and null are false.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        match self.members.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.reject(name, "must be true or false");
                false
            }
        }
    }

    /// The time span `name`: text such as `1h`, as in the configuration, or whole seconds.
    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let duration = match self.members.get(name) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) => humantime::parse_duration(text).ok(),
            Some(value) => value.as_u64().map(Duration::from_secs),
        };
        if duration.is_none() {
            self.reject(name, "must be a duration such as 1h, or whole seconds");
        }
        duration
    }

    /// Whether the object has a member `name` at all, null included.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Notes that `name` is wrong.
    pub(crate) fn reject(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) {
        self.errors.push(FieldError { field: name.into(), message: message.into() });
    }

    /// Whether anything was wrong so far.
    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Succeeds if nothing was wrong.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let errors = std::mem::take(&mut self.errors);
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(errors)) }
    }

    /// Returns `read`, which required members make, if nothing was wrong.
    pub(crate) fn finish_with<T>(self, read: Option<T>) -> Result<T, Problem> {
        self.finish()?;
        read.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete"))
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        for value in self.members.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}
