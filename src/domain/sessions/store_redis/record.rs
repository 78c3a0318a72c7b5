//! The record of a session in Redis: tab-separated text that begins with the format's version.

use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::{parse_short, short};
use crate::base::time::Timestamp;
use crate::domain::sessions::{Login, Origin, Session, SessionKind};
use crate::storage::{StorageError, Stored};

pub(super) const VERSION: &str = "1";

/// The number of fields of a whole record, its version included.
const KNOWN_FIELDS: usize = 18;

/// The record of a session; the key contains its user and sid. `held` is the record that it replaces,
/// or empty: the fields that a later version has added to it are kept.
pub(super) fn encode(session: &Session, held: &[u8]) -> Stored<Vec<u8>> {
    let Session { client_id, scope, audience, epoch, current, parent, origin, login, .. } = session;
    let address = origin.address.map(encode_address).unwrap_or_default();
    let user_agent = origin.user_agent.as_deref().unwrap_or_default();
    let (acr, amr) = (login.acr.as_deref().unwrap_or_default(), &login.amr);
    let details = login.details.as_deref().unwrap_or_default();
    let texts = [client_id, scope, audience, user_agent, acr, amr, details];
    if texts.iter().any(|text| text.contains('\t')) {
        return Err(StorageError::corrupt("session: a name with a tab in it"));
    }
    let (started_at, advanced_at) = (session.started_at.as_unix(), session.advanced_at.as_unix());
    let length: usize = texts.iter().map(|text| text.len()).sum();
    let mut record = String::with_capacity(160 + length);
    // Writing to a String does not fail.
    let _ = write!(
        record,
        "{VERSION}\t{current}\t{parent}\t{advanced_at}\t{started_at}\t{epoch}\t{client_id}\t\
         {scope}\t{audience}\t{address}\t{user_agent}"
    );
    let unknown = unknown(held);
    // A record without these fields says this login, as most do.
    if *login != Login::by_password(session.started_at) || !unknown.is_empty() {
        let kind = login.kind.word().unwrap_or_default();
        let browser = login.browser_sid.map(short).unwrap_or_default();
        let auth_time = login.auth_time.as_unix();
        let ends_at = login.ends_at.map(|at| at.as_unix().to_string()).unwrap_or_default();
        let _ =
            write!(record, "\t{kind}\t{browser}\t{auth_time}\t{acr}\t{amr}\t{ends_at}\t{details}");
    }
    let mut record = record.into_bytes();
    record.extend_from_slice(unknown);
    Ok(record)
}

/// The fields that a later version has added to a record, with the tab before them.
#[allow(clippy::indexing_slicing, reason = "the place was found in the record")]
fn unknown(record: &[u8]) -> &[u8] {
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

/// The address; one that cannot be read is left out, because it is only shown to people.
fn decode_address(text: &str) -> Option<IpAddr> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from)).ok()
}

pub(super) fn decode(user_id: Uuid, sid: Uuid, record: &[u8]) -> Stored<Session> {
    parse_record(user_id, sid, record).ok_or_else(|| StorageError::corrupt("session record"))
}

fn parse_record(user_id: Uuid, sid: Uuid, record: &[u8]) -> Option<Session> {
    let mut fields = std::str::from_utf8(record).ok()?.split('\t');
    if fields.next()? != VERSION {
        return None;
    }
    let current = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let advanced_at = Timestamp::from_unix(fields.next()?.parse().ok()?);
    let started_at = Timestamp::from_unix(fields.next()?.parse().ok()?);
    let epoch = fields.next()?.parse().ok()?;
    let [client_id, scope, audience] = [fields.next()?, fields.next()?, fields.next()?];
    // The fields from here on may be absent.
    let mut next = || fields.next().filter(|text| !text.is_empty());
    let origin =
        Origin { address: next().and_then(decode_address), user_agent: next().map(str::to_owned) };
    let time = |text: &str| text.parse().map(Timestamp::from_unix).ok();
    let (kind, browser) = (SessionKind::parse(next()).ok()?, next());
    let login = match next() {
        None => Login::by_password(started_at),
        Some(auth_time) => Login {
            kind,
            browser_sid: browser.map(parse_short).transpose().ok()?,
            auth_time: time(auth_time)?,
            acr: next().map(str::to_owned),
            amr: next().unwrap_or_default().to_owned(),
            ends_at: match next() {
                None => None,
                Some(text) => Some(time(text)?),
            },
            details: next().map(str::to_owned),
        },
    };
    Some(Session {
        sid,
        user_id,
        client_id: client_id.to_owned(),
        scope: scope.to_owned(),
        audience: audience.to_owned(),
        epoch,
        started_at,
        current,
        parent,
        advanced_at,
        origin,
        login,
    })
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
            login: Login::by_password(Timestamp::from_unix(1_764_540_000)),
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
        let login = Login {
            kind: SessionKind::Online,
            browser_sid: Some(Uuid::from_u128(9)),
            amr: "pwd otp mfa".into(),
            ends_at: Some(Timestamp::from_unix(1_764_550_000)),
            details: Some(r#"{"claims":{"id_token":{"email":null}}}"#.into()),
            ..session().login
        };
        let login = Session { login, ..session() };
        for session in [session(), full, v4, unknown, login] {
            let record = encode(&session, &[]).unwrap();
            let read = decode(session.user_id, session.sid, &record).unwrap();
            assert_eq!(read, session, "{record:?}");
        }
        let smuggled = Session { scope: "openid\tadmin".into(), ..session() };
        assert!(encode(&smuggled, &[]).is_err());
        let login = Login { details: Some("{\t}".into()), ..session().login };
        assert!(encode(&Session { login, ..session() }, &[]).is_err());
    }

    #[test]
    fn records_of_neighbouring_versions_are_read() {
        let session = session();
        let read = |record: &str| decode(session.user_id, session.sid, record.as_bytes()).unwrap();
        let record = String::from_utf8(encode(&session, &[]).unwrap()).unwrap();
        assert_eq!(read(&format!("{record}\tmore")), session, "a later one knows more");
        assert_eq!(super::unknown(format!("{record}\tmore\t").as_bytes()), b"\tmore\t");
        assert_eq!(super::unknown(record.as_bytes()), b"", "these are all its fields");
        let login = Login::by_password(session.started_at);
        let earlier = Session { login, ..session.clone() };
        let fields: Vec<_> = record.split('\t').collect();
        let previous = fields[..11].join("\t");
        assert_eq!(read(&previous), earlier, "the previous one knew one login");
        assert_eq!(encode(&earlier, &[]).unwrap(), previous.as_bytes(), "as it would write it");
        let whole = encode(&earlier, format!("{record}\tmore").as_bytes()).unwrap();
        assert!(whole.ends_with(b"\turn:signet:aal1\tpwd\t\t\tmore"), "{whole:?}");
        assert_eq!(decode(session.user_id, session.sid, &whole).unwrap(), earlier);
        let earlier = Session { origin: Origin::default(), ..earlier };
        let first = "1\t7\t6\t1764547200\t-5\t3\tan app\topenid profile\t";
        assert_eq!(read(first), earlier, "an earlier one knew no origin");
        assert_eq!(read(&format!("{first}\tnot an address\t")), earlier);
    }

    #[test]
    fn a_record_that_is_not_understood_is_an_error_not_an_absence() {
        let (user_id, sid) = (Uuid::from_u128(2), Uuid::from_u128(1));
        let good = String::from_utf8(encode(&session(), &[]).unwrap()).unwrap();
        let newer = good.replacen('1', "2", 1);
        let without_audience = good.splitn(9, '\t').take(8).collect::<Vec<_>>().join("\t");
        let no_number = "1\t-1\t0\t0\t0\t0\ta\tb\tc";
        let [no_kind, no_browser, no_time] = ["other", "\tx\t5", "\t\tx"]
            .map(|fields| format!("1\t1\t0\t0\t0\t0\ta\tb\tc\t\t\t{fields}"));
        let bad = [newer, without_audience, no_number.into(), no_kind, no_browser, no_time];
        for bad in bad.iter().map(String::as_str).chain(["", "1"]) {
            assert!(decode(user_id, sid, bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(decode(user_id, sid, &[0xff]).is_err());
    }
}
