//! What comes from outside: `deny.toml` held without network, over what `Cargo.lock` names.
//!
//! `cargo deny` takes minutes to be built; this reads the same lists. Left to it are the advisories, which need its
//! database, the licences of what is built for other platforms alone, and licences that nobody needs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;
use toml::Table;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table(file: &str) -> Table {
    fs::read_to_string(root().join(file)).unwrap().parse().unwrap_or_else(|why| panic!("{file}: {why}"))
}

/// The texts of a list, or of the field `crate` of its tables, which have a reason.
fn list(section: &Table, name: &str) -> Vec<String> {
    let one = |item: &toml::Value| match item {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => {
            assert!(table.get("reason").is_some_and(|reason| reason.as_str().is_some()), "{table}: without a reason");
            table["crate"].as_str().unwrap().to_owned()
        }
        other => panic!("{name}: {other}"),
    };
    section[name].as_array().unwrap_or_else(|| panic!("{name} is a list")).iter().map(one).collect()
}

/// One package as the lock file names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
}

fn package(entry: impl Fn(&str) -> Option<String>) -> Package {
    Package { name: entry("name").unwrap(), version: entry("version").unwrap(), source: entry("source") }
}

/// Every package of every platform.
fn packages() -> Vec<Package> {
    let locked = table("Cargo.lock");
    let entries = locked["package"].as_array().unwrap();
    entries.iter().map(|entry| package(|field| entry.get(field)?.as_str().map(str::to_owned))).collect()
}

/// The packages that are built on this platform, with their licences: the only ones that a new Cargo home holds after a
/// build, so this needs no network. Those of other platforms are `cargo deny`'s to read.
fn licences() -> Vec<(Package, Option<String>)> {
    let compiler = run(Command::new("rustc").arg("-vV"));
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its platform");
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]);
    let metadata: Json = serde_json::from_str(&run(metadata.current_dir(root()))).expect("JSON");
    let text = |entry: &Json, field: &str| entry[field].as_str().map(str::to_owned);
    let entries = metadata["packages"].as_array().unwrap();
    entries.iter().map(|entry| (package(|field| text(entry, field)), text(entry, "license"))).collect()
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("run a program of the Rust toolchain");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Whether the terms of `license` can be met with what is `allowed`: an SPDX expression, in which `/` is an old `OR`.
fn is_met(license: &str, allowed: &[String]) -> bool {
    let license = license.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = license.split_whitespace().peekable();
    let met = either(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a, 'b> = &'a mut std::iter::Peekable<std::str::SplitWhitespace<'b>>;

fn either(words: Words<'_, '_>, allowed: &[String]) -> bool {
    let mut met = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= both(words, allowed);
    }
    met
}

fn both(words: Words<'_, '_>, allowed: &[String]) -> bool {
    let mut met = term(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= term(words, allowed);
    }
    met
}

fn term(words: Words<'_, '_>, allowed: &[String]) -> bool {
    match words.next() {
        Some("(") => either(words, allowed) & words.next_if_eq(&")").is_some(),
        Some(name) => match words.next_if_eq(&"WITH") {
            Some(_) => words.next().is_some_and(|exception| allowed.contains(&format!("{name} WITH {exception}"))),
            None => allowed.iter().any(|known| known == name),
        },
        None => false,
    }
}

/// Whether a package is the one that `skip` means: `name@1.2` stands for every 1.2.x.
fn is_of(package: &Package, entry: &str) -> bool {
    let (name, version) = entry.split_once('@').unwrap_or((entry, ""));
    let is_version = package.version == version || package.version.starts_with(&format!("{version}."));
    package.name == name && (version.is_empty() || is_version)
}

#[test]
fn licences_are_read_as_expressions() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND ISC", "X WITH Y OR ISC"] {
        assert!(is_met(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "MIT WITH X", "", "MIT MIT", "(MIT"] {
        assert!(!is_met(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_package_comes_from_where_and_under_what_it_may() {
    let deny = table("deny.toml");
    let section = |name: &str| deny[name].as_table().unwrap();
    let (allowed, registries) = (list(section("licenses"), "allow"), list(section("sources"), "allow-registry"));
    for rule in ["unknown-registry", "unknown-git"] {
        assert_eq!(section("sources")[rule].as_str(), Some("deny"));
    }
    let (ours, others): (Vec<_>, Vec<_>) = packages().into_iter().partition(|package| package.source.is_none());
    assert_eq!(ours.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), ["reconcile"], "no path but ours");
    for package in &others {
        let from = package.source.as_deref().unwrap().strip_prefix("registry+").unwrap_or("not a registry");
        assert!(registries.iter().any(|known| known == from), "{package:?}: from another place");
    }
    let built: Vec<_> = licences().into_iter().filter(|(package, _)| package.source.is_some()).collect();
    assert!(built.len() > 100, "only {} packages", built.len());
    for (package, license) in &built {
        assert!(others.contains(package), "{package:?}: not in the lock file");
        assert!(
            is_met(license.as_deref().unwrap_or_default(), &allowed),
            "{package:?}: none of {license:?} is allowed"
        );
    }
}

#[test]
fn nothing_banned_comes_in_and_nothing_twice() {
    let deny = table("deny.toml");
    let bans = deny["bans"].as_table().unwrap();
    for rule in ["multiple-versions", "wildcards"] {
        assert_eq!(bans[rule].as_str(), Some("deny"));
    }
    let packages = packages();
    for banned in list(bans, "deny") {
        let found: Vec<&Package> = packages.iter().filter(|package| is_of(package, &banned)).collect();
        assert!(found.is_empty(), "banned: {found:?}");
    }
    let mut versions: BTreeMap<&str, BTreeSet<&Package>> = BTreeMap::new();
    for package in &packages {
        versions.entry(&package.name).or_default().insert(package);
    }
    let skipped = list(bans, "skip");
    for (name, found) in &versions {
        let counted = found.iter().filter(|package| !skipped.iter().any(|entry| is_of(package, entry)));
        assert!(counted.count() <= 1, "{name} comes in several versions: {found:?}");
    }
    for entry in &skipped {
        let needed =
            versions.values().any(|found| found.len() > 1 && found.iter().any(|package| is_of(package, entry)));
        assert!(needed, "{entry} is skipped, and does not come twice any more");
    }
}

#[test]
fn every_dependency_has_its_reason_and_its_version() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut inside = false;
    let (mut before, mut seen) = ("", 0);
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let reason = line.rsplit_once(" # ").map(|(_, reason)| reason).or_else(|| before.strip_prefix("# "));
            assert!(reason.is_some_and(|reason| reason.len() >= 8), "Cargo.toml: without a reason: {line}");
            assert!(!line.contains("\"*\"") && !line.contains("git ="), "Cargo.toml: of no version: {line}");
            seen += 1;
        }
        before = line;
    }
    let wanted = table("Cargo.toml");
    let listed = |of: &Table, name: &str| of.get(name).and_then(toml::Value::as_table).map_or(0, Table::len);
    let both = |of: &Table| listed(of, "dependencies") + listed(of, "dev-dependencies");
    let targets = wanted["target"].as_table().unwrap().values().filter_map(toml::Value::as_table);
    assert_eq!(seen, both(&wanted) + targets.map(both).sum::<usize>(), "one line for each");
    assert_eq!(wanted["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}
