//! Where HTTP is spoken, and with which certificate.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::given::{Given, Origin};

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
