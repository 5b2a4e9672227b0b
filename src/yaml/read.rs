//! One file's text to checked items. A wrong value costs its item, a syntax error its document, nothing more.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::complaint::{comments, stopped};
use super::core::Core;
use super::events::{Event, Events, Stop};
use super::field::{Field, Section};
use super::item::{Entry, Item, Value, only_lifts};
use super::plain;
use super::problem::Problems;
use super::source::{Mark, Source};
use super::suspect::{Guids, secret_key};
use super::value::{Misfit, Written};
use super::walk::{Key, Node};
use super::{Sheet, advice};

/// Reads a file as `sections` say, and hands its items to `sheet` in the order of the file: those without a problem.
/// `file` is its name as shown to the user; a file over `limit` bytes is not read.
///
/// Guarantees: never panics; time and memory grow with the length of `bytes` and no faster. Which of the two readers
/// has read the file shows in nothing but the time that it took.
pub fn read(
    file: Arc<str>,
    bytes: &[u8],
    limit: usize,
    sections: &'static [Section],
    sheet: &mut impl Sheet,
) -> Problems {
    let (source, problem) = Source::new(file, bytes, limit);
    let mut problems = Problems::default();
    let is_text = problem.is_none();
    problem.into_iter().for_each(|problem| problems.push(problem));
    let Some(source) = source else { return problems };
    if is_text {
        if plain::read(&source, sections, sheet).is_ok() {
            return problems;
        }
        sheet.clear();
    }
    thoroughly(&source, problems, sections, sheet)
}

/// Reads whatever is YAML, and says whatever is wrong with it.
pub(super) fn thoroughly(
    source: &Source<'_>,
    mut problems: Problems,
    sections: &'static [Section],
    sheet: &mut impl Sheet,
) -> Problems {
    comments(source, &mut problems);
    let out = Found { items: Vec::new(), entries: Vec::new(), problems };
    let (events, seen) = (Events::new(&source.text), Vec::new());
    let mut reader = Reader { source, sections, events, guids: Guids::Secret, out, seen };
    reader.stream();
    let Found { items, entries, mut problems } = reader.out;
    for Taken { section, mark, range, is_whole } in items {
        let item = Item::new(section, source, mark, entries.get(range).unwrap_or_default());
        match is_whole {
            true => sheet.insert(section, &item).into_iter().for_each(|problem| problems.push(problem)),
            false => sheet.wrong(section, &item),
        }
    }
    problems.sort();
    problems
}

/// What has been found so far. An item is handed over when all is read: its document may yet be given up.
pub struct Found<'t> {
    items: Vec<Taken>,
    /// Those of all items.
    entries: Vec<Entry<'t>>,
    pub problems: Problems,
}

struct Taken {
    section: &'static Section,
    mark: Mark,
    /// Of the entries found so far, its own.
    range: Range<usize>,
    /// Without a problem; otherwise no more than its key is kept of it.
    is_whole: bool,
}

pub struct Reader<'t> {
    pub source: &'t Source<'t>,
    sections: &'static [Section],
    pub events: Events<'t>,
    /// What a GUID is in the present section.
    pub guids: Guids,
    pub out: Found<'t>,
    /// Where the keys of the present item stand, by the number of their field. One for all items.
    seen: Vec<Option<Mark>>,
}

impl<'t> Reader<'t> {
    fn stream(&mut self) {
        loop {
            let (items, entries) = (self.out.items.len(), self.out.entries.len());
            let problems = self.out.problems.kept().len();
            match self.document() {
                Ok(true) => {}
                Ok(false) => return,
                Err(stop) => {
                    // Of a document that aliases blow up nothing remains but that it is so.
                    if matches!(stop, Stop::Bomb(_)) {
                        self.out.items.truncate(items);
                        self.out.entries.truncate(entries);
                        self.out.problems.truncate(problems);
                    }
                    self.give_up(&stop);
                    match self.events.next_document() {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(stop) => return self.out.problems.push(stopped(self.source, &stop)),
                    }
                }
            }
        }
    }

    /// Reports why a document is not read to its end.
    fn give_up(&mut self, stop: &Stop) {
        match self.out.problems.is_full() {
            true => self.out.problems.count_error(),
            false => self.out.problems.push(stopped(self.source, stop)),
        }
    }

    /// Reads one document; false at the end of the stream.
    fn document(&mut self) -> Result<bool, Stop> {
        self.guids = Guids::Secret;
        let start = match self.events.next()? {
            (Event::StreamEnd, _) => return Ok(false),
            (Event::Document(version), mark) => {
                if let Some((major, minor)) = version.filter(|version| *version != (1, 2)) {
                    let message = format!("this document asks for YAML {major}.{minor}, and is read as YAML 1.2");
                    let problem = self.source.problem(mark, message, self.guids).warning();
                    self.out.problems.push(problem.hint("take the %YAML line away: `yes` and `on` are text here"));
                }
                self.node()?
            }
            // What a document that was given up has left.
            _ => return Ok(true),
        };
        match start {
            (Node::Map, _) => self.sections()?,
            (Node::Scalar(scalar), _) if scalar.plain && Core::of(&scalar.text) == Core::Null => {}
            (node, mark) => {
                let first = self.sections.first().map_or("", |section| section.kind.plural);
                let hint = format!("begin with a kind, such as `{first}:`, and put its list below");
                if !matches!(node, Node::Wrong) {
                    let message = format!("a state file is a map of kinds, not {}", name_of(&node));
                    self.report(mark, message, Some(hint));
                }
                self.skip_node(node, mark)?;
            }
        }
        Ok(true)
    }

    fn sections(&mut self) -> Result<(), Stop> {
        let mut seen: Vec<Option<Mark>> = vec![None; self.sections.len()];
        loop {
            let (name, mark) = match self.key()? {
                Key::End => return Ok(()),
                Key::Wrong => {
                    self.skip()?;
                    continue;
                }
                Key::Named(name, mark) => (name, mark),
            };
            let Some(number) = self.sections.iter().position(|section| section.kind.plural == name) else {
                let known = self.sections.iter().map(|section| section.kind.plural).collect();
                self.unknown("kind", &name, mark, known);
                self.skip_below(secret_key(&name))?;
                continue;
            };
            if let Some(first) = seen[number].replace(mark) {
                self.twice(&name, mark, first);
            }
            self.section(&self.sections[number])?;
        }
    }

    fn section(&mut self, section: &'static Section) -> Result<(), Stop> {
        self.guids = section.guids();
        let plural = section.kind.plural;
        match self.node()? {
            (Node::List, _) => loop {
                match self.node()? {
                    (Node::End, _) => break,
                    (Node::Map, mark) => self.item(section, mark)?,
                    (node, mark) => {
                        if !matches!(node, Node::Wrong) {
                            let message = format!("an entry of {plural} is a map of fields, not {}", name_of(&node));
                            self.report(mark, message, Some(as_an_entry(section, &node)));
                        }
                        self.skip_node(node, mark)?;
                    }
                }
            },
            (Node::Scalar(scalar), _) if scalar.plain && Core::of(&scalar.text) == Core::Null => {}
            (node, mark) => {
                if !matches!(node, Node::Wrong) {
                    let message = format!("{plural} wants a list, not {}", name_of(&node));
                    self.report(mark, message, Some("put `- ` before each entry".to_owned()));
                }
                self.skip_node(node, mark)?;
            }
        }
        self.guids = Guids::Secret;
        Ok(())
    }

    fn item(&mut self, section: &'static Section, mark: Mark) -> Result<(), Stop> {
        let problems = self.out.problems.len();
        let start = self.out.entries.len();
        let mut seen = mem::take(&mut self.seen);
        seen.clear();
        seen.resize(section.fields.len() + 1, None);
        loop {
            let (name, key) = match self.key()? {
                Key::End => break,
                Key::Wrong => {
                    self.skip()?;
                    continue;
                }
                Key::Named(name, mark) => (name, mark),
            };
            let Some((number, field)) = section.field(&name) else {
                self.unknown("field", &name, key, section.all_fields().map(|field| field.name).collect());
                self.skip_below(secret_key(&name))?;
                continue;
            };
            let first = seen[number].replace(key);
            if let Some(first) = first {
                self.twice(&name, key, first);
            }
            if let Some((value, mark)) = self.value(field)? {
                self.out.entries.push(Entry { field, mark, value });
            }
        }
        self.complete(section, mark, &seen, start);
        self.seen = seen;
        let is_whole = self.out.problems.len() == problems;
        if !is_whole {
            let mut entries = self.out.entries.drain(start..);
            let key = entries.find(|entry| section.key() == Some(entry.field));
            drop(entries);
            self.out.entries.extend(key);
        }
        self.out.items.push(Taken { section, mark, range: start..self.out.entries.len(), is_whole });
        Ok(())
    }

    /// Reports what an item lacks, and what it holds that may not stand together. Its entries begin at `start`.
    fn complete(&mut self, section: &'static Section, mark: Mark, seen: &[Option<Mark>], start: usize) {
        let Section { kind, about: _, fields, exclusive } = section;
        let only_lifts = seen.iter().flatten().count() == 2
            && only_lifts(section, self.out.entries.get(start..).unwrap_or_default());
        for (field, seen) in fields.iter().zip(seen) {
            if field.required && seen.is_none() && !only_lifts {
                let hint = format!("add `{}:` with {}", field.name, field.wants());
                self.report(mark, format!("the {kind} lacks {}", field.name), Some(hint));
            }
        }
        let place = |name: &str| section.field(name).and_then(|(number, _)| seen[number]);
        for (left, right) in *exclusive {
            if let (Some(first), Some(second)) = (place(left), place(right)) {
                let (first, second) = if first.offset < second.offset { (first, second) } else { (second, first) };
                let hint = "take one of the two away".to_owned();
                let also = Some((first, "the other"));
                self.report_with(second, format!("{left} and {right} may not both stand"), Some(hint), also);
            }
        }
    }

    /// Reads a field's value; none where it is wrong.
    fn value(&mut self, field: &'static Field) -> Result<Option<(Value<'t>, Mark)>, Stop> {
        let (node, mark) = self.node()?;
        let Node::Scalar(scalar) = node else {
            if !matches!(node, Node::Wrong) {
                let rest = self.source.text.get(mark.offset as usize..).unwrap_or_default();
                let message = format!("{} wants {}, not {}", field.name, field.wants(), name_of(&node));
                self.report(mark, message, Some(advice::one_value(rest).to_owned()));
            }
            self.skip_node(node, mark)?;
            return Ok(None);
        };
        let (plain, guids) = (scalar.plain, self.guids);
        let checked = match &scalar.text {
            Cow::Borrowed(text) => field.check(Written { text, plain, guids }),
            Cow::Owned(text) => field.check(Written { text, plain, guids }).map(Value::into_owned),
        };
        // A number, a word or a time that fits is no secret; a text may be one, and so may what was meant for them.
        if matches!(checked, Ok(Value::Text(_)) | Err(_)) && self.suspect(&scalar.text, mark, Some(field.name)) {
            return Ok(None);
        }
        match checked {
            Ok(value) => Ok(Some((value, mark))),
            Err(Misfit { message, hint }) => {
                self.report(mark, message, Some(hint));
                Ok(None)
            }
        }
    }
}

/// How an entry of `section` begins, where something else stands in its place.
fn as_an_entry(section: &Section, node: &Node<'_>) -> String {
    let known: Vec<&str> = section.all_fields().map(|field| field.name).collect();
    let written = match node {
        Node::Scalar(scalar) => advice::blank_after_colon(&scalar.text, &known),
        _ => None,
    };
    match written {
        Some(key) => format!("put a blank behind the colon: `- {key}: …`"),
        None => format!("write `- {}: …`", section.fields.first().map_or("name", |field| field.name)),
    }
}

fn name_of(node: &Node<'_>) -> &'static str {
    match node {
        Node::Scalar(scalar) if scalar.plain => Core::of(&scalar.text).name(),
        Node::Scalar(_) => "text",
        Node::List => "a list",
        Node::Map => "a map",
        Node::Wrong | Node::End => "nothing",
    }
}
