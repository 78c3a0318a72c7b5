//! The records of a Django dump, one after the other: it is one JSON array, or with `--format jsonl` a
//! record a line, and need not fit into memory. Records of other models are skipped, never held.

use std::fmt;

use anyhow::Result;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::records::{self, Form, Record, Top};
use super::source::{Allowance, Reader};

#[derive(Default)]
pub(super) struct Row {
    /// Such as `auth.user`, in lower case.
    pub model: String,
    /// Its primary key; null in a dump with natural ones.
    pub pk: Value,
    /// Empty where the model is not wanted.
    pub fields: Map<String, Value>,
}

/// Calls `take` for each record of the dump; `wants` says of which models the fields are read.
pub(super) fn for_each(
    reader: Reader,
    wants: impl Fn(&str) -> bool,
    take: impl FnMut(Record<Row>) -> Result<()>,
) -> Result<()> {
    let allowance = records::allowance();
    let expected = [
        "a list of records with model, pk and fields, as dumpdata writes it",
        "; for one object a line use --format jsonl",
    ];
    let seed = Seed { wants: &wants, allowance: allowance.clone() };
    records::walk(reader, Form { top: Top::Record, seed, allowance, file: "dump", expected }, take)
}

struct Seed<'a, W> {
    wants: &'a W,
    allowance: Allowance,
}

impl<W> Clone for Seed<'_, W> {
    fn clone(&self) -> Self {
        Self { wants: self.wants, allowance: self.allowance.clone() }
    }
}

impl<'de, W: Fn(&str) -> bool> DeserializeSeed<'de> for Seed<'_, W> {
    type Value = Row;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, W: Fn(&str) -> bool> Visitor<'de> for Seed<'_, W> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut row = Row::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "model" => row.model = map.next_value::<String>()?.to_lowercase(),
                "pk" => row.pk = map.next_value()?,
                // dumpdata writes the model first; where somebody has sorted it is not known yet.
                "fields" if row.model.is_empty() || (self.wants)(&row.model) => {
                    row.fields = map.next_value()?;
                }
                _ => {
                    self.allowance.lift();
                    map.next_value::<IgnoredAny>()?;
                    self.allowance.renew();
                }
            }
        }
        if row.model.is_empty() {
            return Err(A::Error::missing_field("model"));
        }
        Ok(row)
    }
}
