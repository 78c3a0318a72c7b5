//! Lists of JSON values in the forms that other systems write, one value after the other: an array, an
//! object with the list in one of its members, or values that stand one after the other. Nothing but the
//! present value is held, and that is bounded.

use std::fmt;
use std::io::{BufRead, Read};
use std::marker::PhantomData;

use anyhow::{Context, Result, anyhow};
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::IoRead;
use serde_json::{Deserializer, Map, Value};

use super::source::{Allowance, Reader};

/// Longer values are no users.
const MAX_RECORD: u64 = 1024 * 1024;

/// What an object at the top of a file is.
#[derive(Clone, Copy)]
pub(super) enum Top {
    /// A record; others may follow.
    Record,
    /// What holds the list, in a member of one of these names.
    List(&'static [&'static str]),
}

pub(super) struct Record<V = Value> {
    /// Its place in the list, from 1 on.
    pub number: u64,
    pub value: V,
    /// How long it is in the file; at most the bound.
    pub bytes: usize,
}

/// How a list is read, and what messages call it.
pub(super) struct Form<S> {
    pub top: Top,
    pub seed: S,
    pub allowance: Allowance,
    pub file: &'static str,
    /// What the file is not, before and after the place where that shows.
    pub expected: [&'static str; 2],
}

pub(super) fn allowance() -> Allowance {
    Allowance::new(MAX_RECORD)
}

/// Calls `take` for each value of the list in `reader`.
pub(super) fn for_each(
    reader: Reader,
    top: Top,
    take: impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    let (seed, expected) = (PhantomData::<Value>, ["a list of users", ""]);
    walk(reader, Form { top, seed, allowance: allowance(), file: "file", expected }, take)
}

/// Calls `take` for each value that `form` reads in `reader`.
pub(super) fn walk<S, V>(
    mut reader: Reader,
    form: Form<S>,
    take: impl FnMut(Record<V>) -> Result<()>,
) -> Result<()>
where
    S: for<'de> DeserializeSeed<'de, Value = V> + Clone,
{
    let first = first_byte(&mut reader)?;
    let allowance = form.allowance.clone();
    let mut walk = Walk { form, take, number: 0, failure: None };
    let mut deserializer = Deserializer::from_reader(allowance.limit(reader));
    let result = match (first, walk.form.top) {
        (Some(b'{'), Top::Record) => walk.records(&mut deserializer),
        (Some(b'{'), Top::List(_)) => deserializer.deserialize_map(&mut walk),
        _ => deserializer.deserialize_seq(&mut walk),
    };
    let result = result.and_then(|()| {
        allowance.lift();
        deserializer.end()
    });
    match (walk.failure, result) {
        (Some(failure), _) => Err(failure),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(describe(&error, walk.number, &walk.form)),
    }
}

/// The first byte after white space, which stays there for lines to be counted.
pub(super) fn first_byte(reader: &mut Reader) -> Result<Option<u8>> {
    let beginning = reader.fill_buf().context("the file cannot be read")?;
    Ok(beginning.iter().copied().find(|byte| !byte.is_ascii_whitespace()))
}

/// The first value of an array, if that is what `reader` begins with and it is an object.
pub(super) fn first_of_array(mut reader: Reader) -> Option<Map<String, Value>> {
    if first_byte(&mut reader).ok()? != Some(b'[') {
        return None;
    }
    let mut beginning = Vec::new();
    reader.take(MAX_RECORD).read_to_end(&mut beginning).ok()?;
    let start = beginning.iter().position(|byte| *byte == b'[')? + 1;
    let rest = beginning.get(start..)?;
    Deserializer::from_slice(rest).into_iter::<Map<String, Value>>().next()?.ok()
}

/// serde's own messages about data show values, so they are not passed on.
fn describe<S>(error: &serde_json::Error, number: u64, form: &Form<S>) -> anyhow::Error {
    let Form { file, expected: [expected, hint], .. } = form;
    let at = format!("at line {}, column {}", error.line(), error.column());
    match error.classify() {
        _ if form.allowance.is_exceeded() => anyhow!("record {} is longer than 1 MiB", number + 1),
        serde_json::error::Category::Eof if number == 0 => anyhow!("the file is empty, or cut off"),
        serde_json::error::Category::Eof => {
            anyhow!("the {file} is cut off in or after record {number}")
        }
        serde_json::error::Category::Data => anyhow!("the file is not {expected}: {at}{hint}"),
        _ => anyhow!("the file is not JSON: {error}"),
    }
}

struct Walk<S, T> {
    form: Form<S>,
    take: T,
    number: u64,
    failure: Option<anyhow::Error>,
}

impl<S, V, T> Walk<S, T>
where
    S: for<'de> DeserializeSeed<'de, Value = V> + Clone,
    T: FnMut(Record<V>) -> Result<()>,
{
    fn records<R: Read>(&mut self, json: &mut Deserializer<IoRead<R>>) -> serde_json::Result<()> {
        loop {
            self.form.allowance.renew();
            // What is not the end is a value, or fails again as one.
            if json.end().is_ok() {
                return Ok(());
            }
            let value = self.form.seed.clone().deserialize(&mut *json)?;
            self.take(value)?;
        }
    }

    fn take<E: Error>(&mut self, value: V) -> Result<(), E> {
        self.number += 1;
        let record = Record { number: self.number, value, bytes: self.form.allowance.used() };
        (self.take)(record).map_err(|failure| {
            self.failure = Some(failure);
            E::custom("refused")
        })
    }
}

impl<'de, S, V, T> Visitor<'de> for &mut Walk<S, T>
where
    S: for<'a> DeserializeSeed<'a, Value = V> + Clone,
    T: FnMut(Record<V>) -> Result<()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            self.form.allowance.renew();
            let next = list.next_element_seed(self.form.seed.clone())?;
            let Some(value) = next else { return Ok(()) };
            self.take(value)?;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = if let Top::List(names) = self.form.top { names } else { &[] };
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            if inside.contains(&name.as_str()) {
                map.next_value_seed(&mut *self)?;
                found = true;
            } else {
                self.form.allowance.lift();
                map.next_value::<IgnoredAny>()?;
            }
            self.form.allowance.renew();
        }
        let missing = inside.first().copied().unwrap_or_default();
        if found { Ok(()) } else { Err(A::Error::missing_field(missing)) }
    }
}

impl<'de, S, V, T> DeserializeSeed<'de> for &mut Walk<S, T>
where
    S: for<'a> DeserializeSeed<'a, Value = V> + Clone,
    T: FnMut(Record<V>) -> Result<()>,
{
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}
