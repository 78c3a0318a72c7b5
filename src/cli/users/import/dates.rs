//! Times as other systems write them. One that cannot be read costs a user the date and nothing else.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::base::time::Timestamp;

/// How far the clock of another system may be ahead.
const CLOCKS_DIFFER: Duration = Duration::from_secs(24 * 3600);
/// Seconds since 1970 are less until the year 5138; as milliseconds it is the year 1973.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
/// In 1973. What is less is no time of an account but, say, a day written as 20240229.
const FIRST_SECONDS: i64 = 100_000_000;

/// Reads a time: text, seconds or a finer unit since 1970, or MongoDB's `{"$date": …}`;
/// within, `None` for no value or a zero one. `None` if it cannot be read, or cannot be.
pub(super) fn read(value: Option<&Value>, now: Timestamp) -> Option<Option<Timestamp>> {
    let moment = match value {
        None | Some(Value::Null) => return Some(None),
        Some(Value::String(text)) => match text.trim() {
            "" => return Some(None),
            // The smallest value of MySQL, and of .NET.
            text if text.starts_with("0000-00-00") || text.starts_with("0001-01-01") => {
                return Some(None);
            }
            text => match text.parse::<f64>() {
                Ok(number) => return epoch(number, now),
                Err(_) => parse(text),
            },
        },
        Some(Value::Number(number)) => return epoch(number.as_f64()?, now),
        Some(Value::Object(members)) if members.len() == 1 => {
            let within = members.get("$date").or_else(|| members.get("$numberLong"))?;
            let is_time = !within.is_object() || members.contains_key("$date");
            return if is_time { read(Some(within), now) } else { None };
        }
        Some(_) => None,
    };
    checked(moment, now)
}

fn checked(moment: Option<Timestamp>, now: Timestamp) -> Option<Option<Timestamp>> {
    moment.filter(|moment| *moment <= now.plus(CLOCKS_DIFFER)).map(Some)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, distinguished by their size.
fn epoch(number: f64, now: Timestamp) -> Option<Option<Timestamp>> {
    if number == 0.0 {
        return Some(None);
    }
    // Beyond the range of an integer the nearest one is taken, which is no time either.
    let mut seconds = number.floor() as i64;
    for _ in 0..3 {
        if seconds >= FIRST_MILLISECONDS {
            seconds /= 1000;
        }
    }
    let is_time = number.is_finite() && (FIRST_SECONDS..FIRST_MILLISECONDS).contains(&seconds);
    checked(is_time.then(|| Timestamp::from_unix(seconds)), now)
}

fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(time) = httpdate::parse_http_date(&text.replace("+0000", "GMT")) {
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
        return Some(Timestamp::from_unix(i64::try_from(seconds).ok()?));
    }
    let zone = ["UTC", "utc", "GMT"].into_iter().find_map(|zone| text.strip_suffix(zone));
    let text = zone.unwrap_or(text).trim_end();
    let (day, rest) = text.split_at_checked(10)?;
    let day = day.replace('/', "-");
    let is_minutes = rest.len() >= 6 && rest.as_bytes().get(6) != Some(&b':');
    let rest = match rest.split_at_checked(6) {
        // Without seconds.
        Some((minutes, zone)) if is_minutes => format!("{minutes}:00{zone}"),
        _ => rest.replacen(',', ".", 1),
    };
    Timestamp::parse(&format!("{day}{rest}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(value: Value) -> Option<Option<Timestamp>> {
        read(Some(&value), Timestamp::from_unix(1_764_547_200))
    }

    #[test]
    fn times_of_other_systems_are_read() {
        for (written, meant) in [
            (json!("2024-02-29T12:00:00Z"), "2024-02-29T12:00:00Z"),
            (json!("2024-02-29T12:00:00.123456+01:00"), "2024-02-29T11:00:00Z"),
            (json!("2024-02-29 12:00:00 UTC"), "2024-02-29T12:00:00Z"),
            (json!("2024-02-29 12:00:00.123 UTC"), "2024-02-29T12:00:00Z"),
            (json!("2024-02-29 12:00:00 +0000 UTC"), "2024-02-29T12:00:00Z"),
            (json!("2024-02-29 12:00:00 GMT"), "2024-02-29T12:00:00Z"),
            (json!("2024-02-29 12:00:00+02"), "2024-02-29T10:00:00Z"),
            (json!("2024-02-29 12:00"), "2024-02-29T12:00:00Z"),
            (json!("2024-02-29T12:00Z"), "2024-02-29T12:00:00Z"),
            (json!("2024-02-29 12:00:00,5"), "2024-02-29T12:00:00Z"),
            (json!("2024/02/29"), "2024-02-29T00:00:00Z"),
            (json!("2024/02/29 12:00:00"), "2024-02-29T12:00:00Z"),
            (json!("Thu, 29 Feb 2024 12:00:00 GMT"), "2024-02-29T12:00:00Z"),
            (json!("Thu, 29 Feb 2024 12:00:00 +0000"), "2024-02-29T12:00:00Z"),
            (json!(1_709_208_000), "2024-02-29T12:00:00Z"),
            (json!(1_709_208_000.75), "2024-02-29T12:00:00Z"),
            (json!("1709208000"), "2024-02-29T12:00:00Z"),
            (json!(1_709_208_000_123_i64), "2024-02-29T12:00:00Z"),
            (json!("1709208000123"), "2024-02-29T12:00:00Z"),
            (json!(1_709_208_000_123_456_i64), "2024-02-29T12:00:00Z"),
            (json!(1_709_208_000_123_456_789_i64), "2024-02-29T12:00:00Z"),
            (json!({"$date": "2024-02-29T12:00:00.000Z"}), "2024-02-29T12:00:00Z"),
            (json!({"$date": {"$numberLong": "1709208000123"}}), "2024-02-29T12:00:00Z"),
        ] {
            let Some(Some(moment)) = at(written.clone()) else { panic!("{written} is not read") };
            assert_eq!(moment.to_string(), meant, "{written}");
        }
        for nothing in [
            json!(null),
            json!(" "),
            json!(0),
            json!("0"),
            json!("0000-00-00 00:00:00"),
            json!("0000-00-00"),
            json!("0001-01-01T00:00:00"),
        ] {
            assert_eq!(at(nothing.clone()), Some(None), "{nothing}");
        }
        for bad in [
            json!("yesterday"),
            json!("infinity"),
            json!("1e400"),
            json!("nan"),
            json!("-5"),
            json!(-5),
            json!(20_240_229),
            json!("20240229"),
            json!(1e300),
            json!("1969-12-31"),
            json!("2024-02-30"),
            json!("2999-01-01"),
            json!(9_999_999_999_i64),
            json!("29.02.2024"),
            json!("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"),
            json!(true),
            json!([1]),
            json!({}),
            json!({"$numberLong": {"$date": 1}}),
        ] {
            assert_eq!(at(bad.clone()), None, "{bad}");
        }
    }
}
