//! Files for one pair of eyes: made 0600 in a 0700 directory, there whole or not at all, refused when others can
//! read them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a private file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("others than its owner can read or change it (mode {mode:03o})")]
    Exposed { mode: u32 },
    #[error("it is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("it is not UTF-8 text")]
    NotText,
}

impl ReadError {
    /// How to mend it.
    pub fn hint(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            ReadError::Io(_) => format!("check that {path} exists and that this user may read it"),
            ReadError::NotAFile => format!("name a regular file instead of {path}"),
            ReadError::Exposed { .. } => {
                format!("run: chmod 600 {path}  (and put a new secret in it, if others may have read it)")
            }
            ReadError::TooLarge { .. } => format!("check that {path} is the file that was meant"),
            ReadError::NotText => format!("write {path} anew, as UTF-8 text"),
        }
    }
}

/// Makes `path` and its missing parents, mode 0700. Directories that are already there stay as they are.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the data directory, if it is not there. It often lies in the repository of the desired state, so it tells Git
/// to leave it alone: a `git add .` must not take a key along.
pub fn data_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    directory(path)?;
    let ignored = path.join(".gitignore");
    fs::write(&ignored, "*\n").inspect_err(|_| {
        // On a full disk; it would be taken for finished the next time, and a key put into it unprotected.
        let _ = fs::remove_file(&ignored);
        let _ = fs::remove_dir(path);
    })
}

/// The bytes of a file that only its owner may read, at most `limit` of them; `None` if there is no such file.
///
/// The open file is judged, not its name, so that nothing can be put in its place in between. A pipe is refused
/// rather than waited for.
pub fn read(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, ReadError> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(ReadError::NotAFile);
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ReadError::Exposed { mode });
    }
    // Sized before it is filled: a buffer that grows leaves copies of a secret behind.
    let room = usize::try_from(about.len().min(limit)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { limit });
    }
    Ok(Some(bytes))
}

/// As [`read`], for UTF-8 text.
pub fn read_text(path: &Path, limit: u64) -> Result<Option<Zeroizing<String>>, ReadError> {
    let Some(bytes) = read(path, limit)? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| ReadError::NotText)?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// Opens without waiting, whatever stands there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(no_wait).open(path)
}

/// Writes `bytes` to a new file in `directory` under a name that nobody looks for, mode 0600, and waits until they
/// are on the disk. The caller gives it its name by [`fs::rename`] or [`settle`].
pub(super) fn write_aside(directory: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = directory.join(format!("{}.tmp", unique()?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    match written {
        Ok(()) => Ok(path),
        Err(error) => {
            // The first failure is the one to report.
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Puts a file with these bytes at `path`, mode 0600, whole or not at all; one that is there gives way.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = write_aside(directory, bytes)?;
    fs::rename(&aside, path).inspect_err(|_| {
        // The first failure is the one to report.
        let _ = fs::remove_file(&aside);
    })?;
    sync(directory)
}

/// Gives the file `from` the name `to`, unless that name is taken: then `from` is removed, and the answer is `false`.
/// Of any number who try at once, exactly one gets `true`. After an error `from` is still there.
pub(super) fn settle(from: &Path, to: &Path) -> io::Result<bool> {
    let settled = match fs::hard_link(from, to) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    fs::remove_file(from)?;
    Ok(settled)
}

/// Waits until the names in `directory` are on the disk.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// A name that nobody else has: 16 hexadecimal digits.
pub(super) fn unique() -> io::Result<String> {
    Ok(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_read_is_refused_with_the_way_out() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        fs::write(&path, "secret").unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path, 100).unwrap_err();
            assert!(matches!(refused, ReadError::Exposed { mode: seen } if seen == mode));
            assert!(refused.hint(&path).contains(&format!("chmod 600 {}", path.display())));
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path, 6).unwrap().unwrap().as_slice(), b"secret");
        }
        assert!(matches!(read(&path, 5), Err(ReadError::TooLarge { limit: 5 })));
    }

    #[test]
    fn a_pipe_or_a_directory_is_refused_without_waiting() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(read(&pipe, 5), Err(ReadError::NotAFile)));
        assert!(matches!(read(home.path(), 5), Err(ReadError::NotAFile)));
        assert!(read(&home.path().join("nothing"), 5).unwrap().is_none());
    }

    #[test]
    fn a_taken_name_stays_with_its_first_owner() {
        let home = tempfile::tempdir().unwrap();
        let name = home.path().join("name");
        let (first, second) = (write_aside(home.path(), b"1").unwrap(), write_aside(home.path(), b"2").unwrap());
        assert!(settle(&first, &name).unwrap());
        assert!(!settle(&second, &name).unwrap());
        assert_eq!(fs::read(&name).unwrap(), b"1");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left aside");
    }
}
