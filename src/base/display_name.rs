//! Display names of users, clients and roles.

/// The maximum number of characters of a display name.
pub const MAX_DISPLAY_NAME: usize = 200;

/// Checks a display name: trimmed, at most 200 characters, without control characters. An empty one
/// is `None`. The error is a sentence for people.
pub fn check_display_name(name: &str) -> Result<Option<String>, &'static str> {
    let name = name.trim();
    if name.chars().count() > MAX_DISPLAY_NAME {
        return Err("must have at most 200 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}
