//! Reads the state files as they lie, while others may be writing them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use super::walk::{self, Found, Stamp, reason};
use super::{FileProblem, Limits, SourceFile, TreeError, too_large};

/// How often the directory is read again because something in it moved, before that is reported.
const ATTEMPTS: u32 = 6;

/// Between two attempts, doubled each time: 62 ms in all.
const PAUSE: Duration = Duration::from_millis(2);

/// All files of one moment.
pub struct Picture {
    pub files: Vec<SourceFile>,
    pub problems: Vec<FileProblem>,
}

/// Reads all files below `dir`; again, when one changes or disappears meanwhile.
pub fn read(dir: &Path, limits: &Limits) -> Result<Picture, TreeError> {
    let mut attempt = 1;
    loop {
        let (mut picture, moved) = once(dir, limits)?;
        if moved.is_empty() {
            return Ok(picture);
        }
        if attempt == ATTEMPTS {
            picture.problems.extend(moved);
            picture.problems.sort_unstable();
            return Ok(picture);
        }
        thread::sleep(PAUSE * 2u32.pow(attempt - 1));
        attempt += 1;
    }
}

/// One attempt: what could be read, and what would not hold still.
fn once(dir: &Path, limits: &Limits) -> Result<(Picture, Vec<FileProblem>), TreeError> {
    let listing = walk::list(dir, limits)?;
    let mut picture = Picture { files: Vec::with_capacity(listing.files.len()), problems: listing.problems };
    let mut moved = Vec::new();
    let mut total = 0;
    for found in &listing.files {
        match file(found, limits) {
            Ok(bytes) => {
                total += bytes.len();
                picture.files.push(SourceFile { path: found.shown.clone(), bytes });
            }
            Err(Trouble::Moved) => moved.push(restless(found.shown.clone())),
            Err(Trouble::Lasting(problem)) => picture.problems.push(problem),
        }
        if total > limits.total {
            let (dir, limit) = (dir.to_path_buf(), limits.total);
            return Err(TreeError::TooMuch { dir, what: "bytes in state files", limit });
        }
    }
    // The directory may be a link that was turned to another version while the files of the old one were read.
    let turned = std::fs::canonicalize(dir).map_or(true, |root| root != listing.root);
    if listing.moved || turned {
        moved.push(restless(walk::text(dir)));
    }
    picture.problems.sort_unstable();
    Ok((picture, moved))
}

enum Trouble {
    /// It changed while it was read.
    Moved,
    Lasting(FileProblem),
}

/// Reads one file whole, as it was found.
fn file(found: &Found, limits: &Limits) -> Result<Vec<u8>, Trouble> {
    let failed = |error: io::Error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => Trouble::Moved,
        _ => Trouble::Lasting(FileProblem {
            path: found.shown.clone(),
            message: format!("the file cannot be read: {}", reason(&error)),
            hint: "give the user of this process the right to read it".to_owned(),
        }),
    };
    let mut file = open(&found.real).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    let before = Stamp::of(&meta);
    if !meta.is_file() || !before.same_file(&found.stamp) {
        return Err(Trouble::Moved);
    }
    if meta.len() > limits.file as u64 {
        return Err(Trouble::Lasting(too_large(found.shown.clone(), meta.len(), limits.file)));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize + 1);
    (&mut file).take(limits.file as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let after = Stamp::of(&file.metadata().map_err(failed)?);
    if after != before {
        return Err(Trouble::Moved);
    }
    if bytes.len() > limits.file {
        return Err(Trouble::Lasting(too_large(found.shown.clone(), bytes.len() as u64, limits.file)));
    }
    Ok(bytes)
}

/// Opens without following a link, and without waiting for the other end of a pipe, should either have taken the
/// file's place since it was found.
fn open(real: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(real)
}

fn restless(path: std::sync::Arc<str>) -> FileProblem {
    FileProblem {
        path,
        message: "keeps changing while it is read".to_owned(),
        hint: "it is read again as soon as it holds still; write to another name and rename it into place".to_owned(),
    }
}
