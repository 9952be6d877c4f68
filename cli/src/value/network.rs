//! Networks in the notation of CIDR: `10.0.0.0/8`, `fd00::/8`; a plain address is the network of itself.

use core::net::IpAddr;
use std::str::FromStr;

/// Why a text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// What stands before the slash is no address.
    #[error("`{0}` is no address")]
    Address(String),
    /// What stands behind the slash is not a number of bits that such an address has.
    #[error("`/{bits}` is not from /0 to /{most}")]
    Bits {
        /// What stands there.
        bits: String,
        /// The bits of such an address.
        most: u32,
    },
    /// The address has bits that the network does not have: one of the two is a mistake.
    #[error("the network that holds `{written}` is {meant}")]
    Beyond {
        /// What was written.
        written: String,
        /// The network that this lies in.
        meant: Network,
    },
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| NetworkError::Address(address.escape_debug().to_string()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => {
                number(bits)
                    .filter(|bits| *bits <= most)
                    .ok_or_else(|| NetworkError::Bits {
                        bits: bits.escape_debug().to_string(),
                        most,
                    })?
            }
        };
        let meant = Self {
            address: first_address(address, most - bits),
            bits,
        };
        if meant.address == address {
            Ok(meant)
        } else {
            Err(NetworkError::Beyond {
                written: text.to_owned(),
                meant,
            })
        }
    }
}

/// A number in plain digits: `+8` and the like are not what people mean.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The address with its last bits cleared.
fn first_address(address: IpAddr, cleared: u32) -> IpAddr {
    match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V4((it.to_bits() & mask).into())
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V6((it.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_plain_addresses_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::/0", "::/0"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_is_wrong() {
        for (text, message) in [
            ("10.0.0/8", "`10.0.0` is no address"),
            ("localhost", "`localhost` is no address"),
            ("", "`` is no address"),
            ("10.0.0.0/33", "`/33` is not from /0 to /32"),
            ("10.0.0.0/", "`/` is not from /0 to /32"),
            ("10.0.0.0/+8", "`/+8` is not from /0 to /32"),
            ("::/129", "`/129` is not from /0 to /128"),
            (
                "10.1.2.3/8",
                "the network that holds `10.1.2.3/8` is 10.0.0.0/8",
            ),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
