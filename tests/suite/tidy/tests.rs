//! The checker on bad samples: it must be able to fail, and on good ones: it must be able to rest.

use std::path::Path;

use super::source::Source;
use super::{Finding, LONGEST_FILE, LONGEST_FUNCTION, check, doors, rooms};

fn source(file: &str, code: &str) -> Source {
    Source::new(Path::new(file), format!("//! A sample.\n{code}\n"))
}

fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

/// The rules of rooms that `code`, standing in `file`, breaks.
fn imports(file: &str, code: &str) -> Vec<String> {
    said(&rooms::check(&source(file, code)))
}

/// The rules for a single file that `code`, standing in the room of plans, breaks.
fn untidy(code: &str) -> Vec<String> {
    said(&check(&source("src/plan/sample.rs", code)))
}

#[test]
fn a_room_may_not_import_upwards() {
    let why = "`guard` may not import `store`; it may import address, change, file, loopback, secret";
    assert_eq!(imports("src/guard/mod.rs", "use crate::store::Database;"), [format!("src/guard/mod.rs:2: {why}")]);
    assert_eq!(imports("src/secret.rs", "use crate::kinds;").len(), 1);
    assert!(imports("src/secret.rs", "use crate::kinds;")[0].ends_with("it may import nothing of ours"));
}

#[test]
fn no_spelling_of_a_path_escapes() {
    for code in [
        "use crate::store::Database;",
        "pub(crate) use crate::{change::Kind, store::{self, sql}};",
        "use crate::{\n    change,\n    store as shelf,\n};",
        "fn a() -> crate::store::Database { b() }",
        "fn a() { $crate::store::open() }",
        "use super::super::store;",
        "fn a(x: &dyn super::super::store::Reads) {}",
        "use ::reconcile::store::Database;",
    ] {
        let found = imports("src/plan/render.rs", code);
        assert_eq!(found.len(), 1, "{code}: {found:?}");
        assert!(found[0].contains("`plan` may not import `store`"), "{found:?}");
    }
    assert_eq!(imports("src/config.rs", "use super::store;").len(), 1, "a room of one file has its neighbours above");
}

#[test]
fn a_room_may_import_itself_and_what_is_granted() {
    let code =
        "use super::budget;\nuse crate::plan::render;\nuse crate::change::{Kind, Change};\nuse self::budget::Budget;";
    assert_eq!(imports("src/plan/mod.rs", code), [""; 0]);
    assert_eq!(imports("src/turn.rs", "use crate::apply::apply;"), [""; 0]);
    assert_eq!(imports("src/plan/mod.rs", "// use crate::store;\nconst S: &str = \"crate::store::x\";"), [""; 0]);
    assert_eq!(imports("src/plan/mod.rs", "#[cfg(test)]\nmod tests { use crate::store::Database; }"), [""; 0]);
    assert_eq!(imports("src/plan/tests.rs", "use crate::store::Database;"), [""; 0]);
}

#[test]
fn the_daemon_and_the_command_line_never_apply() {
    for file in ["src/daemon/mod.rs", "src/cli/run.rs", "src/main.rs"] {
        assert_eq!(imports(file, "use crate::apply::apply;").len(), 1, "{file}");
    }
}

#[test]
fn the_plan_cannot_reach_the_world_or_the_clock() {
    for code in [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "use std::net::TcpStream;",
        "use tokio::sync::mpsc;",
        "fn a() { sqlx::query(b) }",
        "fn a() { chrono::Utc::now() }",
        "fn a() { let then = Instant::now(); }",
    ] {
        let found = imports("src/plan/mod.rs", code);
        assert_eq!(found.len(), 1, "{code}: {found:?}");
        assert!(found[0].contains("`plan` is pure"), "{found:?}");
    }
    assert_eq!(imports("src/plan/mod.rs", "use std::fmt;\nuse chrono::{DateTime, Utc};"), [""; 0]);
    assert_eq!(imports("src/store/mod.rs", "use std::fs;"), [""; 0]);
}

#[test]
fn every_other_way_to_a_file_is_found() {
    for code in [
        "use std::fs;",
        "use std::fs::{File, Metadata};",
        "fn a() { std::fs::read(b) }",
        "use tokio::fs::read;",
        "fn a() { tokio::fs::read(b) }",
        "use rustix::fs::open;",
        "use std::os::unix::fs::{MetadataExt, OpenOptionsExt};",
        "fn a() { if b.exists() {} }",
        "fn a() { b\n.metadata() }",
        "fn a() { CertificateDer::pem_file_iter(b) }",
        "fn a() { options.ssl_root_cert(b) }",
    ] {
        assert_eq!(said(&doors::check(&source("src/store/sample.rs", code))).len(), 1, "{code}");
        assert_eq!(said(&doors::check(&source("src/file/read.rs", code))), [""; 0], "{code}");
        assert_eq!(said(&doors::check(&source("src/store/tests.rs", code))), [""; 0], "{code}");
    }
    let code =
        "use std::fs::Metadata;\nuse std::os::unix::fs::MetadataExt;\nuse crate::file;\nfn a() { file::exists(b) }";
    assert_eq!(said(&doors::check(&source("src/store/sample.rs", code))), [""; 0]);
}

#[test]
fn a_room_without_a_row_is_found() {
    let found = said(&rooms::unlisted(&[source("src/attic/mod.rs", "")]));
    assert!(found.iter().any(|line| line.contains("a room without a row: `attic`")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("a row without a room: `plan`")), "{found:?}");
}

#[test]
fn a_file_opens_with_its_reason() {
    let bare = Source::new(Path::new("src/plan/sample.rs"), "use std::fmt;\n".to_owned());
    assert_eq!(said(&check(&bare)), ["src/plan/sample.rs:1: open the file with its reason: `//! …`"]);
}

#[test]
fn long_files_are_found() {
    assert_eq!(untidy(&"\n".repeat(LONGEST_FILE - 2)), [""; 0]);
    assert!(untidy(&"\n".repeat(LONGEST_FILE - 1))[0].contains("401 lines, 400 allowed"));
}

#[test]
fn long_functions_are_found() {
    let function =
        |lines: usize| format!("fn long<T>(a: [u8; 4]) -> T\nwhere\n    T: Copy,\n{{{}}}", "\n".repeat(lines - 4));
    assert_eq!(untidy(&function(LONGEST_FUNCTION)), [""; 0]);
    assert_eq!(
        untidy(&function(LONGEST_FUNCTION + 1)),
        ["src/plan/sample.rs:2: `long` has 71 lines, 70 allowed: divide it"]
    );
    let declared = format!("trait A {{ fn short(&self); type B = fn(u8); {} }}", "\n".repeat(100));
    assert_eq!(untidy(&declared), [""; 0]);
    let braces =
        format!("fn short() {{ a('{{', \"{{{{\", r#\"\"{{\"#, b'\\'') /* {{ */ }} // {{\n{}", "\n".repeat(100));
    assert_eq!(untidy(&braces), [""; 0]);
}

#[test]
fn abrupt_ends_are_found_outside_tests() {
    for code in
        ["fn a() { b.unwrap(); }", "fn a() { b\n.expect(\"c\"); }", "fn a() { panic!(\"b\") }", "fn a() { todo!() }"]
    {
        assert_eq!(untidy(code).len(), 1, "{code}");
        assert_eq!(untidy(&format!("#[cfg(test)]\nmod tests {{ {code} }}")), [""; 0], "{code}");
        assert_eq!(said(&check(&source("src/plan/tests.rs", code))), [""; 0], "{code}");
        assert_eq!(untidy(&format!("#[cfg(test)]\nmod tests {{ }}\n{code}")).len(), 1, "code after its tests: {code}");
    }
    assert_eq!(untidy("/// Never `.unwrap()`.\nfn a() { b.unwrap_or(c); d('\"', \".unwrap()\") }"), [""; 0]);
}

#[test]
fn leftovers_and_silenced_lints_are_found() {
    for word in super::LEFTOVERS {
        assert_eq!(untidy(&format!("// {word}: later")).len(), 1, "{word}");
    }
    assert_eq!(untidy("#[allow(dead_code)]\nfn a() {}").len(), 1);
    assert_eq!(untidy("#![allow(dead_code)]").len(), 1);
    assert_eq!(untidy("#[expect(dead_code, reason = \"a sample\")]\nfn a() {}"), [""; 0]);
}

#[test]
fn the_three_readings_keep_their_lines() {
    let text = "fn a<'b>(c: &'b str) { \"ü\n\"; 'x'; }\n#[cfg(test)]\nmod t {\n}\nfn d() {} // ü";
    let sample = Source::new(Path::new("src/plan/sample.rs"), text.to_owned());
    for reading in [&sample.code, &sample.product] {
        assert_eq!(reading.len(), text.len());
        assert_eq!(reading.lines().count(), text.lines().count());
    }
    assert!(sample.code.contains("fn a<'b>(c: &'b str)"));
    assert!(sample.code.contains("mod t"));
    assert!(!sample.product.contains("mod t"));
    assert!(sample.product.contains("fn d() {}"));
}
