//! JSON without ambiguity: an object with a repeated member is refused, at any depth, so that no
//! other reader gets another value out of a token than was checked here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What an object is read into, member by member.
pub trait Members<'de>: Sized {
    /// Reads the value of the member `name` and returns true, or leaves it alone.
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads `json`, which has to be one object. What `members` leaves alone is checked and dropped.
pub fn object<'de, M: Members<'de>>(json: &'de [u8], members: M) -> serde_json::Result<M> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let members = reader.deserialize_map(ObjectVisitor(members))?;
    reader.end()?;
    Ok(members)
}

/// Reads a value into a slot that has to be empty.
pub fn once<'de, T, A>(slot: &mut Option<T>, map: &mut A) -> Result<bool, A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
{
    if slot.replace(map.next_value()?).is_some() {
        return Err(A::Error::custom("a member stands twice"));
    }
    Ok(true)
}

struct ObjectVisitor<M>(M);

impl<'de, M: Members<'de>> Visitor<'de> for ObjectVisitor<M> {
    type Value = M;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<M, A::Error> {
        let mut others = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            if !self.0.member(&name, &mut map)? {
                others.0.push(name);
                map.next_value::<Value<'de>>()?;
            }
        }
        others.check()?;
        Ok(self.0)
    }
}

/// The names of an object's members, looked at when all are there.
#[derive(Default)]
struct Names<'de>(Vec<Cow<'de, str>>);

impl Names<'_> {
    #[allow(clippy::indexing_slicing, reason = "windows of two have two")]
    fn check<E: Error>(mut self) -> Result<(), E> {
        self.0.sort_unstable();
        match self.0.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(E::custom("a member stands twice")),
            false => Ok(()),
        }
    }
}

/// Any value, of which only texts are kept. Repeated members are refused.
pub enum Value<'de> {
    /// A string.
    Text(Cow<'de, str>),
    /// The strings of an array.
    Texts {
        /// They.
        texts: Vec<Cow<'de, str>>,
        /// Whether there was nothing else in it.
        only: bool,
    },
    /// Something else.
    Other,
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut texts = Vec::new();
        let mut only = true;
        while let Some(item) = items.next_element()? {
            match item {
                Value::Text(text) => texts.push(text),
                _ => only = false,
            }
        }
        Ok(Value::Texts { texts, only })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            names.0.push(name);
            map.next_value::<Value<'de>>()?;
        }
        names.check()?;
        Ok(Value::Other)
    }
}

/// A string, borrowed where it holds no escapes.
pub struct Text<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// A moment in seconds since the Unix epoch (RFC 7519 section 2, `NumericDate`). Fractions, which
/// that allows, are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumericDate(pub i64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(NumericDateVisitor)
    }
}

struct NumericDateVisitor;

impl Visitor<'_> for NumericDateVisitor {
    type Value = NumericDate;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("seconds since 1970")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<NumericDate, E> {
        i64::try_from(seconds).map(NumericDate).map_err(|_| E::custom("not a moment"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<NumericDate, E> {
        Err(E::custom("before 1970"))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<NumericDate, E> {
        // Beyond 2^53 a double is no longer exact, and no moment of ours.
        match (0.0..9_007_199_254_740_992.0).contains(&seconds) {
            true => Ok(NumericDate(seconds as i64)),
            false => Err(E::custom("not a moment")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Pair<'de> {
        name: Option<Text<'de>>,
        at: Option<NumericDate>,
    }

    impl<'de> Members<'de> for Pair<'de> {
        fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
            match name {
                "name" => once(&mut self.name, map),
                "at" => once(&mut self.at, map),
                _ => Ok(false),
            }
        }
    }

    fn read(json: &str) -> Option<(String, i64)> {
        let pair = object(json.as_bytes(), Pair::default()).ok()?;
        Some((pair.name?.0.into_owned(), pair.at?.0))
    }

    #[test]
    fn members_are_read_and_others_dropped() {
        let read_whole = Some(("a\nb".to_owned(), 7));
        assert_eq!(read(r#"{"at":7,"name":"a\nb"}"#), read_whole);
        assert_eq!(
            read(r#" {"x":{"name":[1.5,null,true,"s",{}]},"at":7.9,"name":"a\nb"} "#),
            read_whole
        );
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_at_any_depth() {
        for twice in [
            r#"{"at":7,"name":"a","at":7}"#,
            r#"{"at":7,"name":"a","\u0061t":8}"#,
            r#"{"at":7,"name":"a","x":1,"y":2,"x":1}"#,
            r#"{"at":7,"name":"a","x":1,"\u0078":1}"#,
            r#"{"at":7,"name":"a","x":[{"y":{"z":1,"z":2}}]}"#,
        ] {
            assert_eq!(read(twice), None, "{twice}");
        }
    }

    #[test]
    fn what_is_no_object_or_no_moment_is_refused() {
        for bad in [
            "",
            "[]",
            "7",
            r#""at""#,
            r#"{"at":7,"name":"a"} 7"#,
            r#"{"at":7,"name":"a""#,
            r#"{"at":-7,"name":"a"}"#,
            r#"{"at":"7","name":"a"}"#,
            r#"{"at":1e300,"name":"a"}"#,
            r#"{"at":18446744073709551615,"name":"a"}"#,
            r#"{"at":null,"name":"a"}"#,
            r#"{"at":7,"name":7}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        assert!(object(deep.as_bytes(), Pair::default()).is_err());
    }
}
