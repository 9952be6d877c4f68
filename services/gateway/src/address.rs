//! Networks, and whose address a request really comes from. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network such as `10.0.0.0/8` or `fd00::/8`; a plain address is the network of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read `{text}` as an address or a network like 10.0.0.0/8")]
pub struct NetworkError {
    text: String,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NetworkError {
            text: text.to_owned(),
        };
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(longest), |bits| bits.parse::<u8>().map_err(|_| wrong()))?;
        if bits > longest {
            Err(wrong())
        } else {
            Ok(Self { address, bits })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether an address lies in this network. An IPv4 address in IPv6 clothes counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - u32::from(self.bits);
                ours.to_bits().checked_shr(shift) == theirs.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - u32::from(self.bits);
                ours.to_bits().checked_shr(shift) == theirs.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// Whether an address lies in one of the networks.
pub(crate) fn is_in(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// The client's address: the peer's own unless the peer is a trusted proxy, else the rightmost forwarded address
/// that is not itself a trusted proxy. What cannot be read ends the search, for it may be anybody's invention.
pub(crate) fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let mut client = peer.to_canonical();
    let mut listed = forwarded_for.rev().flat_map(|line| line.rsplit(','));
    while is_in(trusted, client) {
        let Some(before) = listed.next().and_then(|text| read_forwarded(text.trim())) else {
            break;
        };
        client = before;
    }
    client
}

/// An element of `X-Forwarded-For`: an address, some proxies add a port.
fn read_forwarded(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or(text, |(inner, _)| inner);
    let address = bare.parse::<IpAddr>().ok();
    address
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|it| it.ip()))
        .map(|it| it.to_canonical())
}

/// The address that anonymous callers are counted by: IPv4 whole, IPv6 by its /64, which is one customer's at least.
pub(crate) fn counted_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(it) => IpAddr::V4(it),
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_its_addresses_only() {
        let ten = networks(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"]);
        for inside in ["10.255.0.1", "fdab::1", "192.0.2.7", "::ffff:10.1.2.3"] {
            assert!(is_in(&ten, address(inside)), "{inside}");
        }
        for outside in ["11.0.0.1", "fe00::1", "192.0.2.8"] {
            assert!(!is_in(&ten, address(outside)), "{outside}");
        }
        assert!(is_in(&networks(&["0.0.0.0/0"]), address("8.8.8.8")));
        assert!(!is_in(&networks(&["0.0.0.0/0"]), address("2001:db8::1")));
    }

    #[test]
    fn wrong_networks_are_refused_with_their_text() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::1/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "name",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn an_untrusted_peer_cannot_forge_its_address() {
        let found = client_address(
            address("203.0.113.9"),
            ["1.2.3.4"].into_iter(),
            &networks(&["10.0.0.0/8"]),
        );
        assert_eq!(found, address("203.0.113.9"));
    }

    #[test]
    fn behind_trusted_proxies_the_last_untrusted_address_counts() {
        let trusted = networks(&["10.0.0.0/8"]);
        let seen = |lines: &[&'static str]| {
            client_address(address("10.0.0.1"), lines.iter().copied(), &trusted)
        };
        assert_eq!(
            seen(&["6.6.6.6, 203.0.113.9, 10.0.0.2"]),
            address("203.0.113.9")
        );
        assert_eq!(seen(&["6.6.6.6", "203.0.113.9"]), address("203.0.113.9"));
        assert_eq!(seen(&["203.0.113.9:4711"]), address("203.0.113.9"));
        assert_eq!(seen(&["[2001:db8::1]:4711"]), address("2001:db8::1"));
        assert_eq!(seen(&[]), address("10.0.0.1"));
        assert_eq!(seen(&["6.6.6.6, nonsense"]), address("10.0.0.1"));
        assert_eq!(seen(&["10.0.0.3, 10.0.0.2"]), address("10.0.0.3"));
    }

    #[test]
    fn ipv6_callers_are_counted_by_their_64() {
        assert_eq!(
            counted_address(address("2001:db8:1:2:3:4:5:6")),
            address("2001:db8:1:2::")
        );
        assert_eq!(
            counted_address(address("::ffff:192.0.2.1")),
            address("192.0.2.1")
        );
    }
}
