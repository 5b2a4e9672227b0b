//! The JSON Schema, judged by somebody else's validator: it accepts what we accept, and rejects what we reject.

use std::fs;
use std::path::Path;

use crate::fixture::python::python;
use crate::fixture::{Database, World};

/// Prints one line for each document: `accepts` or `rejects`, by JSON Schema 2020-12 with formats.
const JUDGE: &str = r#"
import json, sys, yaml, jsonschema, datetime

class Loader(yaml.SafeLoader):
    pass
# Times stay text, as in JSON; and only true and false are booleans, as in YAML 1.2.
for table in (Loader.yaml_implicit_resolvers,):
    for letter, resolvers in list(table.items()):
        table[letter] = [(tag, exp) for tag, exp in resolvers
                         if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")]
import re
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))

schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
for path in sys.argv[2:]:
    document = yaml.load(open(path, encoding="utf-8"), Loader)
    print("accepts" if judge.is_valid(document) else "rejects")
"#;

/// Documents, and whether they are good.
const DOCUMENTS: &[(&str, bool)] = &[
    ("sessions: []", true),
    ("sessions: [{id: 215}]", true),
    ("sessions: [{id: 215, title: Al-Fatiha, status: ended, created_by: Noor, starts_at: 2026-12-01T18:00:00Z}]", true),
    ("sessions: [{id: 215, expires_at: null, protect: true}]", true),
    ("hosts: [{session: 215, rotation: 3, expires_in: 90d, rotate_every: 30d, overlap: 15m}]", true),
    ("hosts: [{session: 215, missing_session: create, active: false, expires_at: 2026-12-01T18:00:00+02:00}]", true),
    ("hosts: [{session: 215, overlap: 1h 30m}]", true),
    ("servers: [{name: one, host: db.example, max_instances: 5, admin: one}]", true),
    ("servers: [{name: one, host: 10.0.0.11, max_instances: 5, admin: one}]", true),
    ("servers: [{name: one, host: '2001:db8::7', max_instances: 5, admin: one}]", true),
    ("servers: [{name: one, host: 'fe80::1%eth0', max_instances: 5, admin: one}]", true),
    ("servers: [{name: one, host: '::1', max_instances: 5, admin: one}]", true),
    ("servers: [{name: one, host: 'db.example:5432', max_instances: 5, admin: one}]", false),
    ("servers: [{name: one, host: '[::1]', max_instances: 5, admin: one}]", false),
    ("servers: [{name: one, host: 'postgres://db', max_instances: 5, admin: one}]", false),
    ("servers: [{name: one, host: 'noor@db', max_instances: 5, admin: one}]", false),
    ("servers: [{name: one, host: 'a b', max_instances: 5, admin: one}]", false),
    ("sessions: [{}]", false),
    ("sessions: [{id: 0}]", false),
    ("sessions: [{id: -5}]", false),
    ("sessions: [{id: '215'}]", false),
    ("sessions: [{id: 1.5}]", false),
    ("sessions: [{id: 1, titel: x}]", false),
    ("sessions: [{id: 1, title: 215}]", false),
    ("sessions: [{id: 1, title: ''}]", false),
    ("sessions: [{id: 1, title: null}]", false),
    ("sessions: [{id: 1, status: open}]", false),
    ("sessions: [{id: 1, starts_at: tomorrow}]", false),
    ("sessions: [{id: 1, starts_at: 2026-12-01}]", false),
    ("sessions: [{id: 1, protect: 'yes'}]", false),
    ("sessions: {id: 1}", false),
    ("session: [{id: 1}]", false),
    ("hosts: [{rotation: 1}]", false),
    ("hosts: [{session: 1, rotation: 0}]", false),
    ("hosts: [{session: 1, expires_in: 90}]", false),
    ("hosts: [{session: 1, expires_in: 90 parsecs}]", false),
    ("hosts: [{session: 1, expires_in: 90d, expires_at: 2026-12-01T18:00:00Z}]", false),
    ("hosts: [{session: 1, missing_session: ignore}]", false),
    ("hosts: [{session: 1, active: 1}]", false),
];

#[test]
fn the_schema_and_the_reader_judge_alike() {
    let world = World::on(Database::Sqlite);
    world.write("schema.json", &world.run(&["schema"]).expect_code(0).stdout);
    let mut paths = vec![world.path().join("schema.json").display().to_string()];
    let mut wanted = Vec::new();
    for (number, (text, is_good)) in DOCUMENTS.iter().enumerate() {
        let path = format!("documents/{number}.yaml");
        world.write(&path, text);
        world.write("desired-state/one.yaml", text);
        let output = world.run(&["validate"]);
        assert_eq!(output.code, i32::from(!is_good), "the reader on {text}: {}", output.text());
        paths.push(world.path().join(path).display().to_string());
        wanted.push((*text, *is_good));
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("desired-state")).unwrap() {
        paths.push(entry.unwrap().path().display().to_string());
        wanted.push(("the example that comes with the program", true));
    }
    let arguments: Vec<&str> = paths.iter().map(String::as_str).collect();
    let verdicts = python(JUDGE, &arguments).expect_code(0).stdout;
    assert_eq!(verdicts.lines().count(), wanted.len(), "{verdicts}");
    for ((text, is_good), verdict) in wanted.into_iter().zip(verdicts.lines()) {
        assert_eq!(verdict == "accepts", is_good, "the schema {verdict} {text}");
    }
}
