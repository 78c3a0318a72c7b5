//! Text of a file that somebody else made, as it may be shown on a terminal.

/// Longer reasons are cut: they may hold the name of an unknown member.
const MAX_TEXT: usize = 300;

/// Text of a file that somebody else made, for a terminal: nothing in it that steers one, turns its
/// order round or cannot be seen, which is named instead, and no more than fits.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars().take(MAX_TEXT) {
        if is_invisible(c) {
            plain.push_str(&format!("<U+{:04X}>", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    if text.chars().nth(MAX_TEXT).is_some() {
        plain.push('\u{2026}');
    }
    plain
}

/// Whether `c` cannot be seen, alone or among others: control characters, marks of direction,
/// joiners, fillers, spaces other than the usual one, variation selectors and tags.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_file_steers_a_terminal() {
        assert_eq!(plain("jos\u{e9}@example.com"), "jos\u{e9}@example.com");
        assert_eq!(plain("a\x1b[2Jb\r\nc\u{202e}d"), "a<U+001B>[2Jb<U+000D><U+000A>c<U+202E>d");
        let hidden = "ann\u{200b}\u{ad}\u{a0}\u{feff}\u{e0041}@example.com";
        assert_eq!(plain(hidden), "ann<U+200B><U+00AD><U+00A0><U+FEFF><U+E0041>@example.com");
        assert_eq!(plain(&"x".repeat(301)).chars().count(), 301);
        assert!(plain(&"x".repeat(301)).ends_with('\u{2026}'));
        assert_eq!(plain(&"x".repeat(300)), "x".repeat(300));
    }
}
