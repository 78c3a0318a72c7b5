//! One definition of a request body: the fields of a struct make its schema, the names of its members
//! and the reading of each one.

use std::time::Duration;

use serde_json::Value;

use super::Fields;
use crate::base::display_name::check_display_name;
use crate::base::secret::Secret;
use crate::domain::credentials::Password;
use crate::domain::users::{Email, Metadata};
use crate::http::extract::{MAX_BODY, MediaType};

pub(crate) trait Member: Sized {
    /// Reads the member `name` of `fields`. `None` where it is absent or wrong; what is wrong is noted
    /// in `fields`.
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self>;
}

pub(crate) trait Schema {
    const IS_REQUIRED: bool;
}

impl Schema for String {
    const IS_REQUIRED: bool = true;
}

impl<T> Schema for Option<T> {
    const IS_REQUIRED: bool = false;
}

/// Any object, which the schema knows by this name.
pub(crate) enum Object {}

/// How a JSON body is read.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(super) media_types: &'static [MediaType],
    pub(super) max_bytes: usize,
    pub(super) may_be_absent: bool,
    pub(super) refuses_others: bool,
}

impl Reading {
    /// An object of which other members are ignored.
    pub(crate) const JSON: Self = Self {
        media_types: &[MediaType::Json],
        max_bytes: MAX_BODY,
        may_be_absent: false,
        refuses_others: false,
    };
    /// A change, which may be called a merge patch (RFC 7396) as well, and refuses other members.
    pub(crate) const PATCH: Self = Self {
        media_types: &[MediaType::Json, MediaType::MergePatch],
        ..Self::JSON.refusing_others()
    };

    /// The same of at most `max_bytes` bytes.
    pub(crate) const fn up_to(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// The same where a request without a body has no members.
    pub(crate) const fn if_any(self) -> Self {
        Self { may_be_absent: true, ..self }
    }

    /// The same where other members are errors.
    pub(crate) const fn refusing_others(self) -> Self {
        Self { refuses_others: true, ..self }
    }
}

pub(crate) trait Body: Sized {
    const NAMES: &'static [&'static str];
    /// How it is read, where an extractor does that.
    const READING: Reading = Reading::JSON;

    /// Reads each member; what is wrong is noted in `fields`.
    fn read(fields: &mut Fields) -> Self;
}

/// Defines a [`Body`]. `member: Email as Option<String>` is read as an `Email` and is optional text in
/// the schema, with the documentation and the bounds that stand before it. In the struct each member is
/// an `Option`, `None` where it is absent or wrong. What stands in parentheses is its [`Reading`].
macro_rules! request_body {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident $(($reading:expr))? {
            $($(#[$member_meta:meta])* $seen:vis $member:ident: $type:ty as $schema:ty,)*
        }
    ) => {
        #[derive(utoipa::ToSchema)]
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$member_meta])* #[schema(value_type = $schema)] $seen $member: Option<$type>,)*
        }

        impl $crate::http::extract::Body for $name {
            const NAMES: &'static [&'static str] =
                &[$($crate::http::extract::name_of(stringify!($member))),*];
            $(const READING: $crate::http::extract::Reading = $reading;)?

            fn read(fields: &mut $crate::http::extract::Fields) -> Self {
                use $crate::http::extract::{Schema, name_of};
                Self {
                    $($member: fields.member(
                        const { name_of(stringify!($member)) },
                        <$schema>::IS_REQUIRED,
                    ),)*
                }
            }
        }
    };
}

pub(crate) use request_body;

/// The name of a member, which can be a word of the language.
pub(crate) const fn name_of(identifier: &'static str) -> &'static str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// Text; null counts as absent.
impl Member for String {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        match fields.members.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => fields.refuse(name, "must be text"),
        }
    }
}

impl Member for Secret<String> {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        String::read(fields, name).map(Secret::new)
    }
}

impl Member for Password {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        Secret::read(fields, name).map(|text| Self::new(text.expose()))
    }
}

impl Member for Email {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let text = String::read(fields, name)?;
        Self::parse(&text).map_err(|problem| fields.reject(name, problem)).ok()
    }
}

/// A name for people; `None` where the member is null or empty, which removes a name.
pub(crate) struct DisplayName(pub Option<String>);

impl Member for DisplayName {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let text = Option::<String>::read(fields, name)?.unwrap_or_default();
        check_display_name(&text).map_err(|problem| fields.reject(name, problem)).map(Self).ok()
    }
}

impl Member for Vec<String> {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts = match fields.members.get(name)? {
            Value::Array(values) => values.iter().map(text).collect(),
            _ => None,
        };
        texts.or_else(|| fields.refuse(name, "must be a list of text"))
    }
}

impl Member for bool {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let flag = fields.members.get(name)?.as_bool();
        flag.or_else(|| fields.refuse(name, "must be true or false"))
    }
}

/// Text such as `1h`, as in the configuration, or whole seconds; null counts as absent.
impl Member for Duration {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let duration = match fields.members.get(name)? {
            Value::Null => return None,
            Value::String(text) => humantime::parse_duration(text).ok(),
            value => value.as_u64().map(Self::from_secs),
        };
        duration.or_else(|| fields.refuse(name, "must be a duration such as 1h, or whole seconds"))
    }
}

impl Member for Metadata {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let members = fields.members.get(name)?.as_object().cloned();
        members.or_else(|| fields.refuse(name, "must be an object"))
    }
}

/// A member that says something by null too, which is `Some(None)`.
impl<T: Member> Member for Option<T> {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        match fields.members.get(name)? {
            Value::Null => Some(None),
            _ => T::read(fields, name).map(Some),
        }
    }
}

/// A member that may be absent, but not null.
pub(crate) struct NotNull<T>(pub T);

impl<T: Member> Member for NotNull<T> {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        match fields.members.get(name)? {
            Value::Null => fields.refuse(name, "must not be null"),
            _ => T::read(fields, name).map(Self),
        }
    }
}
