//! Cells of a CSV file that spreadsheets would run. A cell that begins like a formula gets an
//! apostrophe in front, by which a spreadsheet takes it as text (OWASP, CSV Injection), and an import
//! takes that away again. Invariant: what an export writes is what an import reads.

use std::borrow::Cow;

/// What a formula begins with, also in the wide forms of East Asian keyboards, and the white space
/// that spreadsheets skip before one.
const BEGINNINGS: [char; 11] =
    ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\t', '\r', '\n'];

/// Whether `text` begins like a formula, any apostrophes in front aside: with one of those it gets
/// one more, so that each has its way back.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(BEGINNINGS)
}

/// The cell to write for `text`.
pub(super) fn neutralise(text: &str) -> Cow<'_, str> {
    if is_formula(text) { format!("'{text}").into() } else { text.into() }
}

/// The text of a cell that [`neutralise`] or another program wrote.
pub(super) fn restore(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_formula(text)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spreadsheets_would_run_is_text_and_comes_back() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+tag@example.com", "'+tag@example.com"),
            ("-x", "'-x"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "'\t=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("'=1", "''=1"),
            ("''=1", "'''=1"),
            ("'", "'"),
            ("'quoted'", "'quoted'"),
            ("a=1", "a=1"),
            ("", ""),
            ("{\"a\":\"=1\"}", "{\"a\":\"=1\"}"),
        ] {
            assert_eq!(neutralise(text), cell);
            assert_eq!(restore(cell), text);
        }
        assert_eq!(restore("=1"), "=1", "what others wrote is left as it is");
    }
}
