//! The query of a list, read as strictly as a body: an unknown or repeated name would otherwise pass for
//! a filter, without effect.

use actix_web::HttpRequest;
use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::domain::clients::authentication::form_decode;
use crate::http::error::{FieldError, Problem};
use crate::http::paging;

/// The most bytes of a value; a cursor may hold the longest address.
const MAX_VALUE: usize = 2048;

/// The parameters of a query, with everything that is wrong in them collected.
pub(crate) struct Query {
    parameters: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Query {
    pub(crate) fn read(request: &HttpRequest) -> Self {
        Self::parse(request.query_string())
    }

    fn parse(text: &str) -> Self {
        let mut query = Self { parameters: Vec::new(), errors: Vec::new() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (form_decode(name), form_decode(value)) else {
                query.reject("query", "must be UTF-8");
                continue;
            };
            if query.parameters.iter().any(|(known, _)| *known == name) {
                query.reject("query", "must not have a parameter twice");
            } else if value.len() > MAX_VALUE || value.contains(char::is_control) {
                query.reject("query", "must not have values that are long or control characters");
            }
            // Beyond any list's own, they are wrong for another reason.
            if query.parameters.len() < 32 {
                query.parameters.push((name, value));
            }
        }
        query
    }

    /// Notes that `name` is wrong, once.
    pub(crate) fn reject(&mut self, name: &'static str, message: impl Into<String>) {
        if self.errors.iter().all(|known| known.field != name) {
            self.errors.push(FieldError { field: name.into(), message: message.into() });
        }
    }

    /// The parameter `name`, unless absent or empty.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        self.take_any(name).filter(|value| !value.is_empty())
    }

    fn take_any(&mut self, name: &'static str) -> Option<String> {
        let position = self.parameters.iter().position(|(known, _)| known == name)?;
        Some(self.parameters.swap_remove(position).1)
    }

    /// The parameter `name` as `read` understands it; where it does not, `name` is wrong.
    fn take_as<T>(
        &mut self,
        name: &'static str,
        must_be: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let read = read(&value);
        if read.is_none() {
            self.reject(name, must_be);
        }
        read
    }

    /// The parameter `name` that is true or false. Empty it is neither: whoever says `?force` or
    /// `?except_current=` meant something by it.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.take_any(name)?.parse().ok();
        if value.is_none() {
            self.reject(name, "must be true or false");
        }
        value
    }

    pub(crate) fn user_id(&mut self, name: &'static str) -> Option<Uuid> {
        self.take_as(name, "must be the id of a user", |value| value.parse().ok())
    }

    pub(crate) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let must_be = "must be a time such as 2026-01-30T09:30:00Z";
        self.take_as(name, must_be, Timestamp::parse)
    }

    pub(crate) fn limit(&mut self) -> u32 {
        let must_be = format!("must be from 1 to {}", paging::MAX_LIMIT);
        let within = |limit: &u32| (1..=paging::MAX_LIMIT).contains(limit);
        let read = |value: &str| value.parse().ok().filter(within);
        self.take_as("limit", &must_be, read).unwrap_or(paging::DEFAULT_LIMIT)
    }

    pub(crate) fn cursor(&mut self, kind: paging::Kind) -> Option<String> {
        let must_be = "must be a next_cursor of this list";
        self.take_as("cursor", must_be, |value| paging::place_of(kind, value))
    }

    /// Succeeds if nothing was wrong, and every parameter was taken.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        if !self.parameters.is_empty() {
            self.reject("query", "has unknown parameters");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_strictly() {
        let mut query = Query::parse("limit=7&email_prefix=a%25+b&disabled=true&empty=");
        assert_eq!((query.limit(), query.flag("disabled")), (7, Some(true)));
        assert_eq!(query.take("email_prefix").as_deref(), Some("a% b"));
        assert_eq!(query.take("empty"), None);
        assert!(query.finish().is_ok());

        let wrong = |text: &str| {
            let mut query = Query::parse(text);
            query.limit();
            query.cursor(paging::Kind::Users);
            query.time("since");
            query.finish().is_err()
        };
        assert!(!wrong("") && !wrong("&&limit=1&"));
        for text in [
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=x",
            "limit=1&limit=1",
            "limit=1&%6cimit=1",
            "since=yesterday",
            "cursor=!",
            "cursor=a%00",
            "cursor=%ff",
            "other=1",
        ] {
            assert!(wrong(text), "{text}");
        }
        assert!(wrong(&format!("cursor={}", "a".repeat(MAX_VALUE + 1))));
        let twice = Query::parse(&"a=1&".repeat(1000));
        assert_eq!(twice.errors.len(), 1);
        let many: Vec<_> = (0..100).map(|n| format!("p{n}=x")).collect();
        assert!(wrong(&many.join("&")));
    }
}
