//! JSON Lines: an object a line, and a JSON array of the same objects. An object that cannot
//! be read is refused alone, and the next one is read all the same.

use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::fields::Fields;
use super::records::Top;
use super::sink::Sink;
use super::source::Reader;
use super::{members, records};

const MAX_LINE: usize = 64 * 1024;

pub(super) fn read(mut reader: Reader, sink: &mut Sink) -> Result<()> {
    // An array of the same objects says so by its first character, which no line has.
    if records::first_byte(&mut reader)? == Some(b'[') {
        return read_array(reader, sink);
    }
    let mut line = Vec::new();
    for place in 1.. {
        let next = next(&mut reader, &mut line).context("the file cannot be read")?;
        let Some(whole) = next else { break };
        if whole && line.trim_ascii().is_empty() {
            continue;
        }
        let fields = if whole { parse(&line) } else { Err("is longer than 64 KiB".into()) };
        let email = match &fields {
            Ok(fields) => fields.label(),
            Err(_) => label(&line, place)?,
        };
        sink.check(place, email, fields, line.len())?;
    }
    Ok(())
}

pub(super) fn read_array(reader: Reader, sink: &mut Sink) -> Result<()> {
    members::read(reader, Top::Record, sink, members::label, |user, _| {
        // What is within is anything, so only names can be wrong, and only names are shown.
        Some(serde_json::from_value(user.into()).map_err(|error| error.to_string()))
    })
}

/// Reads the next line; whether it is whole, or `None` at the end.
fn next(reader: &mut Reader, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    if reader.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    let whole = line.len() <= MAX_LINE;
    if !whole && !line.ends_with(b"\n") {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(whole))
}

fn parse(line: &[u8]) -> Result<Fields, String> {
    let text = str::from_utf8(line).map_err(|_| "is not UTF-8")?.trim_end();
    // serde would show the value in its message.
    if !text.trim_start().starts_with('{') {
        return Err("is not a JSON object".into());
    }
    serde_json::from_str(text).map_err(|error| {
        let (whole, column) = (error.to_string(), error.column());
        // Its line is always 1, which is not the file's.
        let what = whole.split(" at line ").next().unwrap_or(&whole);
        match error.classify() {
            serde_json::error::Category::Data => what.to_owned(),
            _ => format!("is not JSON: {what}, at column {column}"),
        }
    })
}

/// The address of a line that is refused, as far as it can be read. What a Django project's
/// `dumpdata` wrote is not this format at all.
fn label(line: &[u8], place: u64) -> Result<String> {
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return Ok(String::new());
    };
    if members.contains_key("model") && members.contains_key("fields") {
        bail!("line {place} is a record of Django's dumpdata: use --format django");
    }
    Ok(members::label(&members).unwrap_or_default())
}
