//! Programs that only an enemy has named, and all the places where a repository's configuration can name one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::fixture::Sandbox;

/// Programs that only an enemy has named. Each that runs leaves its name.
pub struct Traps(TempDir);

impl Traps {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("reconcile-traps-").tempdir().unwrap())
    }

    /// A program that leaves `name`, and passes on what it is given.
    pub fn set(&self, name: &str) -> String {
        let program = self.0.path().join(format!("{name}.sh"));
        let sprung = self.0.path().join("sprung").join(name);
        fs::create_dir_all(sprung.parent().unwrap()).unwrap();
        fs::write(&program, format!("#!/bin/sh\n: >'{}'\nexec cat\n", sprung.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program.display().to_string()
    }

    /// Where they lie.
    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Those that have run.
    pub fn sprung(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path().join("sprung"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Sets all anew, and gives those that had sprung.
    pub fn rearm(&self) -> Vec<String> {
        let sprung = self.sprung();
        sprung.iter().for_each(|name| fs::remove_file(self.0.path().join("sprung").join(name)).unwrap());
        sprung
    }
}

/// What a repository's own configuration can name a program in, or lead astray by. `TRAP:x` is a program.
const SETTINGS: &[(&str, &str)] = &[
    ("core.fsmonitor", "TRAP:fsmonitor"),
    ("core.hooksPath", "HOOKS"),
    ("core.pager", "TRAP:pager"),
    ("core.editor", "TRAP:editor"),
    ("sequence.editor", "TRAP:sequence-editor"),
    ("core.askPass", "TRAP:askpass"),
    ("core.sshCommand", "TRAP:ssh"),
    ("core.gitProxy", "TRAP:proxy"),
    ("core.alternateRefsCommand", "TRAP:alternate-refs"),
    ("credential.helper", "TRAP:credential"),
    ("gpg.program", "TRAP:gpg"),
    ("gpg.ssh.program", "TRAP:gpg-ssh"),
    ("gpg.x509.program", "TRAP:gpg-x509"),
    ("log.showSignature", "true"),
    ("diff.external", "TRAP:diff-external"),
    ("diff.trap.textconv", "TRAP:textconv"),
    ("diff.trap.command", "TRAP:diff-command"),
    ("interactive.diffFilter", "TRAP:diff-filter"),
    ("merge.trap.driver", "TRAP:merge"),
    ("uploadpack.packObjectsHook", "TRAP:pack-objects"),
    ("remote.origin.url", "ext::TRAP:ext"),
    ("remote.origin.uploadpack", "TRAP:uploadpack"),
    ("remote.origin.promisor", "true"),
    ("protocol.allow", "always"),
    ("protocol.ext.allow", "always"),
    ("alias.rev-parse", "!TRAP:alias"),
    ("alias.rev-list", "!TRAP:alias"),
    ("alias.ls-tree", "!TRAP:alias"),
    ("alias.cat-file", "!TRAP:alias"),
    ("alias.check-attr", "!TRAP:alias"),
    ("alias.config", "!TRAP:alias"),
    ("alias.status", "!TRAP:alias"),
    ("pager.rev-list", "TRAP:pager"),
    ("pager.rev-parse", "TRAP:pager"),
    ("pager.ls-tree", "TRAP:pager"),
    ("pager.cat-file", "TRAP:pager"),
    ("pager.check-attr", "TRAP:pager"),
    ("pager.status", "TRAP:pager"),
    ("trace2.normalTarget", "TRACE"),
    ("core.attributesFile", "ATTRIBUTES"),
    ("include.path", "INCLUDED"),
    ("includeIf.gitdir:**.path", "INCLUDED"),
    ("extensions.worktreeConfig", "true"),
    ("log.mailmap", "true"),
    ("mailmap.file", "MAILMAP"),
    ("format.pretty", "%aN was here"),
    ("log.date", "raw"),
    ("i18n.logOutputEncoding", "UTF-16"),
    ("gc.auto", "1"),
    ("submodule.recurse", "true"),
    ("diff.submodule", "log"),
];

/// All hooks of githooks(5) that a command of ours could be thought to run.
const HOOKS: [&str; 8] = [
    "fsmonitor-watchman",
    "post-checkout",
    "post-index-change",
    "pre-auto-gc",
    "pre-commit",
    "reference-transaction",
    "post-rewrite",
    "proc-receive",
];

pub const EVERY_FILE: &str = "* filter=trap diff=trap merge=trap\n";
pub const MAILMAP: &str = "Trusted Lead <lead@example.org> <noor@example.org>\n";

/// Names a program wherever the configuration of a repository can; `at` is its git directory, `name` goes before theirs.
pub fn arm(project: &Sandbox, traps: &Traps, at: &Path, name: &str) {
    let beside = traps.0.path();
    for hook in HOOKS {
        for dir in [beside.join("hooks"), at.join("hooks")] {
            fs::create_dir_all(&dir).unwrap();
            fs::copy(traps.set(&format!("{name}hook-{hook}")), dir.join(hook)).unwrap();
        }
    }
    fs::write(beside.join("mailmap"), MAILMAP).unwrap();
    fs::write(beside.join("attributes"), EVERY_FILE).unwrap();
    let included = format!("[core]\n\tfsmonitor = {}\n", traps.set(&format!("{name}included")));
    fs::write(beside.join("included"), &included).unwrap();
    fs::write(at.join("config.worktree"), &included).unwrap();
    fs::create_dir_all(at.join("info")).unwrap();
    let file = at.join("config").display().to_string();
    let set = |key: &str, value: &str| drop(project.git(&["config", "--file", &file, "--add", key, value]));
    for (key, value) in SETTINGS {
        let value = match value.split_once("TRAP:") {
            Some((before, trap)) => format!("{before}{}", traps.set(&format!("{name}{trap}"))),
            None => match *value {
                word if word.chars().all(|letter| letter.is_ascii_uppercase()) => {
                    beside.join(word.to_lowercase()).display().to_string()
                }
                word => word.to_owned(),
            },
        };
        set(key, &value);
    }
    for way in ["clean", "smudge", "process"] {
        set(&format!("filter.trap.{way}"), &traps.set(&format!("{name}filter-{way}")));
    }
    set("filter.trap.required", "true");
}
