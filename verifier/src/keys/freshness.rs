//! How long an answer is fresh by its own headers (RFC 9111 sections 4.2 and 5.2.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

/// Where the server says nothing.
const DEFAULT: Duration = Duration::from_secs(300);
/// The maximum time between two fetches of the keys, whatever the server says.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// The time for which the answer with these headers is still fresh; zero if it never was.
pub fn lifetime(headers: &HeaderMap) -> Duration {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut max_age = None;
    for directive in directives.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Duration::ZERO;
        }
        if name.eq_ignore_ascii_case("max-age") {
            max_age = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    max_age.unwrap_or(DEFAULT).min(MAX_AGE).saturating_sub(age(headers))
}

/// How long ago the answer was made or confirmed, by its `Age` (RFC 9111 section 5.1).
pub fn age(headers: &HeaderMap) -> Duration {
    let value = headers.get(AGE).and_then(|value| value.to_str().ok());
    let seconds = value.and_then(|value| value.trim().parse().ok()).unwrap_or(0);
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_says_how_long() {
        let day = 24 * 3600;
        for (control, age, seconds) in [
            ("max-age=300", "", 300),
            ("public, MAX-AGE=\"60\", stale-while-revalidate=30", "", 60),
            ("max-age=300", "100", 200),
            ("max-age=300", "1000", 0),
            ("max-age=300", "old", 300),
            ("max-age=99999999", "", day),
            ("max-age=-1", "", 300),
            ("no-store, max-age=300", "", 0),
            ("max-age=300, no-cache", "", 0),
            ("public", "", 300),
            ("s-maxage=5", "", 300),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, control.parse().unwrap());
            if !age.is_empty() {
                headers.insert(AGE, age.parse().unwrap());
            }
            assert_eq!(lifetime(&headers), Duration::from_secs(seconds), "{control} {age}");
        }
        assert_eq!(lifetime(&HeaderMap::new()), DEFAULT);
    }
}
