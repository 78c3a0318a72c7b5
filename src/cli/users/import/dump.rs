//! The records of a Django dump, one after the other: it is one JSON array, or with `--format jsonl` a
//! record a line, which need not fit into memory. Of models that nobody asks for, not even one record is held.

use std::fmt;
use std::io::Read;

use anyhow::{Result, anyhow};
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::IoRead;
use serde_json::{Deserializer, Map, Value};

use super::records::first_byte;
use super::source::{Allowance, Reader};

/// Longer records are no users.
const MAX_RECORD: u64 = 1024 * 1024;

/// A record of the dump.
#[derive(Default)]
pub struct Record {
    /// Its place in the list, from 1 on.
    pub number: u64,
    /// Such as `auth.user`, in lower case.
    pub model: String,
    /// Its primary key; null in a dump with natural ones.
    pub pk: Value,
    /// Empty where the model is not wanted.
    pub fields: Map<String, Value>,
    /// How long it is in the dump; at most the bound.
    pub bytes: usize,
}

/// Calls `take` for each record of the dump; `wants` says of which models the fields are read.
pub(super) fn for_each(
    mut reader: Reader,
    wants: impl Fn(&str) -> bool,
    take: impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    let allowance = Allowance::new(MAX_RECORD);
    let is_lines = first_byte(&mut reader)? == Some(b'{');
    let mut walk = Walk { wants, take, allowance: allowance.clone(), number: 0, failure: None };
    let mut deserializer = Deserializer::from_reader(allowance.limit(reader));
    let result = match is_lines {
        true => walk.lines(&mut deserializer),
        false => deserializer.deserialize_seq(&mut walk).and_then(|()| {
            allowance.lift();
            deserializer.end()
        }),
    };
    match (walk.failure, result) {
        (Some(failure), _) => Err(failure),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(describe(&error, walk.number, &allowance)),
    }
}

/// serde's own messages about data show values, so they are not passed on.
fn describe(error: &serde_json::Error, number: u64, allowance: &Allowance) -> anyhow::Error {
    let at = format!("at line {}, column {}", error.line(), error.column());
    match error.classify() {
        _ if allowance.is_exceeded() => anyhow!("record {} is longer than 1 MiB", number + 1),
        serde_json::error::Category::Eof if number == 0 => anyhow!("the file is empty, or cut off"),
        serde_json::error::Category::Eof => {
            anyhow!("the dump is cut off in or after record {number}")
        }
        serde_json::error::Category::Data => anyhow!(
            "the file is not a list of records with model, pk and fields, as dumpdata writes it: \
             {at}; for one object a line use --format jsonl"
        ),
        _ => anyhow!("the file is not JSON: {error}"),
    }
}

struct Walk<W, T> {
    wants: W,
    take: T,
    allowance: Allowance,
    number: u64,
    failure: Option<anyhow::Error>,
}

impl<W: Fn(&str) -> bool, T: FnMut(Record) -> Result<()>> Walk<W, T> {
    /// Records that stand one after the other.
    fn lines<R: Read>(&mut self, json: &mut Deserializer<IoRead<R>>) -> serde_json::Result<()> {
        loop {
            self.allowance.renew();
            // What is not the end is a record, or fails again as one.
            if json.end().is_ok() {
                return Ok(());
            }
            let record = self.seed().deserialize(&mut *json)?;
            self.take(record)?;
        }
    }

    fn seed(&self) -> RecordSeed<'_, W> {
        RecordSeed { wants: &self.wants, allowance: &self.allowance }
    }

    fn take<E: Error>(&mut self, mut record: Record) -> Result<(), E> {
        self.number += 1;
        record.number = self.number;
        (self.take)(record).map_err(|failure| {
            self.failure = Some(failure);
            E::custom("refused")
        })
    }
}

impl<'de, W: Fn(&str) -> bool, T: FnMut(Record) -> Result<()>> Visitor<'de> for &mut Walk<W, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            self.allowance.renew();
            let Some(record) = list.next_element_seed(self.seed())? else { return Ok(()) };
            self.take(record)?;
        }
    }
}

struct RecordSeed<'a, W> {
    wants: &'a W,
    allowance: &'a Allowance,
}

impl<'de, W: Fn(&str) -> bool> DeserializeSeed<'de> for RecordSeed<'_, W> {
    type Value = Record;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, W: Fn(&str) -> bool> Visitor<'de> for RecordSeed<'_, W> {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "model" => record.model = map.next_value::<String>()?.to_lowercase(),
                "pk" => record.pk = map.next_value()?,
                // dumpdata writes the model first; where somebody has sorted it is not known yet.
                "fields" if record.model.is_empty() || (self.wants)(&record.model) => {
                    record.fields = map.next_value()?;
                }
                _ => {
                    self.allowance.lift();
                    map.next_value::<IgnoredAny>()?;
                    self.allowance.renew();
                }
            }
        }
        if record.model.is_empty() {
            return Err(A::Error::missing_field("model"));
        }
        record.bytes = self.allowance.used();
        Ok(record)
    }
}
