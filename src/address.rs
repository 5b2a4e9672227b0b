//! Addresses of hosts in forms that programs read in different ways.
//!
//! The C library takes `010.0.0.1` for 8.0.0.1, `0x7f.1` for 127.0.0.1 and `2130706433` for the same
//! (`inet_aton(3)`); browsers do so too (WHATWG URL, "ends in a number"), other programs read decimal numbers, or look for
//! a host of that name.

use std::net::Ipv4Addr;

/// Errors: the host ends in a number, and is not an IPv4 address in its usual form (RFC 6943, section 3.1.1); as a
/// clause that follows the host, with how to write it.
pub fn is_usual(host: &str) -> Result<(), (String, String)> {
    if host.contains(':') {
        // An IPv6 address, which has one form for all.
        return Ok(());
    }
    let bare = host.strip_suffix('.').unwrap_or(host);
    let last = bare.rsplit('.').next().unwrap_or_default();
    if number(last).is_none() && !is_digits(last) || host.parse::<Ipv4Addr>().is_ok() {
        return Ok(());
    }
    let usual = "an address has four decimal numbers without leading zeros";
    match (by_libc(bare), in_decimal(bare)) {
        (Some(one), Some(other)) if one != other => Err((
            format!("is read as {one} by some programs and as {other} by others"),
            format!("write one of them: {usual}"),
        )),
        (Some(one), _) | (None, Some(one)) => Err((
            format!("is read as the address {one} by some programs, and as a name by others"),
            format!("write {one}, if that is meant"),
        )),
        (None, None) => Err(("is neither the name nor the address of a host".to_owned(), usual.to_owned())),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number as the C library reads it: decimal, octal after `0`, hexadecimal after `0x`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // A sign would be taken too.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(digits).filter(|_| is_plain).and_then(|digits| u32::from_str_radix(digits, radix).ok())
}

/// One to four numbers, of which the last fills what is left.
fn by_libc(host: &str) -> Option<Ipv4Addr> {
    let parts = host.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, first) = parts.split_last()?;
    let mut address = 0_u64;
    for part in first {
        address = (address << 8) | u64::from(u8::try_from(*part).ok()?);
    }
    let bits = 32_u32.checked_sub(8 * u32::try_from(first.len()).ok()?)?;
    let fits = u64::from(*last) >> bits == 0 && bits > 0;
    let whole = (address << bits) | u64::from(*last);
    fits.then(|| u32::try_from(whole).ok().map(Ipv4Addr::from)).flatten()
}

/// Four decimal numbers, whatever zeros they begin with.
fn in_decimal(host: &str) -> Option<Ipv4Addr> {
    let read = |part: &str| part.parse().ok().filter(|_| is_digits(part));
    let parts = host.split('.').map(read).collect::<Option<Vec<u8>>>()?;
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(parts).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_in_their_usual_form_are_read_alike_by_all() {
        for host in
            ["10.0.0.11", "0.0.0.0", "255.255.255.255", "db", "db-1", "db1.example.org", "1.db", "db.example.org."]
        {
            assert_eq!(is_usual(host), Ok(()), "{host}");
        }
        for host in ["", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "0x7f.example", "1e3.org", "face", "/run/postgresql"]
        {
            assert_eq!(is_usual(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn both_readings_of_another_form_are_told() {
        let what = |host: &str| is_usual(host).unwrap_err().0;
        assert_eq!(what("010.0.0.1"), "is read as 8.0.0.1 by some programs and as 10.0.0.1 by others");
        assert_eq!(what("10.0.0.011"), "is read as 10.0.0.9 by some programs and as 10.0.0.11 by others");
        for (host, address) in [
            ("0177.0.0.1", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("10.0.0.1.", "10.0.0.1"),
            ("10.0.0.08", "10.0.0.8"),
            ("0", "0.0.0.0"),
            ("1.2.772", "1.2.3.4"),
        ] {
            assert!(what(host).contains(address), "{host}: {}", what(host));
        }
        for host in ["10.0.0.256", "1.2.3.4.5", "10.0.0.99999999999", "256.1", "a.1", "db.0x10", "1.2.3.", "08"] {
            assert!(is_usual(host).is_err(), "{host}");
        }
    }
}
