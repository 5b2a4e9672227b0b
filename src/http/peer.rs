//! Who is on the other side of a connection, or of a request: whom limits count together.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::problem::Problem;
use crate::config::Network;
use crate::loopback::is_loopback;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Somebody, as far as limits can tell: an IPv4 address, or the 64 bits of an IPv6 address that name a network. Whoever
/// has an IPv6 address at all has 2^64 of them (RFC 6177), and is one all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(IpAddr);

impl Peer {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address => address,
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every connection says who is on its other side.
        let unknown = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request came from nowhere");
        parts.extensions.get().copied().ok_or_else(unknown)
    }
}

/// How a connection came here.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Its other side.
    pub address: IpAddr,
    /// Only users of this machine reach the listener, and this is one of them: a proxy that is trusted speaks for others.
    pub is_local: bool,
    /// What is said on it is overheard by nobody; or somebody has said that it may be.
    pub is_private: bool,
}

/// What a listener makes of those who connect to it.
#[derive(Clone, Debug)]
pub struct Policy {
    pub is_local: bool,
    /// TLS is spoken here, or may be done without.
    pub is_private: bool,
    /// Who adds TLS, and says for whom.
    pub proxies: Vec<Network>,
}

impl Policy {
    pub fn way(&self, address: IpAddr) -> Way {
        let is_private = self.is_private || is_loopback(address) || self.trusts(address);
        Way { address, is_local: self.is_local && !self.trusts(address), is_private }
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// Who sends the request: the other side; or where that is a proxy that is trusted, whoever it, and the proxies
    /// before it that are trusted too, name last in `X-Forwarded-For`. What stands before that, anybody can have written.
    pub fn sender(&self, address: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(address) {
            return address;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or("unreadable").rsplit(','));
        let mut sender = address;
        for hop in hops {
            // What is no address was not written by a proxy that we understand, and neither was what stands before it.
            let Some(hop) = hop_address(hop.trim()) else { break };
            sender = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        sender
    }
}

/// An address as proxies write it: bare, or with a port; IPv6 in brackets or without.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_has_many_addresses_is_one_peer() {
        let of = |text| Peer::of(address(text));
        assert_eq!(of("2001:db8::1"), of("2001:db8:0:0:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_ne!(of("::ffff:10.0.0.1"), of("::1"));
    }

    #[test]
    fn only_proxies_that_are_trusted_say_who_sends() {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|text| Network::read(text).unwrap()).to_vec();
        let policy = Policy { is_local: false, is_private: false, proxies };
        let sender = |from: &str, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            policy.sender(address(from), &headers).to_string()
        };
        assert_eq!(sender("192.0.2.1", &["203.0.113.9"]), "192.0.2.1", "anybody can write it");
        assert_eq!(sender("10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(sender("10.1.1.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(sender("::ffff:10.1.1.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(sender("10.1.1.1", &["198.51.100.7, 203.0.113.9"]), "203.0.113.9", "the first is a claim");
        assert_eq!(sender("10.1.1.1", &["198.51.100.7", "203.0.113.9, 10.2.2.2"]), "203.0.113.9");
        assert_eq!(sender("10.1.1.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(sender("fd00::1", &["[2001:db8::7]:443,fd00::2"]), "2001:db8::7");
        assert_eq!(sender("10.1.1.1", &["10.3.3.3, 10.2.2.2"]), "10.3.3.3", "from within");
        for nonsense in ["unknown", "", "203.0.113.9, unknown", "203.0.113.9, _hidden", "\u{e4}"] {
            let mut headers = HeaderMap::new();
            headers.append(FORWARDED_FOR, axum::http::HeaderValue::from_bytes(nonsense.as_bytes()).unwrap());
            assert_eq!(policy.sender(address("10.1.1.1"), &headers), address("10.1.1.1"), "{nonsense}");
        }
    }

    #[test]
    fn clear_text_is_private_where_it_does_not_leave_or_a_proxy_adds_tls() {
        let policy = Policy { is_local: false, is_private: false, proxies: vec![Network::read("10.0.0.7").unwrap()] };
        for private in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.7", "::ffff:10.0.0.7"] {
            assert!(policy.way(address(private)).is_private, "{private}");
        }
        for open in ["10.0.0.8", "0.0.0.0", "192.0.2.1", "2001:db8::1"] {
            assert!(!policy.way(address(open)).is_private, "{open}");
        }
        assert!(Policy { is_private: true, ..policy }.way(address("192.0.2.1")).is_private);
    }

    #[test]
    fn a_proxy_on_this_machine_is_no_neighbour() {
        let proxies = vec![Network::read("127.0.0.2").unwrap()];
        let policy = Policy { is_local: true, is_private: false, proxies };
        assert!(policy.way(address("127.0.0.1")).is_local && policy.way(address("::1")).is_local);
        assert!(!policy.way(address("127.0.0.2")).is_local && !policy.way(address("::ffff:127.0.0.2")).is_local);
    }
}
