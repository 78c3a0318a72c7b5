//! Networks in CIDR form (RFC 4632, RFC 4291 section 2.3), as the configuration names them: the
//! proxies whose forwarded addresses Signet accepts, and the networks that Signet's requests to
//! addresses of clients may reach.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network such as `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The number of leading bits to compare, after an IPv4 address in IPv6 form became IPv4.
    pub(crate) fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` is in this network. An IPv4 address written as IPv6 counts as IPv4, since
    /// a dual-stack socket reports its IPv4 peers in that form.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                shifted(own.to_bits().into(), shift) == shifted(other.to_bits().into(), shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = Ipv6Addr::BITS - u32::from(self.prefix);
                shifted(own.to_bits(), shift) == shifted(other.to_bits(), shift)
            }
            _ => false,
        }
    }
}

/// `bits` shifted right; a shift by the full width, for a network of prefix 0, gives zero.
fn shifted(bits: u128, by: u32) -> u128 {
    bits.checked_shr(by).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not an address or a network such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|p| *p <= width).ok_or_else(wrong)?,
            None => width,
        };
        // An IPv4 address in IPv6 form (RFC 4291 section 2.5.5.2) becomes IPv4, since `contains`
        // compares peers as IPv4.
        match (address.to_canonical(), prefix) {
            (canonical @ IpAddr::V4(_), 96..) if address.is_ipv6() => {
                Ok(Self { address: canonical, prefix: prefix - 96 })
            }
            _ => Ok(Self { address, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "::ffff:10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("::ffff:10.1.2.3", "10.1.2.3", true),
            ("::ffff:a01:203", "10.1.2.3", true),
            ("::ffff:10.1.2.3", "10.1.2.4", false),
            ("::ffff:0:0/96", "203.0.113.9", true),
            ("::ffff:0:0/96", "2001:db8::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
