//! The events of the stream, each ready to send as a server-sent event (WHATWG HTML section 9.2):
//! changes as Security Event Tokens (RFC 8417), and the state of the stream.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::entry::{Change, Entry, Revoked};
use super::{LANE, name_of_feed};
use crate::base::time::Timestamp;
use crate::domain::tokens::{SignError, Signer};

/// The media type in the header (RFC 8417 section 2.3).
const TYPE: &str = "secevent+jwt";
/// OpenID CAEP 1.0 section 3.1.
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const TOKEN_REVOKED: &str = "urn:signet:event:token-revoked";
const CLIENT_REVOKED: &str = "urn:signet:event:client-revoked";
const KEY_REVOKED: &str = "urn:signet:event:key-revoked";

/// An event, with what decides whether it can still be sent.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub seq: i64,
    pub at: Timestamp,
    pub kid: String,
    pub text: Bytes,
}

#[derive(Serialize)]
struct Claims {
    /// The feed and not the issuer, so that no verifier of access tokens accepts the event as one
    /// (RFC 8725 sections 3.8 and 3.12).
    iss: String,
    aud: String,
    iat: Timestamp,
    /// The id of the change, the same from every instance, so that receivers drop repetitions.
    jti: String,
    lane: &'static str,
    epoch: String,
    first_seq: i64,
    seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_id: Option<Value>,
    events: Map<String, Value>,
    revocations: Vec<Entry>,
}

/// The entries to publish for a change with `entries`. For an entry that is not published, the
/// entry that covers it is published once more, since an event needs one; `cut_off_of` returns that
/// of a user.
pub(super) fn to_publish(
    entries: &[Entry],
    cut_off_of: impl Fn(&str) -> Option<Entry>,
) -> Vec<Entry> {
    let published: Vec<_> =
        entries.iter().filter(|entry| entry.revoked.is_published()).cloned().collect();
    if !published.is_empty() {
        return published;
    }
    let mut published = Vec::new();
    for Entry { revoked, expires_at } in entries {
        let Revoked::Ended { sid, user_id } = *revoked else { continue };
        let covering = cut_off_of(&user_id.to_string()).unwrap_or(Entry {
            // The covering entry has expired already. The session's own entry is as true.
            revoked: Revoked::Session { sid, user_id },
            expires_at: *expires_at,
        });
        if published.last() != Some(&covering) {
            published.push(covering);
        }
    }
    published
}

/// `change` of the history `epoch`, signed, with the entries [`to_publish`].
pub(super) async fn of_change(
    change: Change,
    epoch: &str,
    signer: &Signer,
    now: Timestamp,
) -> Result<Event, SignError> {
    let Change { seq, at, entries } = change;
    let first = entries.first().map(|entry| &entry.revoked);
    let event = first.map_or(TOKEN_REVOKED, event_type);
    let claims = Claims {
        iss: name_of_feed(signer.issuer()),
        aud: name_of_feed(signer.issuer()),
        iat: now,
        jti: format!("{epoch}-{seq}"),
        lane: LANE,
        epoch: epoch.to_owned(),
        first_seq: seq,
        seq,
        sub_id: first.map(|revoked| subject(revoked, signer.issuer())),
        events: Map::from_iter([(event.to_owned(), json!({ "event_timestamp": at }))]),
        revocations: entries,
    };
    let signed = signer.sign(TYPE, claims, now).await?;
    let text = format!("id: {LANE}:{seq}\nevent: revocation\ndata: {}\n\n", signed.jws);
    Ok(Event { seq, at, kid: signed.kid, text: text.into() })
}

fn event_type(revoked: &Revoked) -> &'static str {
    match revoked {
        Revoked::Session { .. } | Revoked::Ended { .. } | Revoked::Subject { .. } => {
            SESSION_REVOKED
        }
        Revoked::Token(_) => TOKEN_REVOKED,
        Revoked::Client { .. } => CLIENT_REVOKED,
        Revoked::Key { .. } => KEY_REVOKED,
    }
}

/// The subject of a change (RFC 9493; OpenID Shared Signals Framework 1.0 for `jwt_id` and
/// `complex`). Of several entries, the first is the widest.
fn subject(revoked: &Revoked, iss: &str) -> Value {
    let user = |sub: &str| json!({ "format": "iss_sub", "iss": iss, "sub": sub });
    let opaque = |id: &str| json!({ "format": "opaque", "id": id });
    match revoked {
        Revoked::Session { sid, user_id } | Revoked::Ended { sid, user_id } => json!({
            "format": "complex",
            "user": user(&user_id.to_string()),
            "session": opaque(&sid.to_string()),
        }),
        Revoked::Subject { sub, .. } => json!({ "format": "complex", "user": user(sub) }),
        Revoked::Token(token) => json!({ "format": "jwt_id", "iss": iss, "jti": token.jti }),
        Revoked::Client { client_id, .. } => opaque(client_id),
        Revoked::Key { kid } => opaque(kid),
    }
}

/// The first bytes of a connection: the delay in milliseconds before a reconnection.
pub(super) const BEGINNING: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// The event that the stream continues after `seq`, and that the snapshot has everything before.
pub(super) fn snapshot(epoch: &str, seq: i64) -> Bytes {
    let data = json!({ "lane": LANE, "epoch": epoch, "seq": seq });
    format!("id: {LANE}:{seq}\nevent: snapshot\ndata: {data}\n\n").into()
}

/// The event that there was no change after `seq`, `age` ago.
pub(super) fn heartbeat(epoch: &str, seq: i64, age: Duration) -> Bytes {
    let age = age.as_millis() as f64 / 1e3;
    let data = json!({ "lane": LANE, "epoch": epoch, "seq": seq, "age": age });
    format!("event: heartbeat\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_change_is_never_published_without_an_entry() {
        let (user_id, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let at = Timestamp::from_unix;
        let entry = |revoked| Entry { revoked, expires_at: at(900) };
        let ended = |sid| entry(Revoked::Ended { sid: Uuid::from_u128(sid), user_id });
        let session = |sid| entry(Revoked::Session { sid: Uuid::from_u128(sid), user_id });
        let cut_off = entry(Revoked::Subject { sub: user_id.to_string(), before: at(5) });
        let known = |sub: &str| (sub == user_id.to_string()).then(|| cut_off.clone());
        assert_eq!(to_publish(&[ended(7), ended(8)], known), std::slice::from_ref(&cut_off));
        assert_eq!(
            to_publish(&[cut_off.clone(), ended(7)], |_| None),
            std::slice::from_ref(&cut_off)
        );
        assert_eq!(to_publish(&[session(7), ended(8)], known), [session(7)]);
        // What stood for them is forgotten.
        assert_eq!(to_publish(&[ended(7), ended(8)], |_| None), [session(7), session(8)]);
        let of_other = entry(Revoked::Ended { sid: Uuid::from_u128(9), user_id: other });
        assert_eq!(to_publish(&[of_other], known).len(), 1);
        assert_eq!(to_publish(&[], known), []);
    }

    #[test]
    fn events_are_framed_as_one_line_of_data() {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(
            text(snapshot("e", 7)),
            "id: 0:7\nevent: snapshot\ndata: {\"epoch\":\"e\",\"lane\":\"0\",\"seq\":7}\n\n"
        );
        assert_eq!(
            text(heartbeat("e", 7, Duration::from_millis(250))),
            "event: heartbeat\ndata: {\"age\":0.25,\"epoch\":\"e\",\"lane\":\"0\",\"seq\":7}\n\n"
        );
    }
}
