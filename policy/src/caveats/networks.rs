use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{CaveatType, Container, WhenUnspecified, check_resource, list_text, read_sorted, sorted};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{NetworkError, Reason, Resource};

/// Most networks of one caveat.
pub const MAX_NETWORKS: usize = 256;
/// The prefix length of IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// Only from these networks. The address comes from the socket, never from a header.
///
/// Type 65546, body `[[[address: bin4 or bin16, length: u8] …]]`: IPv4 before IPv6, then by address, then
/// by length, at most [`MAX_NETWORKS`]. A request without an address (a Unix socket): resource unspecified.
///
/// An IPv4 client of an IPv6 socket has the address `::ffff:a.b.c.d`, which counts as IPv4: an IPv4 network can
/// contain it, an IPv6 network never does, not even `::/0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// A CIDR prefix (RFC 4632, RFC 4291 §2.3). Host bits are zero; IPv4 is never written as mapped IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Networks {
    /// The type number.
    pub const KIND: u64 = 65_546;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Networks",
        body: "`[[[address: bin4 or bin16, length: u8] …]]`, IPv4 first, ascending",
        meaning: "only from these CIDR networks, by the address of the socket; IPv4-mapped IPv6 counts as IPv4",
        when_unspecified: WhenUnspecified::Refuses,
        containers: &[Container::Token, Container::Discharge],
        since: "0.1.0",
    };

    /// Only addresses in these networks, given in any order.
    ///
    /// # Errors
    /// [`NetworkError::TooMany`].
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Result<Self, NetworkError> {
        let networks = sorted(networks);
        if networks.len() > MAX_NETWORKS { Err(NetworkError::TooMany) } else { Ok(Self(networks)) }
    }

    /// The networks, ascending.
    pub fn networks(&self) -> &[Network] {
        &self.0
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(1)?;
        let networks = read_sorted(reader, Network::read)?;
        if networks.len() > MAX_NETWORKS { Err(DecodeError::OutOfRange) } else { Ok(Self(networks)) }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(1);
        out.array(self.0.len());
        for network in &self.0 {
            out.array(2);
            match network.address {
                IpAddr::V4(address) => out.bin(&address.octets()),
                IpAddr::V6(address) => out.bin(&address.octets()),
            }
            out.uint(u64::from(network.length));
        }
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        check_resource(Resource::Peer, access.peer, |peer| {
            self.0.iter().any(|network| network.contains(peer))
        })
    }

    pub(super) fn describe(&self) -> String {
        format!("only from networks: {}", list_text(self.0.iter().map(ToString::to_string)))
    }
}

impl Network {
    /// The network with this prefix. One inside `::ffff:0:0/96` becomes the IPv4 network.
    ///
    /// # Errors
    /// [`NetworkError`] if the length exceeds the address, or a bit after the prefix is set.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, NetworkError> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if length > bits {
            return Err(NetworkError::Length);
        }
        let network = match (address.to_canonical(), length.checked_sub(MAPPED_BITS)) {
            (IpAddr::V4(mapped), Some(length)) if address.is_ipv6() => {
                Self { address: mapped.into(), length }
            }
            _ => Self { address, length },
        };
        if network.masked(network.address) == Some(network.address) {
            Ok(network)
        } else {
            Err(NetworkError::HostBits)
        }
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length, in bits.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether it contains the address. IPv4-mapped IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.masked(address.to_canonical()) == Some(self.address)
    }

    /// The address without the bits after the prefix; `None` for the other address family.
    fn masked(&self, address: IpAddr) -> Option<IpAddr> {
        let prefix = u32::from(self.length);
        match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(address)) => {
                let mask = !u32::MAX.checked_shr(prefix).unwrap_or(0);
                Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
            }
            (IpAddr::V6(_), IpAddr::V6(address)) => {
                let mask = !u128::MAX.checked_shr(prefix).unwrap_or(0);
                Some(Ipv6Addr::from_bits(address.to_bits() & mask).into())
            }
            _ => None,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(2)?;
        let octets = reader.bin()?;
        let length = u8::try_from(reader.uint()?).map_err(|_| DecodeError::OutOfRange)?;
        let address: IpAddr = if let Ok(octets) = <[u8; 4]>::try_from(octets) {
            octets.into()
        } else if let Ok(octets) = <[u8; 16]>::try_from(octets) {
            octets.into()
        } else {
            return Err(DecodeError::OutOfRange);
        };
        let network = Self::new(address, length).map_err(|error| match error {
            NetworkError::HostBits => DecodeError::NotCanonical,
            _ => DecodeError::OutOfRange,
        })?;
        // IPv4 has one canonical form, which is not mapped IPv6.
        if network.address == address { Ok(network) } else { Err(DecodeError::NotCanonical) }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `10.0.0.0/8`, `2001:db8::/32`; an address alone is the network of that address.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Text)?;
        let length = match length {
            None if address.is_ipv4() => 32,
            None => 128,
            // `u8::from_str` accepts a sign and leading zeros; a network has one text.
            Some(digits) => match digits.parse::<u8>() {
                Ok(length) if length.to_string() == digits => length,
                _ => return Err(NetworkError::Text),
            },
        };
        Self::new(address, length)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<Network, NetworkError> {
        text.parse()
    }

    #[test]
    fn network_texts_parse_or_are_refused() {
        let cases = [
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("192.0.2.7", Ok("192.0.2.7/32")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("2001:DB8::/32", Ok("2001:db8::/32")),
            ("::1", Ok("::1/128")),
            ("::/0", Ok("::/0")),
            ("::ffff:10.0.0.0/104", Ok("10.0.0.0/8")),
            ("::ffff:192.0.2.7", Ok("192.0.2.7/32")),
            ("::ffff:0:0/95", Err(NetworkError::HostBits)),
            ("10.0.0.1/8", Err(NetworkError::HostBits)),
            ("2001:db8::1/64", Err(NetworkError::HostBits)),
            ("10.0.0.0/33", Err(NetworkError::Length)),
            ("::/129", Err(NetworkError::Length)),
            ("10.0.0.0/08", Err(NetworkError::Text)),
            ("10.0.0.0/+8", Err(NetworkError::Text)),
            ("10.0.0/8", Err(NetworkError::Text)),
            ("010.0.0.0/8", Err(NetworkError::Text)),
            ("fe80::1%eth0", Err(NetworkError::Text)),
            ("", Err(NetworkError::Text)),
        ];
        for (text, expected) in cases {
            assert_eq!(
                network(text).map(|network| network.to_string()).as_deref(),
                expected.as_ref().map(|text| *text),
                "{text}"
            );
        }
    }

    #[test]
    fn networks_contain_addresses_of_their_family_and_mapped_addresses_are_ipv4() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
            ("0.0.0.0/0", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "10.1.2.3", false),
            ("::/0", "::ffff:10.1.2.3", false),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("2001:db8::/33", "2001:db8:7fff::", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
        ];
        for (text, address, expected) in cases {
            let contains = network(text).unwrap().contains(address.parse().unwrap());
            assert_eq!(contains, expected, "{address} in {text}");
        }
    }
}
