//! Secrets, wrapped on arrival: wiped when dropped, without `Debug`, `Display` or `Serialize`.
//!
//! ```compile_fail
//! let secret = reconcile::secret::Secret::new("hush".to_owned());
//! println!("{secret:?}");
//! ```

use secrecy::{ExposeSecret, SecretString};

/// A text that must never be shown. `expose` is the only way to read it, so that every reader can be found.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}
