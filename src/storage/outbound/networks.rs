//! The networks that addresses of clients may lead to: public ones, and those that `outbound.allow`
//! names. Without this rule a client could register an address of this machine or of a cloud's
//! metadata service and have Signet ask it (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use url::{Host, Url};

use super::OutboundError;
use crate::base::network::Network;

/// The special-use networks of IPv4 (RFC 6890 and IANA's registry), with multicast and the reserved
/// block, which holds the broadcast address.
const SPECIAL_USE_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];
/// The only block of IPv6 that is allocated for global use (RFC 4291 section 2.4).
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// The special-use networks within it: protocol assignments (Teredo and ORCHID among them), two of
/// documentation, 6to4, AS112.
const SPECIAL_USE_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
/// The prefix of IPv4 addresses behind NAT64 (RFC 6052 section 2.1).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// An entry of `outbound.allow`: a host name, or a network, which may be a single address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Whatever this name resolves to.
    Name(String),
    /// The addresses of this network.
    Network(Network),
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        match Host::parse(text) {
            // Digits in the last label are a mistyped address or network.
            Ok(Host::Domain(name)) if !name.contains('*') => Ok(Self::Name(bare(&name).to_owned())),
            _ => Err(format!(
                "\"{text}\" is not a host name, an address or a network such as 10.0.0.0/8"
            )),
        }
    }
}

/// A client's address in the development profile that is neither HTTPS nor plain HTTP on loopback.
pub(super) const NEITHER: OutboundError =
    OutboundError::Address("begin with https://, or with http:// and lead to loopback");

/// Checks that a client's `url`, whose host resolves to `addresses`, leads to public networks and
/// allowed ones only. Plain HTTP must stay on loopback.
pub(super) fn check(
    allow: &[Allowed],
    url: &Url,
    addresses: &[SocketAddr],
) -> Result<(), OutboundError> {
    let is_named = match url.host() {
        Some(Host::Domain(name)) => allow.contains(&Allowed::Name(bare(name).to_owned())),
        _ => false,
    };
    for found in addresses.iter().map(SocketAddr::ip) {
        let address = unwrap(found);
        if url.scheme() == "http" && !address.is_loopback() {
            return Err(NEITHER);
        }
        // An entry may also name addresses behind NAT64 as they are; a wider one, such as ::/0, means
        // addresses of IPv6.
        let is_allowed = allow.iter().any(|allowed| {
            matches!(allowed, Allowed::Network(network) if network.contains(address)
                || (network.prefix() >= 96 && network.contains(found)))
        });
        if !is_named && !is_allowed && !is_global(address) {
            return Err(OutboundError::Network(address));
        }
    }
    Ok(())
}

/// A name without the dot that ends an absolute one.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The IPv4 address that an IPv6 address stands for (RFC 4291 section 2.5.5.2, RFC 6052).
fn unwrap(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if address.segments().starts_with(&NAT64) => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    }
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let is_in = |(network, prefix): &(Ipv4Addr, u32)| {
                (address.to_bits() ^ network.to_bits()) >> (Ipv4Addr::BITS - prefix) == 0
            };
            !SPECIAL_USE_V4.iter().any(is_in)
        }
        IpAddr::V6(address) => {
            let is_in = |(network, prefix): &(Ipv6Addr, u32)| {
                (address.to_bits() ^ network.to_bits()) >> (Ipv6Addr::BITS - prefix) == 0
            };
            is_in(&GLOBAL_V6) && !SPECIAL_USE_V6.iter().any(is_in)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a URL with the address as its host comes to, as the URL standard reads it.
    fn asked(host: &str, allow: &[&str]) -> Result<(), OutboundError> {
        let url = Url::parse(&format!("https://{host}/")).unwrap();
        let address: IpAddr = match url.host().unwrap() {
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
            Host::Domain(name) => panic!("{name} is not an address"),
        };
        let allow: Vec<Allowed> = allow.iter().map(|text| text.parse().unwrap()).collect();
        check(&allow, &url, &[(address, 443).into()])
    }

    #[test]
    fn special_use_addresses_are_refused_in_every_spelling() {
        for (kind, hosts) in [
            ("loopback in numbers", "127.0.0.1 2130706433 0177.0.0.1 0x7f.1 0x7f000001 127.1"),
            ("loopback as IPv6", "[::1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1]"),
            ("NAT64", "[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1]"),
            ("unspecified", "0.0.0.0 0 0.1.2.3 [::]"),
            ("private", "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 [::ffff:10.0.0.1]"),
            ("private as IPv6", "[64:ff9b::10.0.0.1] [fc00::1] [fd12:3456::1]"),
            ("shared (CGNAT)", "100.64.0.1 100.127.255.255"),
            (
                "link-local: metadata of clouds",
                "169.254.169.254 [fe80::1] [fd00:ec2::254] [fec0::1]",
            ),
            ("documentation", "192.0.2.1 198.51.100.1 203.0.113.1 [2001:db8::1] [3fff::1]"),
            ("benchmarks", "198.18.0.1 198.19.255.255 [2001:2::1]"),
            ("6to4 and its relay", "[2002:7f00:1::1] [2002:808:808::1] 192.88.99.1"),
            ("Teredo", "[2001::1] [2001:0:53aa:64c::1]"),
            ("protocols", "192.0.0.8 192.0.0.170"),
            ("multicast", "224.0.0.1 239.255.255.255 [ff02::1] [ff0e::1]"),
            ("reserved", "240.0.0.1 255.255.255.255 [100::1] [5f00::1] [4000::1]"),
        ] {
            for host in hosts.split(' ') {
                let refused = asked(host, &[]);
                let is_network = matches!(refused, Err(OutboundError::Network(_)));
                assert!(is_network, "{kind}: {host}: {refused:?}");
            }
        }
    }

    #[test]
    fn public_addresses_and_allowed_ones_may_be_asked() {
        for hosts in [
            "8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255",
            "172.32.0.0 198.17.255.255 198.20.0.0 223.255.255.255 [::ffff:8.8.8.8]",
            "[2606:4700::1111] [2001:200::1] [2a00:1450::1] [64:ff9b::8.8.8.8]",
        ] {
            hosts.split(' ').for_each(|host| asked(host, &[]).unwrap());
        }
        asked("10.1.2.3", &["10.0.0.0/8"]).unwrap();
        asked("[::ffff:10.1.2.3]", &["10.1.2.3"]).unwrap();
        asked("[64:ff9b::10.1.2.3]", &["10.0.0.0/8"]).unwrap();
        asked("[64:ff9b::10.1.2.3]", &["64:ff9b::10.1.2.3"]).unwrap();
        asked("[64:ff9b::10.1.2.3]", &["64:ff9b::/96"]).unwrap();
        assert!(asked("10.1.2.3", &["64:ff9b::/96"]).is_err(), "it is not behind NAT64");
        assert!(
            asked("[64:ff9b::10.1.2.3]", &["::/0"]).is_err(),
            "a wide network names none behind NAT64"
        );
        asked("[::1]", &["localhost", "::1"]).unwrap();
        assert!(asked("127.0.0.1", &["localhost", "10.0.0.0/8"]).is_err(), "a name is no address");
    }

    #[test]
    fn a_name_must_resolve_to_nothing_but_public_addresses() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| (text.parse::<IpAddr>().unwrap(), 443).into()).collect()
        };
        let url = Url::parse("https://rebinding.example./").unwrap();
        let (public, mixed) = (addresses(&["8.8.8.8"]), addresses(&["8.8.8.8", "127.0.0.1"]));
        check(&[], &url, &public).unwrap();
        assert!(check(&[], &url, &mixed).is_err());
        check(&["rebinding.example".parse().unwrap()], &url, &mixed).unwrap();
        assert!(check(&["example".parse().unwrap()], &url, &mixed).is_err());

        let plain = Url::parse("http://rebinding.example/").unwrap();
        let allow: [Allowed; 1] = ["rebinding.example".parse().unwrap()];
        assert!(check(&allow, &plain, &mixed).is_err() && check(&allow, &plain, &public).is_err());
        check(&allow, &plain, &addresses(&["127.0.0.1", "::1"])).unwrap();
    }

    #[test]
    fn entries_are_names_addresses_or_networks() {
        let name = |text: &str| Ok(Allowed::Name(text.into()));
        assert_eq!("LocalHost".parse(), name("localhost"));
        assert_eq!("b\u{fc}cher.example.".parse(), name("xn--bcher-kva.example"));
        for text in ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1"] {
            assert!(matches!(text.parse(), Ok(Allowed::Network(_))), "{text}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0.256", "https://a", "a/b", "a b", "a:443", "*.a"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }
}
