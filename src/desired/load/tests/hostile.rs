//! State files that mean harm, from their bytes to the gathered desired state.

use std::fmt::Write;
use std::sync::Arc;

use fastrand::Rng;

use crate::desired::load::leaf;
use crate::desired::tree::SourceFile;
use crate::kinds::{Desired, sections};
use crate::resource::Declared;
use crate::testing::spoil::one_of;
use crate::testing::{Answer, Hunt, awkward, is_printable};
use crate::yaml::Problems;
use crate::yaml::tests::differential::{self, FRAGMENTS};
use crate::yaml::tests::rewritten::rewritten;

const FILE: &str = "desired-state/week.yaml";
const LIMIT: usize = 1 << 20;

pub fn hunt() -> Hunt {
    let (corpus, judge) = (awkward(), Box::new(judge));
    Hunt { name: "state files", corpus, fragments: FRAGMENTS, draw, usual: 4_000, judge }
}

/// A document of all kinds without a problem.
fn draw(rng: &mut Rng) -> Option<String> {
    let mut text = String::new();
    if rng.bool() {
        let (id, host) = (rng.u16(1..), one_of(rng, &["10.0.0.11", "db.example.org", "'fd00::1'"]));
        write!(text, "servers:\n  - name: pool-{id}\n    host: {host}\n    port: {}\n    type: shared\n", rng.u16(1..))
            .ok()?;
        write!(text, "    max_instances: 50\n    priority: {}\n    state: active\n    admin: pool-1\n", rng.u8(..))
            .ok()?;
    }
    if rng.bool() {
        text.push_str("instances:\n  - id: fbaa8c92-0000-4000-8000-000000000001\n    name: acme\n    tier: standard\n");
        text.push_str("    customer: d425c7f2-57b1-439f-8000-000000000002\n    provision: on_billing\n");
        text.push_str("    subscription: 7c9e6679-7425-40de-944b-e07fc1f90ae7\n    credentials_rotation: 1\n");
    }
    if rng.bool() {
        text.push_str(
            "hosts:\n  - session: 215\n    rotation: 2\n    reason: Suspected compromise\n    expires_in: 90d\n",
        );
        text.push_str("    rotate_every: 30d\n    overlap: 15m\n    missing_session: create\n");
    }
    if rng.bool() || text.is_empty() {
        text.push_str("sessions:\n  - id: 215\n    title: Surah Al-Fatiha\n    status: active\n    created_by: Noor\n");
        text.push_str("    starts_at: 2026-12-01T18:00:00Z\n    expires_at: 2026-12-31T23:59:59Z\n    protect: true\n");
    }
    Some(text)
}

fn judge(bytes: &[u8]) -> Result<Answer, String> {
    let (meaning, problems) = read(bytes);
    explained(bytes, &problems)?;
    if let Ok(text) = str::from_utf8(bytes) {
        // The fast reader takes nothing otherwise than the thorough one.
        differential::compare(text, sections());
    }
    if problems.has_errors() {
        return Ok(Answer::Refused);
    }
    for twin in rewritten(bytes, sections()) {
        let (again, problems) = read(twin.as_bytes());
        if problems.has_errors() {
            return Err(format!("written out again it is wrong:\n{twin}\n{}", problems.render(false, 100)));
        }
        if again != meaning {
            return Err(format!("written out again it means something else:\n{twin}\n{meaning}\n{again}"));
        }
    }
    Ok(Answer::Taken)
}

/// All that a file wants, without where it stands; and what is wrong with it.
fn read(bytes: &[u8]) -> (String, Problems) {
    let file: Arc<str> = Arc::from(FILE);
    let leaf = leaf(SourceFile { path: Arc::clone(&file), bytes: bytes.to_vec() }, LIMIT);
    let (desired, clashes) = Desired::gather(std::iter::once((&file, &leaf.sheet)));
    let Desired { sessions, hosts, servers, instances, lifts, wrong } = &desired;
    let mut meaning = format!("{clashes:?} {:?} {wrong:?}\n", lifts.keys());
    for (key, declared) in (0..sessions.len()).filter_map(|number| sessions.declared(number)) {
        tell(&mut meaning, key, &declared);
    }
    hosts.iter().for_each(|(key, declared)| tell(&mut meaning, key, declared));
    servers.iter().for_each(|(key, declared)| tell(&mut meaning, key, declared));
    instances.iter().for_each(|(key, declared)| tell(&mut meaning, key, declared));
    (meaning, leaf.problems)
}

fn tell<T: std::fmt::Debug>(meaning: &mut String, key: impl std::fmt::Debug, declared: &Declared<T>) {
    let Declared { value, place: _, protect } = declared;
    writeln!(meaning, "{key:?} {value:?} {protect:?}").unwrap();
}

/// Whether every problem says where, inside the file, what, and how to mend it.
fn explained(bytes: &[u8], problems: &Problems) -> Result<(), String> {
    is_printable(&problems.render(false, 100))?;
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    for problem in problems.iter() {
        let (place, said) = (&problem.place, format!("{}: {}", problem.place, problem.message));
        let line = (place.line as usize).checked_sub(1).and_then(|line| lines.get(line));
        let Some(line) = line.filter(|_| &*place.file == FILE) else {
            return Err(format!("not in the file: {said}"));
        };
        if place.column == 0 || place.column as usize > line.chars().count() + 1 {
            return Err(format!("beyond its line: {said}"));
        }
        if problem.hint.as_deref().is_none_or(str::is_empty) {
            return Err(format!("without a way to mend it: {said}"));
        }
        if problem.message.is_empty() || problem.message.len() > 400 {
            return Err(format!("too short or too long: {said}"));
        }
    }
    Ok(())
}
