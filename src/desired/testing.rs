//! Directories and repositories for the tests of reading and watching: real files, and the real `git`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A temporary directory with no links in its path.
pub struct Place {
    _dir: TempDir,
    pub root: PathBuf,
}

impl Place {
    pub fn temporary() -> Self {
        let dir = TempDir::new().unwrap();
        let root = dir.path().canonicalize().unwrap();
        Self { _dir: dir, root }
    }

    /// With an empty repository in it.
    pub fn repository() -> Self {
        let place = Self::temporary();
        place.git("init -q -b main");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file, and makes the directories that it needs.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn link(&self, name: &str, target: impl AsRef<Path>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, &path).unwrap();
        path
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Runs `git` here, its arguments divided at blanks, untouched by any configuration of this machine.
    pub fn git(&self, args: &str) -> String {
        self.git_as("Noor Team", args)
    }

    pub fn git_as(&self, author: &str, args: &str) -> String {
        self.git_with(&[("GIT_AUTHOR_NAME", author)], args)
    }

    /// As it would be at that time.
    pub fn git_at(&self, time: &str, args: &str) -> String {
        self.git_with(
            &[("GIT_AUTHOR_NAME", "Noor Team"), ("GIT_AUTHOR_DATE", time), ("GIT_COMMITTER_DATE", time)],
            args,
        )
    }

    fn git_with(&self, environment: &[(&str, &str)], args: &str) -> String {
        let done = Command::new("git")
            .args(args.split(' '))
            .current_dir(&self.root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_EMAIL", "team@example.org")
            .env("GIT_COMMITTER_NAME", "A Committer")
            .env("GIT_COMMITTER_EMAIL", "committer@example.org")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert!(done.status.success(), "git {args}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    pub fn commit(&self, message: &str) -> String {
        self.git("add -A");
        self.git(&format!("commit -q -m {message}"));
        self.git("rev-parse HEAD")
    }

    /// Runs a shell here, as a user or an editor would.
    pub fn sh(&self, script: &str) {
        let done = Command::new("sh").args(["-ec", script]).current_dir(&self.root).status().unwrap();
        assert!(done.success(), "{script}");
    }
}
