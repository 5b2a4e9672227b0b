//! Redis URLs that mean harm: what is taken leads where Redis' own library would go.

use std::net::IpAddr;

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::super::target::Place;
use super::*;
use crate::testing::{Answer, Hunt, is_printable, keeps_the_password};

const URLS: &[&str] = &[
    "redis://:hunter2canary@localhost:6379/0",
    "rediss://noor:hunter2canary@redis.example.org/2?ca=/etc/ca.pem",
    "redis://[::1]:6380/15",
    "redis://10.0.0.1",
    "redis+unix:///run/redis.sock?db=3&user=noor&password=hunter2canary",
    "unix:///run/redis.sock",
    "REDISS://:hunter2%63anary@127.0.0.1:06379",
    "redis://noor:hunter2canary:x@localhost/0",
    "redis://:hunter2canary/x@localhost/0",
    "unix://%2Frun/redis.sock",
    "unix:///..",
];

#[rustfmt::skip] // So many on a line as there is room for.
const PIECES: &[&str] = &[
    "/", "//", ":", "@", "?", "#", "&", "=", "%", "%2F", "%40", "%3A", "%00", "%0a", "%25", "%C0%AF", "%D0%95", ",", " ",
    "\t", "\n", "\0", "\\", "[", "]", ".", "..", "redis://", "rediss://", "redis+unix://", "unix://", "valkey://",
    "localhost", "127.0.0.1", "evil.example.org", "[::1]", "::1", "0x7f.1", "2130706433", "6379", "65535", "65536", "0",
    "4294967295", "4294967296", "-1", "+1", "00", "٣", "db=1", "user=x", "password=hunter2canary", ":hunter2canary@",
    "hunter2canary", "ca=/x", "ca=x", "protocol=resp3", "#insecure", "\u{202e}", "é", "\u{1b}[2J", "@@", "1.2.3.4.5",
];

pub fn hunt() -> Hunt {
    let corpus = URLS.iter().map(|url| url.as_bytes().to_vec()).collect();
    Hunt { name: "Redis URLs", corpus, fragments: PIECES, draw: |_| None, usual: 5_000, judge: Box::new(judge) }
}

fn judge(bytes: &[u8]) -> Result<Answer, String> {
    let url = String::from_utf8_lossy(bytes);
    let mut answer = Answer::Refused;
    for transport in [Transport::Verified, Transport::Unverified] {
        match target(&url, transport) {
            Ok(target) => {
                if matches!(target.place, Place::Tcp { .. }) {
                    keeps_the_password(&url, &target.shown())?;
                }
                is_printable(&target.shown())?;
                leads_there(&url, &target)?;
                answer = Answer::Taken;
            }
            Err(error) => {
                let hint = error.hint().ok_or("an error without a way out")?;
                keeps_the_password(&url, &format!("{error}\n{error:?}\n{hint}"))?;
                is_printable(&format!("{error}\n{hint}"))?;
            }
        }
    }
    Ok(answer)
}

/// Whether Redis' library reads the same server and database.
fn leads_there(url: &str, target: &RedisTarget) -> Result<(), String> {
    // It knows no `?ca=`, and writes the scheme in lower case.
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let info = format!("{}://{rest}", scheme.to_ascii_lowercase()).into_connection_info();
    let info = match info {
        Ok(info) => info,
        // The one thing that only the library refuses: an address that stands for every one of this machine's.
        Err(error) if error.to_string().contains("wildcard") => return Ok(()),
        Err(error) => return Err(format!("the library cannot read it: {error}")),
    };
    let same_host = |one: &str, other: &str| match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    };
    let same = match (&target.place, info.addr()) {
        (Place::Tcp { host, port, tls: None }, ConnectionAddr::Tcp(other, other_port)) => {
            same_host(host, other) && port == other_port
        }
        (Place::Tcp { host, port, tls: Some(_) }, ConnectionAddr::TcpTls { host: other, port: other_port, .. }) => {
            same_host(host, other) && port == other_port
        }
        (Place::Unix(path), ConnectionAddr::Unix(other)) => path == other,
        _ => false,
    };
    let same = same && i64::from(target.database) == info.redis_settings().db();
    if same { Ok(()) } else { Err(format!("the library goes elsewhere: {:?}", info.addr())) }
}
