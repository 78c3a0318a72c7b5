//! The members of JSON bodies and forms, with everything that is wrong in them collected.

mod form;
mod member;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Payload;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroize;

use super::{BodyError, body};
use crate::base::secret::Secret;
use crate::domain::credentials::Password;
use crate::http::error::{FieldError, Problem};

pub(crate) use form::read_form;
pub(crate) use member::{Body, DisplayName, Member, NotNull, Object, Reading, Schema};
pub(crate) use member::{name_of, request_body};

const MAX_NAMED: usize = 10;
/// The most bytes of an unknown name that an answer repeats.
const MAX_NAME: usize = 100;

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
    pub(crate) async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, BodyError> {
        Self::read_as(Reading::JSON, request, payload).await
    }

    /// Reads the JSON object of `request` within the bounds of `reading`.
    pub(crate) async fn read_as(
        reading: Reading,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, BodyError> {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
        let is_absent = !headers.contains_key(header::TRANSFER_ENCODING)
            && length.is_none_or(|length| length == b"0");
        if reading.may_be_absent && is_absent {
            return Ok(Self { members: HashMap::new(), errors: Vec::new() });
        }
        let (text, _) = body(request, payload, reading.media_types, reading.max_bytes).await?;
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

    pub(crate) fn body<B: Body>(&mut self) -> B {
        if B::READING.refuses_others {
            self.refuse_others(B::NAMES);
        }
        B::read(self)
    }

    /// Reads the member `name`; where it is required, its absence is an error.
    pub(crate) fn member<T: Member>(&mut self, name: &'static str, is_required: bool) -> Option<T> {
        let value = T::read(self, name);
        if is_required && value.is_none() {
            self.require(name);
        }
        value
    }

    /// Notes that the member `name`, which was not read, is missing, unless something else is wrong
    /// with it.
    pub(crate) fn require(&mut self, name: &'static str) {
        if self.errors.iter().all(|error| error.field != name) {
            self.reject(name, "is missing");
        }
    }

    /// Notes every member that is not among `known`, since the caller would take its change for made.
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

    pub(crate) fn is_list(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_array)
    }

    /// Whether the object has a member `name` at all, null included.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(crate) fn reject(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) {
        self.errors.push(FieldError { field: name.into(), message: message.into() });
    }

    /// Notes that `name` is wrong, and returns nothing.
    pub(crate) fn refuse<T>(&mut self, name: &'static str, message: &str) -> Option<T> {
        self.reject(name, message);
        None
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

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
