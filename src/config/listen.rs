//! Where HTTP is spoken, with which certificate, and through whom.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::given::{Given, Origin};
use super::shown;

/// An address, and whether somebody asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port 0: any that is free.
    pub address: SocketAddr,
    /// It is not the default, so that it is an error when it cannot be had.
    pub is_named: bool,
}

/// The files of a certificate, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The server's own, then those between it and its authority.
    pub chain: PathBuf,
    /// Its private key, readable by its owner alone.
    pub key: PathBuf,
}

impl Listen {
    /// Reads `off`, or an address with its port.
    pub(super) fn read(given: &Given) -> Result<Option<Self>, String> {
        let text = given.string()?;
        if text == "off" {
            return Ok(None);
        }
        match text.parse() {
            Ok(address) => Ok(Some(Self { address, is_named: !matches!(given.origin, Origin::Default) })),
            Err(_) => Err(given.must_be("off, or an address with its port, such as 127.0.0.1:7326 or [::1]:7326")),
        }
    }
}

/// Addresses that begin alike, as `10.0.0.0/8` or `fd00::/8` (RFC 4632, section 3.1; RFC 4291, section 2.3). Never all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    /// Bits that are alike: 1 to 32, or to 128.
    bits: u8,
}

impl Network {
    /// Reads an address and how many of its bits count; without that, all of them.
    ///
    /// Errors: what is wrong with it, and what would do.
    pub fn read(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let wrong = || format!("{} is no network such as 10.0.0.0/8, fd00::/8 or 10.0.0.7", shown(text));
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        if first.to_canonical() != first {
            return Err(format!("{} is IPv4 written as IPv6: write {}", shown(text), first.to_canonical()));
        }
        let most = if first.is_ipv4() { 32 } else { 128 };
        let is_plain = |bits: &&str| bits.bytes().all(|digit| digit.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) => Some(bits).filter(is_plain).and_then(|bits| bits.parse().ok()).ok_or_else(wrong)?,
        };
        let network = Self { first, bits };
        match bits {
            0 => Err(format!("{} is everybody: whoever may ask without TLS is named by http.insecure", shown(text))),
            _ if bits > most => Err(wrong()),
            _ if network.prefix(first) != Some(spread(first)) => {
                Err(format!("{} has bits behind its first {bits}: write the network's first address", shown(text)))
            }
            _ => Ok(network),
        }
    }

    /// Whether the address, IPv4 also where it is written as IPv6, is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix(address.to_canonical()).is_some_and(|prefix| prefix == spread(self.first))
    }

    /// The first bits of an address of the same family, the others 0.
    fn prefix(&self, address: IpAddr) -> Option<u128> {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
        (address.is_ipv4() == self.first.is_ipv4()).then(|| spread(address) & mask)
    }
}

/// An address's bits from the left.
fn spread(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        for (network, within, without) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("10.0.0.7", "10.0.0.7", "10.0.0.6"),
            ("192.0.2.128/25", "192.0.2.200", "192.0.2.127"),
            ("128.0.0.0/1", "255.0.0.1", "127.0.0.1"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::1", "::1", "::2"),
            ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
        ] {
            let read = Network::read(network).unwrap();
            assert!(read.contains(within.parse().unwrap()) && !read.contains(without.parse().unwrap()), "{network}");
        }
        assert_eq!(Network::read("10.0.0.7").unwrap().to_string(), "10.0.0.7/32");
    }

    #[test]
    fn what_is_no_network_is_refused_and_so_is_everybody() {
        for wrong in
            ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0/8", "fd00::/129", "proxy", "/8", "10.0.0.0/8/8"]
        {
            assert!(Network::read(wrong).unwrap_err().contains("is no network such as"), "{wrong}");
        }
        for all in ["0.0.0.0/0", "::/0"] {
            assert!(Network::read(all).unwrap_err().contains("is everybody"), "{all}");
        }
        assert!(Network::read("::ffff:10.0.0.7").unwrap_err().ends_with("write 10.0.0.7"));
        assert!(Network::read("10.0.0.1/8").unwrap_err().contains("has bits behind its first 8"));
    }
}
