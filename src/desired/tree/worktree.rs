//! Reads the state files as they lie, while others may be writing them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use super::walk::{self, Found, Stamp, reason};
use super::{FileProblem, Filed, Limits, Make, SourceFile, TreeError, Version, by_path, too_large};
use crate::desired::git::object::{Content, Format};
use crate::desired::revision::Lying;
use crate::file::{self, Fault, Rules};
use crate::parallel::side_by_side;

/// How often the directory is read again because something in it moved, before that is reported.
const ATTEMPTS: u32 = 6;

/// The coarsest clock of a file system in use.
const TICK: Duration = Duration::from_secs(2);

/// Between two attempts, doubled each time: 62 ms in all.
const PAUSE: Duration = Duration::from_millis(2);

/// All files of one moment.
pub struct Picture<T> {
    pub files: Vec<Filed<T>>,
    pub problems: Vec<FileProblem>,
    pub warnings: Vec<FileProblem>,
    pub reused: usize,
    /// What a commit is compared with.
    pub lying: Lying,
}

/// Reads all files below `dir` that are not `known`; again, when one changes or disappears meanwhile. `format` is how the
/// repository around it names contents, if there is one.
pub fn read<T: Send + Sync>(
    dir: &Path,
    limits: &Limits,
    format: Option<Format>,
    known: &[Filed<T>],
    make: &impl Make<T>,
) -> Result<Picture<T>, TreeError> {
    let mut attempt = 1;
    loop {
        let (mut picture, moved) = once(dir, limits, format, known, make)?;
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
fn once<T: Send + Sync>(
    dir: &Path,
    limits: &Limits,
    format: Option<Format>,
    known: &[Filed<T>],
    make: &impl Make<T>,
) -> Result<(Picture<T>, Vec<FileProblem>), TreeError> {
    let listing = walk::list(dir, limits)?;
    // What is too large by itself is a problem of its own.
    let sizes = listing.files.iter().map(|found| found.stamp.size()).filter(|size| *size <= limits.file as u64);
    if sizes.fold(0, u64::saturating_add) > limits.total as u64 {
        let (dir, limit) = (dir.to_path_buf(), limits.total);
        return Err(TreeError::TooMuch { dir, what: "bytes in state files", limit });
    }
    let known = by_path(known);
    let files = side_by_side(listing.files.iter().collect(), |found: &Found| match known.get(&*found.shown) {
        Some(filed) if is_same(&found.stamp, format, &filed.version) => (found, Ok(((*filed).clone(), true))),
        _ => (found, whole(found, limits, format).map(|(bytes, version)| (filed(found, bytes, version, make), false))),
    });
    let lying = Lying { root: listing.root.clone(), files: Vec::new(), links: listing.links };
    let (problems, warnings) = (listing.problems, listing.warnings);
    let mut picture = Picture { files: Vec::with_capacity(files.len()), problems, warnings, reused: 0, lying };
    let mut moved = Vec::new();
    for (found, outcome) in files {
        match outcome {
            Ok((filed, is_reused)) => {
                picture.reused += usize::from(is_reused);
                if let Version::Lying { content: Some(content), .. } = &filed.version {
                    picture.lying.files.push((found.real.clone(), *content));
                }
                picture.files.push(filed);
            }
            Err(Trouble::Moved) => moved.push(restless(found.shown.clone())),
            Err(Trouble::Lasting(problem)) => picture.problems.push(problem),
        }
    }
    // The directory may be a link that was turned to another version while the files of the old one were read.
    let turned = file::real(dir).map_or(true, |root| root != listing.root);
    if listing.moved || turned {
        moved.push(restless(walk::text(dir)));
    }
    picture.problems.sort_unstable();
    Ok((picture, moved))
}

fn filed<T>(found: &Found, bytes: Vec<u8>, version: Version, make: &impl Make<T>) -> Filed<T> {
    let path = Arc::clone(&found.shown);
    Filed { path: Arc::clone(&path), version, made: Arc::new(make(SourceFile { path, bytes })) }
}

/// Whether a file is as it was when it was read. One that had been changed a moment before might have been changed
/// again within the same tick of the file system's clock, and is not trusted.
fn is_same(stamp: &Stamp, format: Option<Format>, version: &Version) -> bool {
    let Version::Lying { stamp: known, read_at, content } = version else { return false };
    let is_named = content.map(|content| content.format) == format;
    is_named && stamp == known && stamp.changed_before(*read_at, TICK)
}

enum Trouble {
    /// It changed while it was read.
    Moved,
    Lasting(FileProblem),
}

/// Reads one file whole, as it was found: neither a link nor a pipe is followed or waited for, should it have taken the
/// file's place since.
fn whole(found: &Found, limits: &Limits, format: Option<Format>) -> Result<(Vec<u8>, Version), Trouble> {
    let read_at = SystemTime::now();
    let unreadable = |error: io::Error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Trouble::Moved,
        _ => Trouble::Lasting(FileProblem {
            path: found.shown.clone(),
            message: format!("the file cannot be read: {}", reason(&error)),
            hint: "give the user of this process the right to read it".to_owned(),
        }),
    };
    let unfit = |fault: Fault| match fault {
        Fault::Io(error) => unreadable(error),
        Fault::TooLarge { size, limit: _ } => Trouble::Lasting(too_large(found.shown.clone(), size, limits.file)),
        _ => Trouble::Moved,
    };
    let mut opened = file::open(&found.real, &Rules::state(limits.file as u64)).map_err(unfit)?;
    let before = Stamp::of(opened.facts());
    if !before.same_file(&found.stamp) {
        return Err(Trouble::Moved);
    }
    let bytes = opened.read();
    let after = Stamp::of(&opened.facts_now().map_err(unreadable)?);
    if after != before {
        return Err(Trouble::Moved);
    }
    let bytes = bytes.map_err(unfit)?;
    let content = format.map(|format| Content::of(format, &bytes));
    Ok((bytes, Version::Lying { stamp: after, read_at, content }))
}

fn restless(path: Arc<str>) -> FileProblem {
    FileProblem {
        path,
        message: "keeps changing while it is read".to_owned(),
        hint: "it is read again as soon as it holds still; write to another name and rename it into place".to_owned(),
    }
}
