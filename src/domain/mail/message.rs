//! A message as it is sent (RFC 5322): addressed, encoded, with the same `Message-ID` at every
//! attempt, so that a receiver recognises a repetition. No text from outside becomes part of a header
//! unencoded.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{MultiPart, SinglePart};
use url::Host;
use uuid::Uuid;

pub(crate) use lettre::message::Mailbox;

use super::template::Rendered;
use crate::base::time::Timestamp;

pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

/// The message cannot be put into the form of RFC 5322, most often because of its address.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be written: {0}")]
pub(crate) struct Unwritable(Box<dyn std::error::Error + Send + Sync>);

impl Message {
    /// Encodes a rendered message from `from` to the address `to`.
    pub(crate) fn write(
        id: Uuid,
        from: &Mailbox,
        to: &str,
        rendered: Rendered,
        now: Timestamp,
    ) -> Result<Self, Unwritable> {
        let seconds = u64::try_from(now.as_unix()).unwrap_or(0);
        let builder = lettre::Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, address(to)?))
            .subject(rendered.subject)
            .date(UNIX_EPOCH + Duration::from_secs(seconds))
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            // RFC 3834 section 5: automatic responders do not answer it.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".into(),
            ));
        let message = match rendered.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(rendered.text, html)),
            None => builder.singlepart(SinglePart::plain(rendered.text)),
        };
        let message = message.map_err(|error| Unwritable(error.into()))?;
        Ok(Self { id, envelope: message.envelope().clone(), bytes: message.formatted() })
    }

    /// Whether its addresses are ASCII, as the encoded rest is.
    pub(super) fn is_ascii(&self) -> bool {
        self.envelope.to().iter().all(|address| AsRef::<str>::as_ref(address).is_ascii())
    }
}

/// The address `text` with its domain in ASCII (RFC 5891), which every server understands.
fn address(text: &str) -> Result<Address, Unwritable> {
    let unwritable = |reason: &str| Unwritable(reason.into());
    let (local, domain) = text.rsplit_once('@').ok_or_else(|| unwritable("it has no domain"))?;
    match Host::parse(domain) {
        Ok(Host::Domain(domain)) => {
            Address::new(local, domain).map_err(|error| Unwritable(error.into()))
        }
        _ => Err(unwritable("its domain is not valid")),
    }
}

/// Parses the sender of mail: `name@example.com` or `Name <name@example.com>`. The error is the
/// sentence for the operator.
pub(crate) fn parse_sender(text: &str) -> Result<Mailbox, String> {
    let wrong = "must be an address such as Example <no-reply@example.com>";
    let mailbox: Mailbox = text.parse().map_err(|_| wrong)?;
    let name = mailbox.name.as_deref().unwrap_or_default();
    let address: &str = mailbox.email.as_ref();
    if !address.is_ascii() || name.chars().any(char::is_control) {
        return Err(wrong.into());
    }
    Ok(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(to: &str, subject: &str) -> Result<String, Unwritable> {
        let rendered = Rendered {
            subject: subject.into(),
            text: "Hello\n".into(),
            html: Some("<p>Hello</p>".into()),
        };
        let from = parse_sender("Ann's \"Shop\" <no-reply@example.com>").unwrap();
        let now = Timestamp::from_unix(1_764_547_200);
        let message = Message::write(Uuid::nil(), &from, to, rendered, now)?;
        Ok(String::from_utf8(message.bytes).unwrap())
    }

    #[test]
    fn a_message_has_the_headers_that_receivers_check() {
        let text = written("bob@b\u{fc}cher.example", "Grüße").unwrap();
        for header in [
            "To: bob@xn--bcher-kva.example\r\n",
            "Message-ID: <00000000-0000-0000-0000-000000000000@example.com>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Date: Mon, 01 Dec 2025 00:00:00 +0000\r\n",
            "Subject: =?utf-8?b?",
            "Content-Type: multipart/alternative",
        ] {
            assert!(text.contains(header), "{header}: {text}");
        }
    }

    #[test]
    fn text_from_outside_adds_no_header() {
        for to in ["bob@example.com\r\nBcc: eve@example.com", "bob", "@", "a b@example.com", ""] {
            assert!(written(to, "Hello").is_err(), "{to:?}");
        }
        let text = written("bob@example.com", "Hello\r\nBcc: eve@example.com\r\n\r\nx").unwrap();
        assert!(!text.contains("\r\nBcc:"), "{text}");
    }

    #[test]
    fn senders_are_checked() {
        for good in ["no-reply@example.com", "Shop <no-reply@example.com>"] {
            assert!(parse_sender(good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "Shop <no-reply>", "a\r\n<a@example.com>", "a@b\u{fc}cher.example"]
        {
            assert!(parse_sender(bad).is_err(), "{bad:?}");
        }
    }
}
