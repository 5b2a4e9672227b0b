//! Reads every file of the desired state, and hands each checked item to the register of kinds.

use std::sync::Arc;

use super::tree::SourceFile;
use crate::yaml::{Item, Problem, Problems, Register, Section, Sheet, read};

/// Reads `files`, in the order of their paths, into `register`; a file over `limit` bytes is not read.
///
/// Guarantees: all problems of all files, in the order of files and lines. Where there is an error, the register holds
/// only a part of what the files say, and must not be applied.
pub fn load(mut files: Vec<SourceFile>, limit: usize, register: &mut impl Register) -> Problems {
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let sections = register.sections();
    let mut problems = Problems::default();
    for SourceFile { path, bytes } in files {
        let mut page = Page { register, file: Arc::clone(&path) };
        problems.append(read(path, &bytes, limit, sections, &mut page));
    }
    problems.sort();
    problems
}

/// One file's part of the register.
struct Page<'r, R> {
    register: &'r mut R,
    file: Arc<str>,
}

impl<R: Register> Sheet for Page<'_, R> {
    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem> {
        self.register.insert(section, item)
    }

    fn clear(&mut self) {
        self.register.forget(&self.file);
    }
}

#[cfg(test)]
mod tests;
