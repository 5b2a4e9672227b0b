//! The parser's events, with aliases followed on demand and their cost counted.
//!
//! A document of ten lines can stand for a billion values through aliases to aliases. Each anchor's size, aliases
//! included, is added up while it is read, so that such a document is known before anything is expanded.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::{ErrorKind, Event as Raw, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag, options};

use super::source::{Mark, short};

/// Lists and maps may stand in each other so deep; what the sections hold needs three.
pub const DEEPEST: usize = 32;
/// Aliases of one file may stand for so many values beyond those that are written.
pub const EXPANDED: u64 = 10_000;
/// So many events below anchors are kept for their aliases. A larger anchor could not be used anyway, or not often.
const LOGGED: usize = 200_000;

#[derive(Clone, Debug)]
pub struct Scalar<'t> {
    pub text: Cow<'t, str>,
    /// Written without quotes.
    pub plain: bool,
}

/// A tag as far as it matters here.
#[derive(Clone, Debug)]
pub enum Tagged {
    No,
    /// `!!str` and `!`, by the name that the core schema gives them.
    Core(&'static str),
    /// Boxed, because events are many and such tags are few.
    Unknown(Box<(String, Mark)>),
}

#[derive(Clone, Debug)]
pub enum Event<'t> {
    /// With the version that a `%YAML` line declares.
    Document(Option<(u32, u32)>),
    Scalar(Scalar<'t>, Tagged),
    List(Tagged),
    Map(Tagged),
    /// A list or map, or the document, is over.
    End,
    Alias(usize),
    /// An alias without an anchor above it, by name.
    Unresolved(String),
    StreamEnd,
}

/// Why a document cannot be read to its end.
#[derive(Debug)]
pub enum Stop {
    Syntax(Box<ScanError>),
    TooDeep(Mark),
    /// Aliases stand for more than [`EXPANDED`] values.
    Bomb(Mark),
    /// An alias within what its anchor names.
    Cycle(Mark),
}

/// An anchored list or map that is still being read.
struct Open {
    id: usize,
    depth: usize,
    log_start: usize,
    weight_before: u64,
}

/// What is known of an anchor: where its events are kept, and how many values it stands for.
struct Anchored {
    log: std::ops::Range<usize>,
    weight: u64,
}

pub struct Events<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Of lists and maps that are open in what is read live.
    depth: usize,
    /// Values so far, each alias counted as what it stands for.
    weight: u64,
    expanded: u64,
    log: Vec<(Event<'t>, Mark)>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// Parts of the log being read again, the innermost last.
    replay: Vec<std::ops::Range<usize>>,
}

impl<'t> Events<'t> {
    pub fn new(text: &'t str) -> Self {
        // Both limits of the parser stand behind ours, which counts lists, maps and both notations together.
        let options: Options = options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            flow_nesting_limit: DEEPEST + 1,
            block_nesting_limit: DEEPEST + 1,
        };
        Self {
            parser: Parser::new_from_str_with_options(text, options),
            depth: 0,
            weight: 0,
            expanded: 0,
            log: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            replay: Vec::new(),
        }
    }

    /// The next event. An alias comes as it is: [`Events::follow`] reads what it stands for.
    pub fn next(&mut self) -> Result<(Event<'t>, Mark), Stop> {
        while let Some(part) = self.replay.last_mut() {
            match part.next().and_then(|at| self.log.get(at)) {
                Some(logged) => return Ok(logged.clone()),
                None => _ = self.replay.pop(),
            }
        }
        self.live()
    }

    /// The first event of what an alias stands for; the rest follow by [`Events::next`]. A single value takes the
    /// place of its alias.
    pub fn follow(&mut self, id: usize, alias: Mark) -> Result<(Event<'t>, Mark), Stop> {
        let anchored = self.anchors.get(&id).ok_or(Stop::Cycle(alias))?;
        let mut part = anchored.log.clone();
        let (event, mark) = part.next().and_then(|at| self.log.get(at)).cloned().ok_or(Stop::Bomb(alias))?;
        if part.is_empty() {
            return Ok((event, alias));
        }
        self.replay.push(part);
        Ok((event, mark))
    }

    /// Gives the present document up. Whether another follows.
    pub fn next_document(&mut self) -> Result<bool, Stop> {
        self.forget();
        self.parser.proceed_next_document().map_err(|error| Stop::Syntax(Box::new(error)))
    }

    fn forget(&mut self) {
        self.depth = 0;
        self.log.clear();
        self.open.clear();
        self.anchors.clear();
        self.replay.clear();
    }

    fn live(&mut self) -> Result<(Event<'t>, Mark), Stop> {
        loop {
            let (raw, span) = match self.parser.next_event() {
                None => return Ok((Event::StreamEnd, Mark::default())),
                Some(Err(error)) if *error.kind() == ErrorKind::RecursionLimitExceeded => {
                    return Err(Stop::TooDeep(mark_of_error(&error)));
                }
                Some(Err(error)) => return Err(Stop::Syntax(Box::new(error))),
                Some(Ok(read)) => read,
            };
            let mark = mark(&span);
            let tagged = |tag: Option<Cow<'t, Tag>>| {
                tagged(tag.as_deref(), || span.tag_span().map_or(mark, |tag| self::mark(&tag)))
            };
            let (event, anchor) = match raw {
                Raw::StreamEnd => return Ok((Event::StreamEnd, mark)),
                Raw::DocumentStart(_, version) => {
                    return Ok((Event::Document(version.map(|version| (version.major, version.minor))), mark));
                }
                Raw::DocumentEnd => {
                    self.forget();
                    return Ok((Event::End, mark));
                }
                Raw::Scalar(text, style, anchor, tag) => {
                    (Event::Scalar(Scalar { text, plain: style == ScalarStyle::Plain }, tagged(tag)), anchor)
                }
                Raw::SequenceStart(_, anchor, tag) => (Event::List(tagged(tag)), anchor),
                Raw::MappingStart(_, anchor, tag) => (Event::Map(tagged(tag)), anchor),
                Raw::SequenceEnd | Raw::MappingEnd => (Event::End, 0),
                Raw::Alias(id) => (Event::Alias(id), 0),
                Raw::UnresolvedAlias(name) => (Event::Unresolved(name.into_owned()), 0),
                // The stream's start, and whatever a later parser tells beside the values.
                _ => continue,
            };
            self.account(&event, mark, anchor)?;
            return Ok((event, mark));
        }
    }

    /// Counts one live event of a document's content, and keeps it where an alias may want it.
    fn account(&mut self, event: &Event<'t>, mark: Mark, anchor: usize) -> Result<(), Stop> {
        let log_start = self.log.len();
        let weight_before = self.weight;
        if (anchor > 0 || !self.open.is_empty()) && self.log.len() < LOGGED {
            self.log.push((event.clone(), mark));
        }
        match event {
            Event::List(_) | Event::Map(_) => {
                self.depth += 1;
                self.weight += 1;
                if self.depth > DEEPEST {
                    return Err(Stop::TooDeep(mark));
                }
                if anchor > 0 {
                    self.open.push(Open { id: anchor, depth: self.depth, log_start, weight_before });
                }
            }
            Event::End => {
                if let Some(Open { id, depth: _, log_start, weight_before }) =
                    self.open.pop_if(|open| open.depth == self.depth)
                {
                    let weight = self.weight - weight_before;
                    self.anchors.insert(id, Anchored { log: self.logged(log_start), weight });
                }
                self.depth = self.depth.saturating_sub(1);
            }
            Event::Alias(id) => {
                let weight = self.anchors.get(id).map_or(1, |anchored| anchored.weight);
                self.weight = self.weight.saturating_add(weight);
                self.expanded = self.expanded.saturating_add(weight - 1);
                if self.expanded > EXPANDED {
                    return Err(Stop::Bomb(mark));
                }
            }
            Event::Scalar(..) | Event::Unresolved(_) => {
                self.weight += 1;
                if anchor > 0 {
                    self.anchors.insert(anchor, Anchored { log: self.logged(log_start), weight: 1 });
                }
            }
            Event::Document(_) | Event::StreamEnd => {}
        }
        Ok(())
    }

    /// What the log holds from `start`. One that is full may lack a part: then nothing.
    fn logged(&self, start: usize) -> std::ops::Range<usize> {
        if self.log.len() < LOGGED { start..self.log.len() } else { 0..0 }
    }
}

fn tagged(tag: Option<&Tag>, mark: impl FnOnce() -> Mark) -> Tagged {
    let Some(tag) = tag else { return Tagged::No };
    if tag.original() == "!" {
        return Tagged::Core("str");
    }
    let core = ["str", "int", "bool", "null", "float", "map", "seq"];
    match core.into_iter().find(|name| tag.core_suffix() == Some(name)) {
        Some(name) => Tagged::Core(name),
        None => Tagged::Unknown(Box::new((tag.original(), mark()))),
    }
}

fn mark(span: &Span) -> Mark {
    let bytes = span.byte_range().unwrap_or_default();
    Mark {
        offset: short(bytes.start),
        length: short(bytes.len()),
        line: short(span.start.line()),
        column: short(span.start.col() + 1),
    }
}

pub fn mark_of_error(error: &ScanError) -> Mark {
    let place = error.marker();
    Mark {
        offset: short(place.byte_offset().unwrap_or_default()),
        length: 1,
        line: short(place.line()),
        column: short(place.col() + 1),
    }
}
