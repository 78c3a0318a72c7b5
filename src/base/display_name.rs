//! Display names of users, clients and roles.

pub(crate) const MAX_DISPLAY_NAME: usize = 200;

/// Trims and checks a display name: at most 200 characters, without control characters. Returns
/// `None` for an empty one. The error completes a sentence that begins with the name of the field.
pub(crate) fn check_display_name(name: &str) -> Result<Option<String>, &'static str> {
    let name = name.trim();
    if name.chars().count() > MAX_DISPLAY_NAME {
        return Err("must have at most 200 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}
