//! CSV (RFC 4180) with the names of the columns in the first line. A name that is unknown refuses
//! the whole file: a misspelt `disabled` would let everybody in.

use anyhow::{Result, bail};
use csv::{ByteRecord, ReaderBuilder, Terminator};
use serde_json::Map;

use super::super::cell;
use super::fields::Fields;
use super::sink::Sink;
use super::source::{Allowance, Reader};
use crate::domain::users::Email;

/// Longer records are no users: a quote was left open.
const MAX_RECORD: u64 = 64 * 1024;
const BUFFER: usize = 8 * 1024;

pub(super) fn read(reader: Reader, sink: &mut Sink) -> Result<()> {
    let mut names: Option<Vec<&'static str>> = None;
    for_each(reader, |line, record| {
        let Some(columns) = &names else {
            names = Some(columns(record)?);
            return Ok(());
        };
        let fields = fields(record, columns);
        let email = fields.as_ref().map_or_else(|_| label(record, columns), Fields::label);
        sink.check(line, email, fields, record.as_slice().len())
    })?;
    match names {
        Some(_) => Ok(()),
        None => bail!("the file is empty: the first line names the columns"),
    }
}

/// Calls `take` for each record with its line, that of the names of the columns first; blank lines are
/// none.
pub(super) fn for_each(
    reader: Reader,
    mut take: impl FnMut(u64, &ByteRecord) -> Result<()>,
) -> Result<()> {
    let allowance = Allowance::new(MAX_RECORD + BUFFER as u64);
    let reader = allowance.limit(reader);
    let mut csv = ReaderBuilder::new()
        // The number of fields is checked below, record by record.
        .flexible(true)
        .has_headers(false)
        // With "\r\n" for an end, the parser would count a record to the line before.
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(BUFFER)
        .from_reader(reader);
    let mut record = ByteRecord::new();
    loop {
        allowance.renew();
        let line = csv.position().line();
        match csv.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(failure(error, line, &allowance)),
        }
        if record.len() == 1 && record.iter().all(|cell| cell.trim_ascii().is_empty()) {
            continue;
        }
        let place = record.position().map_or(line, csv::Position::line);
        take(place, &record)?;
    }
}

fn failure(error: csv::Error, line: u64, allowance: &Allowance) -> anyhow::Error {
    if allowance.is_exceeded() {
        anyhow::anyhow!(
            "the record that begins at line {line} is longer than 64 KiB: is a quote left open?"
        )
    } else {
        anyhow::Error::new(error).context("the file cannot be read")
    }
}

fn columns(names: &ByteRecord) -> Result<Vec<&'static str>> {
    let mut columns = Vec::new();
    for (number, name) in (1..).zip(names) {
        let name = String::from_utf8_lossy(name).trim().to_lowercase();
        let Some(known) = Fields::NAMES.into_iter().find(|known| *known == name) else {
            check_separator(&name)?;
            let (name, known) = (shown(&name), Fields::NAMES.join(", "));
            bail!("column {number}{name} of the first line is unknown; known are {known}");
        };
        if columns.contains(&known) {
            bail!("the first line names {known} twice");
        }
        columns.push(known);
    }
    for needed in ["email", "password_hash"] {
        if !columns.contains(&needed) {
            // Its cells may be empty. Without it, everybody would come without a password unnoticed.
            bail!("the first line does not name the column {needed}");
        }
    }
    Ok(columns)
}

/// Spreadsheets in many languages write semicolons.
fn check_separator(names: &str) -> Result<()> {
    for (separator, said) in [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")] {
        let mut apart = names.split(separator).map(|name| name.trim_matches([' ', '"']));
        if names.contains(separator) && apart.any(|name| Fields::NAMES.contains(&name)) {
            bail!("the first line has {said} between its columns: the separator must be a comma");
        }
    }
    Ok(())
}

/// A file that lacks its first line could begin with a hash.
fn shown(name: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_- ".contains(c);
    let is_name = (1..30).contains(&name.len()) && name.chars().all(is_name);
    if is_name { format!(", {name:?},") } else { String::new() }
}

/// The address of a record that is refused. Where cells have slipped, another may be in its place.
fn label(record: &ByteRecord, columns: &[&str]) -> String {
    let place = columns.iter().position(|name| *name == "email");
    let cell = place.and_then(|place| str::from_utf8(record.get(place)?).ok()).map(cell::restore);
    cell.filter(|cell| Email::parse(cell).is_ok()).unwrap_or_default().to_owned()
}

fn fields(record: &ByteRecord, columns: &[&str]) -> Result<Fields, String> {
    if record.len() != columns.len() {
        return Err(format!(
            "has {} fields, where the first line names {} columns: what holds commas needs quotes",
            record.len(),
            columns.len()
        ));
    }
    let mut members = Map::new();
    for (name, cell) in columns.iter().zip(record) {
        let cell = cell::restore(str::from_utf8(cell).map_err(|_| "is not UTF-8")?);
        if !cell.is_empty() {
            members.insert((*name).to_owned(), cell.into());
        }
    }
    serde_json::from_value(members.into()).map_err(|error| error.to_string())
}
