//! Lists in pages. A cursor is the place of the last item shown, not a number of items skipped: a list
//! that changes concurrently shows no item twice and omits none. To callers it is opaque.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// The number of items of a page where the caller names none.
pub(super) const DEFAULT_LIMIT: u32 = 50;
pub(super) const MAX_LIMIT: u32 = 200;

/// The query parameters that select a page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes parameters for the documentation")]
pub(super) struct PageParams {
    /// How many items the page has at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// The list that a cursor belongs to; every other list refuses the cursor.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Users = b'u',
    Clients = b'c',
    Sessions = b's',
    Events = b'e',
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// The `cursor` of the next page; null where there is none.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of the first `limit` items of `found`, with a cursor if there are more. `place`
    /// returns the position of an item.
    pub(super) fn of<F: Into<T>>(
        mut found: Vec<F>,
        limit: u32,
        kind: Kind,
        place: impl FnOnce(&F) -> String,
    ) -> Self {
        let limit = limit as usize;
        let is_whole = found.len() <= limit;
        found.truncate(limit);
        let last = found.last().filter(|_| !is_whole);
        let next_cursor = last.map(|last| cursor(kind, &place(last)));
        Self { next_cursor, items: found.into_iter().map(Into::into).collect() }
    }

    /// Makes a page of a list whose store returns the position at which the next page begins.
    pub(super) fn up_to(items: Vec<T>, kind: Kind, next: Option<String>) -> Self {
        Self { items, next_cursor: next.map(|place| cursor(kind, &place)) }
    }
}

fn cursor(kind: Kind, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{place}", char::from(kind as u8)))
}

/// Returns the position that `cursor` marks; `None` if it belongs to another list.
pub(super) fn place_of(kind: Kind, cursor: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let place = text.strip_prefix(char::from(kind as u8))?.strip_prefix(':')?;
    // PostgreSQL's text cannot hold NUL.
    (!place.contains('\0')).then(|| place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_list_alone() {
        let page = Page::<String>::of(vec!["a", "b:\u{e9}", "c"], 2, Kind::Users, |s| (*s).into());
        assert_eq!(page.items, ["a", "b:\u{e9}"]);
        let next = page.next_cursor.unwrap();
        assert_eq!(place_of(Kind::Users, &next).as_deref(), Some("b:\u{e9}"));
        assert_eq!(place_of(Kind::Clients, &next), None);
        for bad in ["", "u:a", "dTo=", "dTph\n", &cursor(Kind::Users, "\0")] {
            assert_eq!(place_of(Kind::Users, bad), None, "{bad:?}");
        }
        let last = Page::<String>::of(vec!["a", "b"], 2, Kind::Users, |s| (*s).into());
        assert!(last.next_cursor.is_none() && last.items.len() == 2);
    }
}
