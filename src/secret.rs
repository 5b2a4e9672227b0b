//! Secrets, wrapped on arrival: wiped when dropped, without `Debug`, `Display` or `Serialize`.
//!
//! What is ours is wiped: keys, GUIDs, passwords, URLs, and the buffers in which they are put together. What the drivers
//! of PostgreSQL and Redis copy for a login or a command is theirs and is not; nor is what the process was given in its
//! environment. So nobody but root may look into its memory, and no core dump is made of it.
//!
//! ```compile_fail
//! let secret = reconcile::secret::Secret::new("hush".to_owned());
//! println!("{secret:?}");
//! ```

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// A text that must never be shown. `expose` is the only way to read it, so that every reader can be found.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: String) -> Self {
        // Copied and wiped, rather than cut to its length: what is cut off, or moved away from, would stay as it is.
        let text = Zeroizing::new(text);
        Self(SecretString::from(text.as_str()))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Whether this process has the text anywhere in the memory that it writes. The text is given with each byte
    /// inverted, so that it is not found because it is looked for.
    fn is_in_memory(inverted: &[u8]) -> bool {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let regions = maps.lines().filter(|line| line.contains(" rw-p ")).map(|line| {
            let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap())
        });
        let mut page = vec![0; 1 << 16];
        let is_it = |window: &[u8]| window.iter().zip(inverted).all(|(byte, inverted)| *byte == !*inverted);
        regions.into_iter().any(|(from, to)| {
            (from..to).step_by(page.len() - inverted.len()).any(|at| {
                let wanted = page.len().min(usize::try_from(to - at).unwrap());
                let read = memory.read_at(&mut page[..wanted], at).unwrap_or(0);
                let found = page[..read].windows(inverted.len()).any(is_it);
                // What was found must not be found again because it was read.
                page.fill(0);
                found
            })
        })
    }

    #[test]
    fn nothing_of_a_secret_is_left_in_memory() {
        let inverted: Vec<u8> = std::iter::repeat_with(|| !fastrand::u8(b'a'..=b'z')).take(24).collect();
        // With room to spare, as where one is put together of several parts.
        let mut text = String::with_capacity(4096);
        inverted.iter().for_each(|byte| text.push(char::from(!byte)));
        let secret = Secret::new(text);
        let other = secret.clone();
        drop(secret);
        assert!(is_in_memory(&inverted), "one is still there");
        drop(other);
        assert!(!is_in_memory(&inverted));
    }
}
