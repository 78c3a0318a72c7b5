//! Cells of tables.

/// A cell of several words, or `-`.
pub(crate) fn words(words: &[impl AsRef<str>]) -> String {
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    cell(Some(words.join(",")).filter(|words| !words.is_empty()))
}

/// A cell that may be empty, which is shown as `-`.
pub(crate) fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
