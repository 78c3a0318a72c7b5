//! The feed's signed documents: the snapshot and each change, a Security Event Token (RFC 8417).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::revocations::{Entry, Kind, Revocations};
use crate::json::{self, Members, NumericDate, Text, Value, once};
use crate::jws::{BadHeader, Compact, Header, decode};
use crate::keys::{KeySet, Lookup};

/// The type of a snapshot.
pub const SNAPSHOT: &str = "revocations+jwt";
/// The type of a change (RFC 8417 section 2.3).
pub const CHANGE: &str = "secevent+jwt";
/// Numbers stay where one more is a number.
const MAX_SEQUENCE: u64 = 1 << 53;
/// How far clocks may be apart.
const LEEWAY: i64 = 60;

/// The lane of a service that names none.
pub const LANE: &str = "0";
/// Longer names of lanes are none.
const MAX_LANE: usize = 64;

/// What a document says.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// Which of the histories it is of.
    pub lane: String,
    /// The name of that history: it changes when numbers begin again.
    pub epoch: String,
    /// The first change that an event contains.
    pub first_seq: u64,
    /// The last change that an event or the snapshot contains.
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
    aud: Option<Value<'de>>,
    lane: Option<Text<'de>>,
    first_seq: Option<u64>,
    exp: Option<NumericDate>,
    epoch: Option<Text<'de>>,
    seq: Option<u64>,
    revocations: Option<Revocations>,
}

impl<'de> Members<'de> for Claims<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "iss" => once(&mut self.iss, map),
            "aud" => once(&mut self.aud, map),
            "lane" => once(&mut self.lane, map),
            "first_seq" => once(&mut self.first_seq, map),
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
        let iss = self.iss?.0;
        let feed = format!("{issuer}/revocations");
        // The feed has a name of its own. Until the next release, the issuer's own name, under
        // which a previous version of the service signs, is accepted as well; the type
        // distinguishes it from an access token.
        let is_of_feed = iss == feed.as_str() && self.aud.is_some_and(|aud| is_for(&aud, &feed));
        if !is_of_feed && iss != issuer {
            return None;
        }
        match self.exp {
            Some(NumericDate(exp)) if now >= exp.saturating_add(LEEWAY) => return None,
            // An old snapshot could be shown for ever; an old change does no harm.
            None if typ == SNAPSHOT => return None,
            _ => {}
        }
        let lane = lane_named(self.lane.map(|lane| lane.0.into_owned()))?;
        let (epoch, seq) =
            (self.epoch?.0.into_owned(), self.seq.filter(|seq| *seq < MAX_SEQUENCE)?);
        let first_seq = self.first_seq.unwrap_or(seq);
        let entries = self.revocations?;
        (first_seq <= seq).then_some(Document { lane, epoch, first_seq, seq, entries })
    }
}

/// Whether the audience is this one, or it is among several.
fn is_for(audience: &Value<'_>, name: &str) -> bool {
    match audience {
        Value::Text(one) => one == name,
        Value::Texts { texts, only } => *only && texts.iter().any(|one| one == name),
        Value::Other => false,
    }
}

/// The lane of this name, or the one that is meant where none is named; `None` for a name that is
/// none.
pub fn lane_named(name: Option<String>) -> Option<String> {
    let name = name.unwrap_or_else(|| LANE.to_owned());
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | '&' | '#' | '%' | '+');
    let is_name = !name.is_empty() && name.len() <= MAX_LANE && name.chars().all(is_plain);
    is_name.then_some(name)
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
        assert_eq!((read.lane.as_str(), read.first_seq), ("0", 7));
        let named = good.replace("\"https://id\"", "\"https://id/revocations\"");
        assert_eq!(document(&named, SNAPSHOT), None, "without an audience");
        for aud in [r#""https://id/revocations""#, r#"["https://a","https://id/revocations"]"#] {
            let with = |aud: &str| named.replace("{", &format!("{{\"aud\":{aud},"));
            assert_eq!(document(&with(aud), SNAPSHOT).as_ref(), Some(&read), "{aud}");
            let other = aud.replace("/revocations", "");
            assert_eq!(document(&with(&other), SNAPSHOT), None, "{other}");
        }
        let with = |member: &str| document(&good.replace("{", &format!("{{{member},")), CHANGE);
        let range = with(r#""lane":"eu-1","first_seq":5"#).unwrap();
        assert_eq!((range.lane.as_str(), range.first_seq, range.seq), ("eu-1", 5, 7));
        for bad in [r#""first_seq":8"#, r#""lane":"""#, r#""lane":"a:b""#, r#""lane":"a&b""#] {
            assert_eq!(with(bad), None, "{bad}");
        }
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
