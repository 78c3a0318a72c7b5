//! One definition of a request body: the fields of a struct make its schema, the names of its members
//! and the reading of each one.

use crate::base::display_name::check_display_name;
use crate::base::secret::Secret;
use crate::domain::credentials::Password;
use crate::domain::users::Email;

use super::Fields;

/// A type that a member of a body is read as.
pub(crate) trait Member: Sized {
    /// Reads the member `name` of `fields`. `None` where it is absent or wrong; what is wrong is noted
    /// in `fields`.
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self>;
}

/// A type that the schema of a member has.
pub(crate) trait Schema {
    /// Whether the member must be there.
    const IS_REQUIRED: bool;
}

impl Schema for String {
    const IS_REQUIRED: bool = true;
}

impl<T> Schema for Option<T> {
    const IS_REQUIRED: bool = false;
}

/// A request body.
pub(crate) trait Body: Sized {
    /// The names of its members.
    const NAMES: &'static [&'static str];

    /// Reads each member; what is wrong is noted in `fields`.
    fn read(fields: &mut Fields) -> Self;
}

/// Defines a [`Body`]. `member: Email as Option<String>` is read as an `Email` and is optional text in
/// the schema, with the documentation and the bounds that stand before it. In the struct each member is
/// an `Option`, `None` where it is absent or wrong.
macro_rules! request_body {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$member_meta:meta])* $seen:vis $member:ident: $type:ty as $schema:ty,)*
        }
    ) => {
        #[derive(utoipa::ToSchema)]
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$member_meta])* #[schema(value_type = $schema)] $seen $member: Option<$type>,)*
        }

        impl $crate::http::extract::Body for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($member)),*];

            fn read(fields: &mut $crate::http::extract::Fields) -> Self {
                use $crate::http::extract::Schema;
                Self { $($member: fields.member(stringify!($member), <$schema>::IS_REQUIRED),)* }
            }
        }
    };
}

pub(crate) use request_body;

impl Member for String {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        fields.optional(name)
    }
}

impl Member for Secret<String> {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        fields.secret(name)
    }
}

impl Member for Password {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        fields.secret(name).map(|text| Self::new(text.expose()))
    }
}

impl Member for Email {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let text = fields.optional(name)?;
        Self::parse(&text).map_err(|problem| fields.reject(name, problem)).ok()
    }
}

/// A name for people; `None` where the member is null or empty, which removes a name.
pub(crate) struct DisplayName(pub Option<String>);

impl Member for DisplayName {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let text = fields.text_or_null(name)?;
        check_display_name(&text).map_err(|problem| fields.reject(name, problem)).map(Self).ok()
    }
}

impl Member for Vec<String> {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        fields.texts(name)
    }
}
