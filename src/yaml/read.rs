//! One file's text to checked items. A wrong value costs its item, a syntax error its document, nothing more.

use std::sync::Arc;

use super::complaint::{comments, stopped};
use super::core::Core;
use super::events::{Event, Events, Stop};
use super::field::{Field, Section};
use super::item::{Entry, Item};
use super::problem::Problems;
use super::source::{Mark, Source};
use super::suspect::{Guids, secret_key};
use super::value::{Misfit, Value, Written};
use super::walk::{Key, Node};

/// What one file holds.
#[derive(Default)]
pub struct Read {
    /// Each with its section, in the order of the file; only those without a problem.
    pub items: Vec<(&'static Section, Item)>,
    pub problems: Problems,
}

/// Reads a file as `sections` say. `file` is its name as shown to the user; a file over `limit` bytes is not read.
///
/// Guarantees: never panics; time and memory grow with the length of `bytes` and no faster.
pub fn read(file: Arc<str>, bytes: Vec<u8>, limit: usize, sections: &'static [Section]) -> Read {
    let mut out = Read::default();
    let (source, problem) = Source::new(file, bytes, limit);
    problem.into_iter().for_each(|problem| out.problems.push(problem));
    let Some(source) = source.map(Arc::new) else { return out };
    comments(&source, &mut out.problems);
    let mut reader = Reader { source: &source, sections, events: Events::new(&source.text), guids: Guids::Secret, out };
    reader.stream();
    let mut out = reader.out;
    out.problems.sort();
    out
}

pub struct Reader<'t> {
    pub source: &'t Arc<Source>,
    sections: &'static [Section],
    pub events: Events<'t>,
    /// What a GUID is in the present section.
    pub guids: Guids,
    pub out: Read,
}

impl<'t> Reader<'t> {
    fn stream(&mut self) {
        loop {
            let (items, problems) = (self.out.items.len(), self.out.problems.kept().len());
            match self.document() {
                Ok(true) => {}
                Ok(false) => return,
                Err(stop) => {
                    self.give_up(&stop, items, problems);
                    match self.events.next_document() {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(stop) => return self.out.problems.push(stopped(self.source, &stop)),
                    }
                }
            }
        }
    }

    /// Reports why a document is not read to its end. Of one that aliases blow up nothing remains but that.
    fn give_up(&mut self, stop: &Stop, items: usize, problems: usize) {
        if matches!(stop, Stop::Bomb(_)) {
            self.out.items.truncate(items);
            self.out.problems.truncate(problems);
        }
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
                self.skip_node(node)?;
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
        self.guids = if section.speaks_in_uuids() { Guids::Names } else { Guids::Secret };
        let plural = section.kind.plural;
        match self.node()? {
            (Node::List, _) => loop {
                match self.node()? {
                    (Node::End, _) => break,
                    (Node::Map, mark) => self.item(section, mark)?,
                    (node, mark) => {
                        if !matches!(node, Node::Wrong) {
                            let message = format!("an entry of {plural} is a map of fields, not {}", name_of(&node));
                            let example = section.fields.first().map_or("name", |field| field.name);
                            self.report(mark, message, Some(format!("write `- {example}: …`")));
                        }
                        self.skip_node(node)?;
                    }
                }
            },
            (Node::Scalar(scalar), _) if scalar.plain && Core::of(&scalar.text) == Core::Null => {}
            (node, mark) => {
                if !matches!(node, Node::Wrong) {
                    let message = format!("{plural} wants a list, not {}", name_of(&node));
                    self.report(mark, message, Some("put `- ` before each entry".to_owned()));
                }
                self.skip_node(node)?;
            }
        }
        self.guids = Guids::Secret;
        Ok(())
    }

    fn item(&mut self, section: &'static Section, mark: Mark) -> Result<(), Stop> {
        let problems = self.out.problems.len();
        let mut entries = Vec::with_capacity(section.fields.len());
        let mut seen: Vec<Option<Mark>> = vec![None; section.fields.len() + 1];
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
                entries.push(Entry { field: number, mark, value });
            }
        }
        self.complete(section, mark, &seen);
        if self.out.problems.len() == problems {
            self.out.items.push((section, Item::new(section, Arc::clone(self.source), mark, entries)));
        }
        Ok(())
    }

    /// Reports what an item lacks, and what it holds that may not stand together.
    fn complete(&mut self, section: &'static Section, mark: Mark, seen: &[Option<Mark>]) {
        let Section { kind, about: _, fields, exclusive } = section;
        for (field, seen) in fields.iter().zip(seen) {
            if field.required && seen.is_none() {
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
    fn value(&mut self, field: &'static Field) -> Result<Option<(Value, Mark)>, Stop> {
        let (node, mark) = self.node()?;
        let Node::Scalar(scalar) = node else {
            if !matches!(node, Node::Wrong) {
                self.report(mark, format!("{} wants {}, not {}", field.name, field.wants(), name_of(&node)), None);
            }
            self.skip_node(node)?;
            return Ok(None);
        };
        let written = Written { text: &scalar.text, plain: scalar.plain, guids: self.guids };
        let checked = field.check(written);
        // A number, a word or a time that fits is no secret; a text may be one, and so may what was meant for them.
        if matches!(checked, Ok(Value::Text(_)) | Err(_)) && self.suspect(&scalar, mark, Some(field.name)) {
            return Ok(None);
        }
        match checked {
            Ok(value) => Ok(Some((value, mark))),
            Err(Misfit { message, hint }) => {
                self.report(mark, message, hint);
                Ok(None)
            }
        }
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
