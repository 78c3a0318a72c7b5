//! The record of a session in Redis: tab-separated text that begins with the format's version.

use std::fmt::Write;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::domain::sessions::{Origin, Session};
use crate::storage::StorageError;

/// The format of records, their first field.
pub const VERSION: &str = "1";

/// How many fields a record has here, its version counted.
const KNOWN_FIELDS: usize = 11;

/// The record of a session; its user and sid stand in the key already.
pub fn encode(session: &Session) -> Result<String, StorageError> {
    let Session { client_id, scope, audience, epoch, current, parent, origin, .. } = session;
    let address = origin.address.map(encode_address).unwrap_or_default();
    let user_agent = origin.user_agent.as_deref().unwrap_or_default();
    if [client_id, scope, audience, user_agent].iter().any(|text| text.contains('\t')) {
        return Err(StorageError::corrupt("session: a name with a tab in it"));
    }
    let (started_at, advanced_at) = (session.started_at.as_unix(), session.advanced_at.as_unix());
    let names = client_id.len() + scope.len() + audience.len() + user_agent.len();
    let mut record = String::with_capacity(96 + names);
    // Writing to a String does not fail.
    let _ = write!(
        record,
        "{VERSION}\t{current}\t{parent}\t{advanced_at}\t{started_at}\t{epoch}\t{client_id}\t\
         {scope}\t{audience}\t{address}\t{user_agent}"
    );
    Ok(record)
}

/// What a later version has added to a record, with the tab before it; it is kept as it is.
pub fn unknown(record: &[u8]) -> &[u8] {
    let mut tabs = record.iter().enumerate().filter(|(_, byte)| **byte == b'\t');
    tabs.nth(KNOWN_FIELDS - 1).map_or(&[], |(place, _)| &record[place..])
}

/// An address as base64url of its bytes, shorter than the text of most.
fn encode_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => URL_SAFE_NO_PAD.encode(address.octets()),
        IpAddr::V6(address) => URL_SAFE_NO_PAD.encode(address.octets()),
    }
}

/// The address; what is none is left out, for what is shown to people is not worth failing for.
fn decode_address(text: &str) -> Option<IpAddr> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from)).ok()
}

/// The session of a record.
pub fn decode(user_id: Uuid, sid: Uuid, record: &[u8]) -> Result<Session, StorageError> {
    parse_record(user_id, sid, record).ok_or_else(|| StorageError::corrupt("session record"))
}

fn parse_record(user_id: Uuid, sid: Uuid, record: &[u8]) -> Option<Session> {
    let mut fields = std::str::from_utf8(record).ok()?.split('\t');
    if fields.next()? != VERSION {
        return None;
    }
    Some(Session {
        sid,
        user_id,
        current: parse_next(&mut fields)?,
        parent: parse_next(&mut fields)?,
        advanced_at: Timestamp::from_unix(parse_next(&mut fields)?),
        started_at: Timestamp::from_unix(parse_next(&mut fields)?),
        epoch: parse_next(&mut fields)?,
        client_id: fields.next()?.to_owned(),
        scope: fields.next()?.to_owned(),
        audience: fields.next()?.to_owned(),
        origin: Origin {
            address: fields.next().and_then(decode_address),
            user_agent: fields.next().filter(|text| !text.is_empty()).map(str::to_owned),
        },
    })
}

fn parse_next<'a, T: FromStr>(fields: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    fields.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            sid: Uuid::from_u128(1),
            user_id: Uuid::from_u128(2),
            client_id: "an app".into(),
            scope: "openid profile".into(),
            audience: String::new(),
            epoch: 3,
            started_at: Timestamp::from_unix(-5),
            current: 7,
            parent: 6,
            advanced_at: Timestamp::from_unix(1_764_547_200),
            origin: Origin {
                address: Some("2001:db8::7".parse().unwrap()),
                user_agent: Some("Firefox on Linux".into()),
            },
        }
    }

    #[test]
    fn records_round_trip() {
        let full = Session { audience: "https://a https://b".into(), ..session() };
        let v4 = Origin { address: Some("203.0.113.9".parse().unwrap()), user_agent: None };
        let v4 = Session { origin: v4, ..session() };
        let unknown = Session { origin: Origin::default(), ..session() };
        for session in [session(), full, v4, unknown] {
            let record = encode(&session).unwrap();
            let read = decode(session.user_id, session.sid, record.as_bytes()).unwrap();
            assert_eq!(read, session, "{record:?}");
        }
        let smuggled = Session { scope: "openid\tadmin".into(), ..session() };
        assert!(encode(&smuggled).is_err());
    }

    #[test]
    fn records_of_neighbouring_versions_are_read() {
        let session = session();
        let read = |record: &str| decode(session.user_id, session.sid, record.as_bytes()).unwrap();
        let record = encode(&session).unwrap();
        assert_eq!(read(&format!("{record}\tmore")), session, "a later one knows more");
        assert_eq!(super::unknown(format!("{record}\tmore\t").as_bytes()), b"\tmore\t");
        assert_eq!(super::unknown(record.as_bytes()), b"", "these are all its fields");
        let unknown = Session { origin: Origin::default(), ..session.clone() };
        let earlier = "1\t7\t6\t1764547200\t-5\t3\tan app\topenid profile\t";
        assert_eq!(read(earlier), unknown, "an earlier one knew no origin");
        assert_eq!(read(&format!("{earlier}\tnot an address\t")), unknown);
    }

    #[test]
    fn a_record_that_is_not_understood_is_an_error_not_an_absence() {
        let (user_id, sid) = (Uuid::from_u128(2), Uuid::from_u128(1));
        let good = encode(&session()).unwrap();
        let newer = good.replacen('1', "2", 1);
        let without_audience = good.rsplitn(4, '\t').last().unwrap();
        let no_number = "1\t-1\t0\t0\t0\t0\ta\tb\tc";
        for bad in ["", "1", newer.as_str(), without_audience, no_number] {
            assert!(decode(user_id, sid, bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(decode(user_id, sid, &[0xff]).is_err());
    }
}
