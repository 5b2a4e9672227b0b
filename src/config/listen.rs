//! Where HTTP is spoken.

use std::net::SocketAddr;

use super::given::{Given, Origin};

/// An address, and whether somebody asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port 0: any that is free.
    pub address: SocketAddr,
    /// It is not the default, so that it is an error when it cannot be had.
    pub is_named: bool,
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
