//! The metadata of a user: a JSON object for applications, written by administrators alone, and
//! bounded.

use serde_json::{Number, Value};

/// A JSON object.
pub type Metadata = serde_json::Map<String, Value>;

/// The maximum size as JSON, in bytes.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
const DEEPEST: usize = 8;
/// 2^53 - 1, the largest integer up to which every integer is exact as a floating-point number.
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;
/// The maximum length of a member's name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Checks that `value` may be a user's metadata. The error is a sentence for people.
pub fn check_metadata(value: Value) -> Result<Metadata, &'static str> {
    let Value::Object(members) = value else { return Err("must be a JSON object") };
    members.iter().try_for_each(|member| check_member(member, 1))?;
    if serde_json::to_string(&members).map_or(usize::MAX, |text| text.len()) > MAX_METADATA_BYTES {
        return Err("must have at most 16 KiB as JSON");
    }
    Ok(members)
}

fn check_member((name, value): (&String, &Value), depth: usize) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
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
        Value::Number(number) => check_number(number),
        _ => Ok(()),
    }
}

/// Readers may parse numbers as floating point (RFC 8259 section 6, RFC 7493 section 2.2), which
/// changes larger integers. A number that fits no integer type is already a float here.
fn check_number(number: &Number) -> Result<(), &'static str> {
    match number.as_f64() {
        Some(value) if value.abs() <= MAX_INTEGER => Ok(()),
        _ => Err("must have numbers from -(2^53-1) to 2^53-1, larger ones as text"),
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
            json!({ "a": [9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64, 0.1] }),
            filled(MAX_METADATA_BYTES - overhead),
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
            json!({ "a": 9_007_199_254_740_992_i64 }),
            json!({ "a": [-9_007_199_254_740_993_i64] }),
            json!({ "a": u64::MAX }),
            serde_json::from_str(r#"{"a":123456789012345678901234567890}"#).unwrap(),
            json!({ "a": [[[[[[[[]]]]]]]] }),
            filled(MAX_METADATA_BYTES - overhead + 1),
        ] {
            assert!(check_metadata(bad.clone()).is_err(), "{bad}");
        }
    }
}
