//! The one way to a file: no room opens one, or believes what stands at a path, but by `file`.

use super::Finding;
use super::source::Source;

/// The room that opens files; all others ask it.
const OPENS: &str = "file";

/// What leads to the file system by another way. A path matches when it begins so.
const WAYS: &[&str] = &[
    "std::fs",
    "tokio::fs",
    "fs",
    "rustix::fs",
    "tempfile",
    "File::open",
    "File::create",
    "File::create_new",
    "File::options",
    "OpenOptions::new",
    "std::os::unix::fs::OpenOptionsExt",
    "std::os::unix::fs::symlink",
];

/// What only tells, and cannot open: facts that were asked for by `file`.
const TELLS: &[&str] = &["std::fs::FileType", "std::fs::Metadata"];

/// Methods that go to a file by its path, the libraries' own included.
const CALLS: &[&str] = &[
    ".metadata(",
    ".symlink_metadata(",
    ".canonicalize(",
    ".exists(",
    ".try_exists(",
    ".is_file(",
    ".is_dir(",
    ".is_symlink(",
    ".read_link(",
    ".read_dir(",
    "pem_file_iter(",
    "from_pem_file(",
    ".ssl_root_cert(",
    ".ssl_client_cert(",
    ".ssl_client_key(",
];

/// Calls of these names that go to no file: what was asked, and where.
const NO_FILES: &[(&str, &str)] = &[
    // Whether the database is there.
    ("src/daemon/serve.rs", ".exists("),
    // Of what a look has found, by its facts.
    ("src/desired/tree/walk.rs", ".is_file("),
    ("src/desired/tree/walk.rs", ".is_dir("),
    ("src/desired/tree/walk.rs", ".is_symlink("),
    ("src/daemon/watch/view.rs", ".is_symlink("),
    ("src/turn/ready.rs", ".exists("),
    ("src/turn/ready.rs", ".is_symlink("),
    // The same of what `file` has told.
    ("src/desired/git/mod.rs", ".is_file("),
    ("src/desired/git/repository.rs", ".is_file("),
    ("src/desired/git/repository.rs", ".is_dir("),
    ("src/desired/git/repository.rs", ".is_symlink("),
];

/// Where `source` goes to the file system by another way. The database file is opened by its library, and appears
/// here by neither: `store` has `file` judge it and its companions before, and again once it is open.
pub fn check(source: &Source) -> Vec<Finding> {
    if source.is_test() || source.room().as_deref() == Some(OPENS) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut find = |line: usize, what: String| {
        let what = format!("{what}: files are opened and judged by `{OPENS}` alone");
        findings.push(Finding { file: source.file.clone(), line, what });
    };
    for path in source.paths() {
        // Bounded by `::`, so that no part of a word matches.
        let bounded = format!("{}::", path.segments.join("::"));
        let begins = |ways: &[&str]| ways.iter().any(|way| bounded.starts_with(&format!("{way}::")));
        if begins(WAYS) && !begins(TELLS) {
            find(path.line, format!("`{}`", path.segments.join("::")));
        }
    }
    for (number, line) in source.product.lines().enumerate() {
        let is_no_file =
            |call: &str| NO_FILES.iter().any(|(file, known)| source.file.ends_with(file) && *known == call);
        for call in CALLS.iter().filter(|call| line.contains(**call) && !is_no_file(call)) {
            find(number + 1, format!("`{call}…)`"));
        }
    }
    findings
}
