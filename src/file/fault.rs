//! What is wrong with a file, and the way out.

use std::io;
use std::path::Path;

/// Why a file is not used. Whoever reports it names the path.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is not a directory")]
    NotADirectory,
    #[error("it is a symbolic link")]
    Link,
    #[error("it belongs to another user (uid {owner})")]
    Owner { owner: u32 },
    #[error("it has {count} names (hard links), and may be another file's")]
    Names { count: u64 },
    #[error("others than its owner can read or change it (mode {mode:03o})")]
    Exposed { mode: u32 },
    #[error("others than its owner can change it (mode {mode:03o})")]
    Writable { mode: u32 },
    /// In bytes.
    #[error("it is larger than {limit} bytes")]
    TooLarge { size: u64, limit: u64 },
    #[error("it is not UTF-8 text")]
    NotText,
}

impl Fault {
    /// There is no such file.
    pub fn missing() -> Self {
        Self::Io(rustix::io::Errno::NOENT.into())
    }

    /// How to mend it.
    pub fn hint(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Fault::Io(_) => format!("check that {path} exists and that this user may read it"),
            Fault::NotAFile => format!("name a regular file instead of {path}"),
            Fault::NotADirectory => format!("name a directory instead of {path}"),
            Fault::Link => format!("remove the link {path}, or put the file itself in its place"),
            Fault::Owner { owner } => {
                format!("find out who put it there; if it is to be used: run as uid {owner}, or chown it to this user")
            }
            Fault::Names { .. } => format!("find out who made the other name; then copy {path} and use the copy"),
            Fault::Exposed { .. } => format!(
                "run: chmod 600 {path}  (and put a new secret in it, if others may have read it); \
                 in Kubernetes: fsGroup with defaultMode: 0440"
            ),
            Fault::Writable { .. } => format!("check what is in it, then run: chmod go-w {path}"),
            Fault::TooLarge { .. } => format!("check that {path} is the file that was meant"),
            Fault::NotText => format!("write {path} anew, as UTF-8 text"),
        }
    }

    /// Whether it is the one fault that there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Fault::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// What it says; or what the system says, behind a text that something cannot be read or used.
    pub fn told(&self) -> String {
        match self {
            Fault::Io(error) => error.to_string(),
            _ => self.to_string(),
        }
    }
}
