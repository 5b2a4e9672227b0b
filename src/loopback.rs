//! Loopback: the one test for whether an address, or the name of a host, leads to this machine and nowhere else.

use std::net::{IpAddr, Ipv6Addr};

/// 127.0.0.0/8 and ::1, and both where an IPv4 address is written as IPv6 (`::ffff:127.0.0.1`; RFC 4291, section
/// 2.5.5.2). The unspecified address stands for every interface, so it is none.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// `localhost` in any case, or an address of loopback, IPv6 in brackets or without. Any other name may lead anywhere.
pub fn names_loopback(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    };
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_however_it_is_written() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.255.255.254", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert!(names_loopback(host), "{host}");
        }
        assert!(names_loopback("[::ffff:127.1.2.3]"));
    }

    #[test]
    fn what_may_lead_elsewhere_is_none() {
        for host in [
            "",
            "0.0.0.0",
            "::",
            "[::]",
            "::ffff:0.0.0.0",
            "10.0.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "::2",
            "::127.0.0.1",
            "[127.0.0.1]",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "127.1",
            "0177.0.0.1",
            "localhost.",
            " localhost",
            "/var/run/postgresql",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }
}
