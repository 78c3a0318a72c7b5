//! What an application keeps of a user: a JSON object, set by administrators alone, and bounded.

use serde_json::Value;

/// A JSON object.
pub type Metadata = serde_json::Map<String, Value>;

/// The most bytes that it may have as JSON.
pub const LONGEST_METADATA: usize = 16 * 1024;
/// Objects and arrays lie in each other no deeper.
const DEEPEST: usize = 8;
/// Longer names of members are refused.
const LONGEST_NAME: usize = 128;

/// Checks that `value` may be a user's metadata; the error is a sentence for people.
pub fn check_metadata(value: Value) -> Result<Metadata, &'static str> {
    let Value::Object(members) = value else { return Err("must be a JSON object") };
    members.iter().try_for_each(|member| check_member(member, 1))?;
    if serde_json::to_string(&members).map_or(usize::MAX, |text| text.len()) > LONGEST_METADATA {
        return Err("must have at most 16 KiB as JSON");
    }
    Ok(members)
}

fn check_member((name, value): (&String, &Value), depth: usize) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err("must have member names of 1 to 128 bytes without control characters");
    }
    check_value(value, depth)
}

fn check_value(value: &Value, depth: usize) -> Result<(), &'static str> {
    if matches!(value, Value::Object(_) | Value::Array(_)) && depth == DEEPEST {
        return Err("must not be nested deeper than 8 levels");
    }
    match value {
        Value::Object(members) => members.iter().try_for_each(|m| check_member(m, depth + 1)),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `depth` objects in each other.
    fn nested(depth: usize) -> Value {
        (1..depth).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn form_size_and_depth_are_bounded() {
        let filled = |length: usize| json!({ "a": "x".repeat(length) });
        let overhead = json!({ "a": "" }).to_string().len();
        for good in [
            json!({}),
            json!({ "plan": "gold", "seats": 3, "tags": ["a", null, true, { "b": 1.5 }] }),
            json!({ "ü and spaces": "\u{0}\n" }),
            nested(8),
            filled(LONGEST_METADATA - overhead),
        ] {
            assert_eq!(check_metadata(good.clone()), Ok(good.as_object().unwrap().clone()));
        }
        for bad in [
            json!([]),
            json!("text"),
            json!(null),
            json!({ "": 1 }),
            json!({ "a\u{0}": 1 }),
            json!({ "a": [{ "b\n": 1 }] }),
            json!({ "n".repeat(129): 1 }),
            nested(9),
            json!({ "a": [[[[[[[[]]]]]]]] }),
            filled(LONGEST_METADATA - overhead + 1),
        ] {
            assert!(check_metadata(bad.clone()).is_err(), "{bad}");
        }
    }
}
