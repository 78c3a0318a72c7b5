//! Records as the stores keep them: one line of text, words apart by spaces, the format's version
//! first. `1 - 6fzZ2N3yT1o 1764547200 -` is an account that signed in from one network and has no
//! failures.

use std::fmt::Write;

use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored};

use super::budget::Budget;
use super::record::{Entry, Record};

const VERSION: &str = "1";
const NONE: &str = "-";
/// No time or lease that was ever written lies beyond.
const FARTHEST: i64 = 1 << 40;

impl Record {
    pub(super) fn to_text(&self) -> String {
        let mut text = String::with_capacity(64);
        text.push_str(VERSION);
        write_budget(&mut text, &self.shared);
        for Entry { network, budget, signed_in_at } in &self.networks {
            // Writing to a String does not fail.
            let _ = match signed_in_at {
                Some(at) => write!(text, " {network} {}", at.as_unix()),
                None => write!(text, " {network} {NONE}"),
            };
            write_budget(&mut text, budget);
        }
        text
    }

    /// Reads what a store had; nothing there is an empty record.
    pub(super) fn from_text(text: Option<&str>) -> Stored<Self> {
        let Some(text) = text else { return Ok(Self::default()) };
        parse(text).ok_or_else(|| StorageError::corrupt("record of login attempts"))
    }
}

fn parse(text: &str) -> Option<Record> {
    let mut words = text.split(' ');
    if words.next()? != VERSION {
        return None;
    }
    let mut record = Record { shared: parse_budget(words.next()?)?, networks: Vec::new() };
    while let Some(network) = words.next() {
        let signed_in_at = match words.next()? {
            NONE => None,
            at => Some(Timestamp::from_unix(parse_number(at)?)),
        };
        let budget = parse_budget(words.next()?)?;
        record.networks.push(Entry { network: network.to_owned(), budget, signed_in_at });
    }
    Some(record)
}

fn write_budget(text: &mut String, budget: &Budget) {
    let Budget { charged, since, last, lease, fresh, stale } = budget;
    let _ = match budget.is_empty() {
        true => write!(text, " {NONE}"),
        false => write!(text, " {charged},{since},{last},{lease},{fresh},{stale}"),
    };
}

fn parse_budget(word: &str) -> Option<Budget> {
    if word == NONE {
        return Some(Budget::default());
    }
    let mut numbers = word.split(',');
    let mut next = || parse_number(numbers.next()?);
    let (charged, since, last, lease) = (next()?, next()?, next()?, next()?);
    let (fresh, stale) = (next()?, next()?);
    let count = |number: i64| u32::try_from(number).ok();
    let budget = Budget {
        charged: count(charged)?,
        since,
        last,
        lease,
        fresh: count(fresh)?,
        stale: count(stale)?,
    };
    let whole =
        numbers.next().is_none() && budget.fresh.checked_add(budget.stale)? <= budget.charged;
    whole.then_some(budget)
}

fn parse_number(word: &str) -> Option<i64> {
    word.parse().ok().filter(|number| (-FARTHEST..=FARTHEST).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget { charged: 3, since: -5, last: 1_764_547_200, lease: 58_818_240, fresh: 1, stale: 2 }
    }

    #[test]
    fn records_round_trip() {
        let entry = |network: &str, budget, signed_in_at| Entry {
            network: network.to_owned(),
            budget,
            signed_in_at,
        };
        let now = Some(Timestamp::from_unix(1_764_547_200));
        let networks = vec![
            entry("6fzZ2N3yT1o", Budget::default(), now),
            entry("-", budget(), None),
            entry("_", budget(), now),
        ];
        for record in [
            Record::default(),
            Record { shared: budget(), networks: Vec::new() },
            Record { shared: Budget::default(), networks: networks[..1].to_vec() },
            Record { shared: budget(), networks },
        ] {
            let text = record.to_text();
            assert_eq!(Record::from_text(Some(&text)).unwrap(), record, "{text}");
        }
        assert_eq!(Record::from_text(None).unwrap(), Record::default());
    }

    #[test]
    fn the_usual_record_is_short() {
        let signed_in_at = Some(Timestamp::from_unix(1_764_547_200));
        let entry =
            Entry { network: "6fzZ2N3yT1o".into(), budget: Budget::default(), signed_in_at };
        let record = Record { shared: Budget::default(), networks: vec![entry] };
        assert_eq!(record.to_text(), "1 - 6fzZ2N3yT1o 1764547200 -");
    }

    #[test]
    fn a_record_that_is_not_understood_is_an_error_not_an_absence() {
        for bad in [
            "",
            "1",
            "2 -",
            "1 - network",
            "1 - network -",
            "1 1,2,3,4,5",
            "1 1,2,3,4,0,0,0",
            "1 -1,2,3,4,0,0",
            "1 1,2,3,4,1,1",
            "1 1,2,9223372036854775807,4,0,0",
            "1 4294967296,2,3,4,0,0",
        ] {
            let read = Record::from_text(Some(bad));
            assert!(matches!(read, Err(StorageError::Internal(_))), "{bad:?}: {read:?}");
        }
    }
}
