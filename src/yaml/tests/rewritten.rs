//! What a file says, written out again in two other ways: plain blocks, and brackets.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use chrono::SecondsFormat;

use super::{FILE, Kept, LIMIT, Whole};
use crate::yaml::field::Section;
use crate::yaml::item::Value;
use crate::yaml::read;

/// The items of a file, in their order, in plain block style and in flow style.
pub(crate) fn rewritten(bytes: &[u8], sections: &'static [Section]) -> [String; 2] {
    let mut kept = Kept::default();
    read(Arc::from(FILE), bytes, LIMIT, sections, &mut kept);
    let mut by_kind: BTreeMap<&str, Vec<&Whole>> = BTreeMap::new();
    kept.0.iter().for_each(|whole| by_kind.entry(whole.section.kind.plural).or_default().push(whole));
    let (mut block, mut flow) = (String::new(), "{".to_owned());
    for (plural, items) in by_kind {
        writeln!(block, "{plural}:").unwrap();
        write!(flow, "\"{plural}\": [").unwrap();
        for Whole { section: _, mark: _, entries } in items {
            let fields = entries.iter().map(|entry| format!("{}: {}", entry.field.name, written(&entry.value)));
            let fields: Vec<String> = fields.collect();
            writeln!(block, "  - {}", fields.join("\n    ")).unwrap();
            write!(flow, "{{{}}}, ", fields.join(", ")).unwrap();
        }
        flow.push_str("], ");
    }
    flow.push('}');
    [block, flow]
}

fn written(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Flag(flag) => flag.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Text(text) => {
            let letter = |letter: char| match letter {
                ' ' | '!' | '#'..='[' | ']'..='~' => letter.to_string(),
                _ => format!("\\U{:08X}", u32::from(letter)),
            };
            format!("\"{}\"", text.chars().map(letter).collect::<String>())
        }
        Value::Word(word) => (*word).to_owned(),
        Value::Time(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        Value::Duration(duration) => format!("{}s", duration.as_secs()),
        Value::Uuid(uuid) => uuid.to_string(),
    }
}
