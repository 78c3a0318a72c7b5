//! How commands print: aligned tables for people, one JSON document for scripts.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

pub(super) use crate::views::cell::{cell, words};

#[derive(Args)]
pub(super) struct Json {
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

pub(super) fn json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints `value` as JSON, or `text`.
pub(super) fn show(as_json: bool, value: &impl Serialize, text: &impl ToString) -> Result<()> {
    if as_json { json(value) } else { print(&text.to_string()) }
}

/// Prints rows under their headings, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; N]| {
        let padded: Vec<_> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let heading = line(&headings.map(str::to_uppercase));
    let lines: Vec<_> = std::iter::once(heading).chain(rows.iter().map(line)).collect();
    print(&lines.join("\n"))
}

/// Prints `items` as JSON, or as a table of which each is a row.
pub(super) fn list<T: Serialize, const N: usize>(
    as_json: bool,
    headings: [&str; N],
    items: Vec<T>,
    row: impl Fn(T) -> [String; N],
) -> Result<()> {
    if as_json {
        return json(&items);
    }
    table(headings, &items.into_iter().map(row).collect::<Vec<_>>())
}

pub(super) fn fields(fields: &[(&str, String)]) -> Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| format!("{name:width$}  {value}");
    print(&fields.iter().map(line).collect::<Vec<_>>().join("\n"))
}
