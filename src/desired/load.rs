//! Reads every file of the desired state, and hands each checked item to the register of kinds.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::tree::SourceFile;
use crate::yaml::{Problems, Read, Register, read};

/// Files that are read and wait for their turn, over and above one for each thread.
const WAITING: usize = 4;
/// More threads than this wait for the one that fills the register.
const THREADS: usize = 4;

/// Reads `files`, in the order of their paths, into `register`; a file over `limit` bytes is not read.
///
/// Guarantees: all problems of all files, in the order of files and lines; the same whatever the number of threads.
/// Where there is an error, the register holds only a part of what the files say, and must not be applied.
pub fn load(mut files: Vec<SourceFile>, limit: usize, register: &mut impl Register) -> Problems {
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let sections = register.sections();
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS).min(files.len());
    let queue = Mutex::new(files.into_iter().enumerate());
    let mut problems = Problems::default();
    thread::scope(|scope| {
        let (done, ready) = sync_channel(WAITING);
        for _ in 0..threads {
            let (done, queue) = (done.clone(), &queue);
            scope.spawn(move || {
                while let Some((number, SourceFile { path, bytes })) = next(queue) {
                    if done.send((number, read(path, bytes, limit, sections))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for (number, read) in ready {
            early.insert(number, read);
            while let Some(read) = early.remove(&turn) {
                take(read, register, &mut problems);
                turn += 1;
            }
        }
    });
    problems.sort();
    problems
}

/// The next of the queue. A thread that died holding the lock has taken at most its own file along.
fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn take(read: Read, register: &mut impl Register, problems: &mut Problems) {
    let Read { items, problems: found } = read;
    problems.append(found);
    for (section, item) in items {
        register.insert(section, item).into_iter().for_each(|problem| problems.push(problem));
    }
}

#[cfg(test)]
mod tests;
