//! The feed's signed documents: the snapshot and each change, a Security Event Token (RFC 8417).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::revocations::{Entry, Kind, Revocations};
use crate::json::{self, Members, NumericDate, Text, once};
use crate::jws::{BadHeader, Compact, Header, decode};
use crate::keys::{KeySet, Lookup};

/// The type of a snapshot.
pub const SNAPSHOT: &str = "revocations+jwt";
/// The type of a change (RFC 8417 section 2.3).
pub const CHANGE: &str = "secevent+jwt";
/// Numbers stay where one more is a number.
const MOST: u64 = 1 << 53;
/// How far clocks may be apart.
const LEEWAY: i64 = 60;

/// What a document says.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// The history that `seq` counts in.
    pub epoch: String,
    /// The change, or the last one that the snapshot contains.
    pub seq: u64,
    /// Its entries.
    pub entries: Revocations,
}

/// Why a document says nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum BadDocument {
    /// No key of this name is known.
    UnknownKey(String),
    /// It is not the issuer's, too old, or not what it should be.
    Invalid,
}

/// Opens `token`: it has to be of the type `typ`, signed by one of `keys`, from `issuer`, and a
/// snapshot must not have expired at `now`. What an `ended` key signs does not count.
pub fn open(
    token: &str,
    typ: &str,
    keys: &KeySet,
    issuer: &str,
    now: i64,
    ended: impl Fn(&str) -> bool,
) -> Result<Document, BadDocument> {
    let jws = Compact::split(token).ok_or(BadDocument::Invalid)?;
    let header = Header::read(jws.header, typ).map_err(|_: BadHeader| BadDocument::Invalid)?;
    let key = match keys.find(&header) {
        Lookup::Found(key) => key,
        Lookup::OtherAlgorithm => return Err(BadDocument::Invalid),
        Lookup::Absent => return Err(BadDocument::UnknownKey(header.kid)),
    };
    if ended(key.kid()) || !key.has_signed(jws.signed.as_bytes(), jws.signature) {
        return Err(BadDocument::Invalid);
    }
    let payload = decode(jws.payload).ok_or(BadDocument::Invalid)?;
    let claims = json::object(&payload, Claims::default()).map_err(|_| BadDocument::Invalid)?;
    claims.document(typ, issuer, now).ok_or(BadDocument::Invalid)
}

#[derive(Default)]
struct Claims<'de> {
    iss: Option<Text<'de>>,
    exp: Option<NumericDate>,
    epoch: Option<Text<'de>>,
    seq: Option<u64>,
    revocations: Option<Revocations>,
}

impl<'de> Members<'de> for Claims<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "iss" => once(&mut self.iss, map),
            "exp" => once(&mut self.exp, map),
            "epoch" => once(&mut self.epoch, map),
            "seq" => once(&mut self.seq, map),
            "revocations" => once(&mut self.revocations, map),
            _ => Ok(false),
        }
    }
}

impl Claims<'_> {
    fn document(self, typ: &str, issuer: &str, now: i64) -> Option<Document> {
        self.iss.filter(|iss| iss.0 == issuer)?;
        match self.exp {
            Some(NumericDate(exp)) if now >= exp.saturating_add(LEEWAY) => return None,
            // An old snapshot could be shown for ever; an old change does no harm.
            None if typ == SNAPSHOT => return None,
            _ => {}
        }
        let (epoch, seq) = (self.epoch?.0.into_owned(), self.seq.filter(|seq| *seq < MOST)?);
        Some(Document { epoch, seq, entries: self.revocations? })
    }
}

impl<'de> Deserialize<'de> for Revocations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Revocations;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Revocations, A::Error> {
        let mut revocations = Revocations::default();
        while let Some(OfKnownShape(entry)) = entries.next_element()? {
            if let Some(entry) = entry {
                revocations.insert(entry);
            }
        }
        Ok(revocations)
    }
}

/// An entry, if its shape is one of those that are known. A newer issuer may have others.
struct OfKnownShape<'de>(Option<Entry<'de>>);

impl<'de> Deserialize<'de> for OfKnownShape<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = OfKnownShape<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OfKnownShape<'de>, A::Error> {
        let mut named: Option<(Kind, Text<'de>)> = None;
        let (mut before, mut exp) = (None::<NumericDate>, None::<NumericDate>);
        let mut known = true;
        while let Some(member) = map.next_key::<Text>()? {
            match (Kind::of_member(&member.0), member.0.as_ref()) {
                (Some(kind), _) => {
                    if let Some((other, _)) = named.replace((kind, map.next_value()?)) {
                        known = false;
                        if other == kind {
                            return Err(A::Error::custom("a member stands twice"));
                        }
                    }
                }
                (None, "before") => {
                    once(&mut before, &mut map)?;
                }
                (None, "exp") => {
                    once(&mut exp, &mut map)?;
                }
                (None, _) => {
                    known = false;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let entry = named.filter(|(kind, _)| known && kind.has_before() == before.is_some());
        let entry = entry.zip(exp).map(|((kind, name), NumericDate(exp))| {
            let before = before.map_or(i64::MAX, |NumericDate(before)| before);
            Entry { kind, name: name.0, before, exp }
        });
        Ok(OfKnownShape(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(json: &str) -> Option<Revocations> {
        serde_json::from_str(json).ok()
    }

    fn one(kind: Kind, name: &str, before: i64, exp: i64) -> Option<Revocations> {
        let mut set = Revocations::default();
        set.insert(Entry { kind, name: name.into(), before, exp });
        Some(set)
    }

    #[test]
    fn entries_have_exactly_one_shape() {
        let max = i64::MAX;
        assert_eq!(entries(r#"[{"sid":"a","exp":9}]"#), one(Kind::Session, "a", max, 9));
        assert_eq!(entries(r#"[{"exp":9,"jti":"a"}]"#), one(Kind::Token, "a", max, 9));
        assert_eq!(entries(r#"[{"kid":"\u0061","exp":9}]"#), one(Kind::Key, "a", max, 9));
        let subject = r#"[{"sub":"a","before":5,"exp":9}]"#;
        assert_eq!(entries(subject), one(Kind::Subject, "a", 5, 9));
        let client = r#"[{"client_id":"a","before":5,"exp":9}]"#;
        assert_eq!(entries(client), one(Kind::Client, "a", 5, 9));
    }

    #[test]
    fn unknown_shapes_are_ignored() {
        for unknown in [
            r#"{"tenant":"a","exp":9}"#,
            r#"{"sid":"a","tenant":"b","exp":9}"#,
            r#"{"sid":"a","jti":"b","exp":9}"#,
            r#"{"sid":"a","before":5,"exp":9}"#,
            r#"{"sub":"a","exp":9}"#,
            r#"{"sid":"a"}"#,
            r#"{"exp":9}"#,
            "{}",
        ] {
            assert_eq!(entries(&format!("[{unknown}]")), Some(Revocations::default()), "{unknown}");
            let with_known = format!(r#"[{unknown},{{"jti":"a","exp":9}},{unknown}]"#);
            assert_eq!(entries(&with_known), one(Kind::Token, "a", i64::MAX, 9), "{unknown}");
        }
    }

    #[test]
    fn what_is_no_list_of_entries_is_refused_whole() {
        for bad in [
            "{}",
            "[7]",
            r#"["a"]"#,
            r#"[{"sid":7,"exp":9}]"#,
            r#"[{"sid":"a","exp":"9"}]"#,
            r#"[{"sid":"a","sid":"b","exp":9}]"#,
            r#"[{"sid":"a","exp":9,"exp":9}]"#,
            r#"[{"sid":"a","exp":-9}]"#,
        ] {
            assert_eq!(entries(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_snapshot_is_of_its_issuer_and_of_now() {
        let document = |json: &str, typ: &str| {
            let claims = json::object(json.as_bytes(), Claims::default()).ok()?;
            claims.document(typ, "https://id", 1000)
        };
        let good =
            r#"{"iss":"https://id","exp":941,"epoch":"e","seq":7,"revocations":[],"jti":"x"}"#;
        let read = document(good, SNAPSHOT).unwrap();
        assert_eq!((read.epoch.as_str(), read.seq, read.entries.len()), ("e", 7, 0));
        for (from, to) in [
            ("https://id", "https://id/"),
            ("\"exp\":941", "\"exp\":940"),
            ("\"exp\":941,", ""),
            ("\"seq\":7,", ""),
            ("\"seq\":7", "\"seq\":-7"),
            ("\"epoch\":\"e\",", ""),
            (",\"revocations\":[]", ""),
        ] {
            let bad = good.replace(from, to);
            assert_eq!(document(&bad, SNAPSHOT), None, "{bad}");
        }
        assert!(document(&good.replace("\"exp\":941,", ""), CHANGE).is_some());
    }
}
