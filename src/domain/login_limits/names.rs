//! The names of accounts and networks in the store: keyed hashes, since people type all sorts of
//! things where a login name is asked for, a password among them. Accounts that do not
//! exist have names like all others.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::secret::Secret;

/// Separates this use of the key from all others.
const PURPOSE: &[u8] = b"signet login attempts";

/// Makes names. Cheap to clone.
#[derive(Clone)]
pub struct Names(hmac::Key);

/// An account, whether it exists or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(pub(super) String);

/// Where an attempt comes from: an IPv4 address, or an IPv6 network of 64 bits, within which one
/// household or server has as many addresses as it likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network(pub(super) String);

impl Names {
    /// Names under a key that is derived from `secret`.
    pub fn new(secret: &Secret<Vec<u8>>) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()), PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    /// The account with this login name, given in its comparison form.
    pub fn account(&self, key: &str) -> Account {
        Account(self.of('a', key.as_bytes()))
    }

    /// The network of `address`.
    pub fn network(&self, address: IpAddr) -> Network {
        Network(self.of_network('n', address))
    }

    pub(super) fn of_network(&self, kind: char, address: IpAddr) -> String {
        match address.to_canonical() {
            IpAddr::V4(address) => self.of(kind, &address.octets()),
            IpAddr::V6(address) => self.of(kind, &address.octets()[..8]),
        }
    }

    /// The name of `value` among records of `kind`.
    #[allow(clippy::indexing_slicing, reason = "a tag has 32 bytes")]
    pub(super) fn of(&self, kind: char, value: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[kind as u8]);
        context.update(value);
        format!("{kind}:{}", URL_SAFE_NO_PAD.encode(&context.sign().as_ref()[..16]))
    }
}

impl Network {
    /// What it is called in an account's record, which knows few of them.
    pub(super) fn short(&self) -> &str {
        &self.0[2..13]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_networks_apart_and_show_nothing() {
        let names = Names::new(&Secret::new(vec![7; 32]));
        let network = |address: &str| names.network(address.parse().unwrap());
        assert_eq!(network("10.1.2.3"), network("::ffff:10.1.2.3"));
        assert_eq!(network("2001:db8::1"), network("2001:db8:0:0:ffff::9"));
        for (one, other) in [
            ("10.1.2.3", "10.1.2.4"),
            ("2001:db8::1", "2001:db8:0:1::1"),
            ("32.1.13.184", "2001:db8::1"),
        ] {
            assert_ne!(network(one), network(other));
        }
        assert_eq!(names.account("ann@example.com"), names.account("ann@example.com"));
        assert_ne!(names.account("ann@example.com"), names.account("bob@example.com"));
        assert_eq!(names.account("").0.len(), 24);
        assert_eq!(network("10.1.2.3").short().len(), 11);

        let other = Names::new(&Secret::new(vec![8; 32]));
        assert_ne!(names.account("ann@example.com"), other.account("ann@example.com"));
    }
}
