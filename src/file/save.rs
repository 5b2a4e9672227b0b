//! Saving where somebody asks for it: what may be lost is judged first, and a device stays a device.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Fault, Rules, exists, open, real, replace, target};

/// As many links as Linux follows (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// As much of a file as shows what it is.
const HEAD: usize = 4096;
/// A reader of a pipe that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("it holds something else")]
    Another,
    #[error("that name is kept for a file of reconcile's own")]
    Reserved,
    #[error("it is neither a file, nor a character device, nor a pipe")]
    Unfit,
    #[error("nobody reads from the pipe")]
    NoReader,
    #[error("its reader took nothing for {} s", PATIENCE.as_secs())]
    Stalled,
    #[error("its links lead in a circle, or too far")]
    Links,
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SaveError {
    /// How to mend it, where something can be said.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SaveError::Another | SaveError::Reserved | SaveError::Unfit | SaveError::Links => {
                Some("name a new file, or one that this command wrote before")
            }
            SaveError::NoReader | SaveError::Stalled => Some("start its reader first, or name a file"),
            SaveError::Fault(_) | SaveError::Io(_) => None,
        }
    }
}

/// What is there before anything is saved.
enum Found {
    /// A regular file, where it really is.
    File(PathBuf),
    /// Nothing; where the new file is to be.
    Nothing(PathBuf),
    /// A character device, or a pipe with a reader.
    Stream(File),
}

/// Saves `bytes` at `path`: makes a new file, mode 0600, or replaces an empty one or one whose beginning `is_ours` knows,
/// whole or not at all. Links are followed. A character device, and a pipe that somebody reads from, is written to, and
/// stays what it is. No real path that `is_reserved` knows is touched.
///
/// Errors: anything else is there; or it cannot be written.
pub fn save(
    path: &Path,
    bytes: &[u8],
    is_ours: impl Fn(&[u8]) -> bool,
    is_reserved: impl Fn(&Path) -> bool,
) -> Result<(), SaveError> {
    match find(path)? {
        Found::Stream(mut stream) => feed(&mut stream, bytes),
        Found::Nothing(place) | Found::File(place) if is_reserved(&place) => Err(SaveError::Reserved),
        Found::Nothing(place) => Ok(replace(&place, bytes)?),
        Found::File(place) => {
            let mut head = [0; HEAD];
            let head = open(&place, &Rules::anybodys(HEAD as u64))?.head(&mut head)?;
            match head.is_empty() || is_ours(head) {
                true => Ok(replace(&place, bytes)?),
                false => Err(SaveError::Another),
            }
        }
    }
}

fn find(path: &Path) -> Result<Found, SaveError> {
    let sort = match path.metadata() {
        Ok(facts) => facts.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing(future(path)?)),
        Err(error) => return Err(error.into()),
    };
    if sort.is_file() {
        return Ok(Found::File(real(path)?));
    }
    if !sort.is_char_device() && !sort.is_fifo() {
        return Err(SaveError::Unfit);
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let stream = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path);
    let stream = stream.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NXIO) if sort.is_fifo() => SaveError::NoReader,
        _ => error.into(),
    })?;
    // What was opened counts, and not what was there a moment ago.
    let sort = stream.metadata()?.file_type();
    if sort.is_char_device() || sort.is_fifo() { Ok(Found::Stream(stream)) } else { Err(SaveError::Unfit) }
}

/// Where a file of that name will be: links that lead to nothing yet are followed.
fn future(path: &Path) -> Result<PathBuf, SaveError> {
    let mut here = path.to_owned();
    for _ in 0..MOST_LINKS {
        let directory = here.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = here.file_name().ok_or(SaveError::Unfit)?;
        let place = real(directory)?.join(name);
        if !exists(&place) {
            return Ok(place);
        }
        here = place.parent().unwrap_or(Path::new("/")).join(target(&place)?);
    }
    Err(SaveError::Links)
}

/// Writes all of it, as fast as it is taken.
fn feed(stream: &mut File, mut bytes: &[u8]) -> Result<(), SaveError> {
    let mut taken = Instant::now();
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(SaveError::Stalled),
            Ok(count) => {
                bytes = &bytes[count..];
                taken = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(SaveError::Stalled),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(SaveError::NoReader),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
