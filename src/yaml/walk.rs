//! One step through a document: the next key, the next value, or past what is not wanted; and how it is reported.

use std::borrow::Cow;

use super::advice;
use super::complaint::AFTER_A_SECRET;
use super::core::Core;
use super::events::{Event, Scalar, Stop, Tagged};
use super::excerpt::quoted;
use super::read::Reader;
use super::source::Mark;
use super::suspect::{secret_key, secret_value};
use super::syntax::TAKE_THE_TAG;
use super::value::nearest;
use crate::credential;

/// A value, its aliases followed.
pub enum Node<'t> {
    Scalar(Scalar<'t>),
    List,
    Map,
    /// Reported already.
    Wrong,
    /// The list or map that was being read is over.
    End,
}

pub enum Key<'t> {
    Named(Cow<'t, str>, Mark),
    /// Reported already.
    Wrong,
    End,
}

impl<'t> Reader<'t> {
    pub fn key(&mut self) -> Result<Key<'t>, Stop> {
        let (event, mark) = self.events.next()?;
        let (what, hint) = match event {
            Event::Scalar(scalar, tag) => {
                let core = if scalar.plain { Core::of(&scalar.text) } else { Core::Text };
                if let Tagged::Unknown(unknown) = tag {
                    let (name, mark) = *unknown;
                    let message = format!("the tag {} means nothing here", quoted(&name, self.guids));
                    self.report(mark, message, Some(TAKE_THE_TAG.to_owned()));
                }
                match (&*scalar.text, core) {
                    ("<<", _) => ("merge keys (`<<`) are not supported".to_owned(), "write the fields out"),
                    (_, Core::Text) => return Ok(Key::Named(scalar.text, mark)),
                    ("~", _) if !self.stands_at(mark, "~") => {
                        ("no key stands before the colon".to_owned(), "name a field or kind")
                    }
                    (text, core) => (
                        format!("a key is text, not {}: {}", core.name(), quoted(text, self.guids)),
                        "name a field or kind",
                    ),
                }
            }
            Event::Alias(_) | Event::Unresolved(_) => ("an alias cannot be a key".to_owned(), "write the key out"),
            Event::List(_) | Event::Map(_) => {
                self.skip_open(matches!(event, Event::Map(_)), false)?;
                ("a key is text, not a list or a map".to_owned(), "name a field or kind")
            }
            Event::End | Event::Document(_) | Event::StreamEnd => return Ok(Key::End),
        };
        self.report(mark, what, Some(hint.to_owned()));
        Ok(Key::Wrong)
    }

    /// Whether `text` is what is written there.
    fn stands_at(&self, mark: Mark, text: &str) -> bool {
        self.source.text.get(mark.offset as usize..).is_some_and(|rest| rest.starts_with(text))
    }

    /// The next value. Follows an alias, and checks the tag.
    pub fn node(&mut self) -> Result<(Node<'t>, Mark), Stop> {
        let (mut event, mut mark) = self.events.next()?;
        while let Event::Alias(id) = event {
            (event, mark) = self.events.follow(id, mark)?;
        }
        let (node, tag) = match event {
            Event::Scalar(scalar, tag) => (Node::Scalar(scalar), tag),
            Event::List(tag) => (Node::List, tag),
            Event::Map(tag) => (Node::Map, tag),
            Event::Unresolved(name) => {
                let message = format!("no anchor above names {}", quoted(&format!("*{name}"), self.guids));
                self.report(mark, message, Some("if the text begins with `*`, put it in quotes".to_owned()));
                return Ok((Node::Wrong, mark));
            }
            Event::Alias(_) | Event::End | Event::Document(_) | Event::StreamEnd => return Ok((Node::End, mark)),
        };
        let node = match (node, tag) {
            (node, Tagged::No) | (node @ Node::List, Tagged::Core("seq")) | (node @ Node::Map, Tagged::Core("map")) => {
                node
            }
            (Node::Scalar(scalar), Tagged::Core("str")) => Node::Scalar(Scalar { plain: false, ..scalar }),
            (Node::Scalar(scalar), Tagged::Core(tag)) if tag_of(Core::of(&scalar.text)) == tag => {
                Node::Scalar(Scalar { plain: true, ..scalar })
            }
            (node, tag) => {
                let (name, mark) = match tag {
                    Tagged::Unknown(unknown) => *unknown,
                    Tagged::Core(name) => (format!("!!{name}"), mark),
                    Tagged::No => (String::new(), mark),
                };
                let message = format!("the tag {} does not fit here", quoted(&name, self.guids));
                self.report(mark, message, Some(TAKE_THE_TAG.to_owned()));
                self.skip_node(node, mark)?;
                Node::Wrong
            }
        };
        Ok((node, mark))
    }

    /// Passes over a value that is not wanted, without following aliases, and looks it over for secrets.
    pub fn skip(&mut self) -> Result<(), Stop> {
        self.skip_below(false)
    }

    /// The same where the key above has already been reported as a secret's.
    pub fn skip_below(&mut self, known_secret: bool) -> Result<(), Stop> {
        let (event, mark) = self.events.next()?;
        match event {
            Event::Scalar(scalar, _) if !known_secret => _ = self.suspect(&scalar.text, mark, None),
            Event::List(_) | Event::Map(_) => self.skip_open(matches!(event, Event::Map(_)), known_secret)?,
            _ => {}
        }
        Ok(())
    }

    pub fn skip_node(&mut self, node: Node<'t>, mark: Mark) -> Result<(), Stop> {
        match node {
            // That it is in the wrong place has been said; that it is a credential has not.
            Node::Scalar(scalar) if credential::first(&scalar.text).is_some() => {
                self.suspect(&scalar.text, mark, None);
                Ok(())
            }
            Node::List => self.skip_open(false, false),
            Node::Map => self.skip_open(true, false),
            Node::Scalar(_) | Node::Wrong | Node::End => Ok(()),
        }
    }

    /// Passes over the rest of a list or map that is open.
    fn skip_open(&mut self, is_map: bool, known_secret: bool) -> Result<(), Stop> {
        struct Level {
            is_map: bool,
            key_next: bool,
            secret: bool,
        }
        let mut levels = vec![Level { is_map, key_next: is_map, secret: known_secret }];
        while let Some(level) = levels.last_mut() {
            let is_key = level.key_next;
            level.key_next = level.is_map && !is_key;
            let secret = level.secret;
            let (event, mark) = self.events.next()?;
            match event {
                Event::Scalar(scalar, _) if is_key => {
                    level.secret = known_secret || secret_key(&scalar.text);
                    if level.secret && !known_secret {
                        self.secret_key(&scalar.text, mark);
                    } else if !known_secret {
                        self.suspect(&scalar.text, mark, None);
                    }
                }
                Event::Scalar(scalar, _) if !secret => _ = self.suspect(&scalar.text, mark, None),
                Event::List(_) | Event::Map(_) => {
                    let is_map = matches!(event, Event::Map(_));
                    levels.push(Level { is_map, key_next: is_map, secret });
                }
                Event::End => _ = levels.pop(),
                Event::Document(_) | Event::StreamEnd => return Ok(()),
                Event::Scalar(..) | Event::Alias(_) | Event::Unresolved(_) => {}
            }
        }
        Ok(())
    }

    /// Reports a text that looks like a secret.
    pub fn suspect(&mut self, text: &str, mark: Mark, field: Option<&str>) -> bool {
        let found = secret_value(text, self.guids);
        if let Some(what) = found {
            let message = match field {
                Some(field) => format!("{field} looks like {what}, and a state file holds no secret"),
                None => format!("this looks like {what}, and a state file holds no secret"),
            };
            self.report(mark, message, Some(AFTER_A_SECRET.to_owned()));
        }
        found.is_some()
    }

    fn secret_key(&mut self, name: &str, mark: Mark) {
        let message = format!("{} looks like a secret, and a state file holds none", quoted(name, self.guids));
        self.report(mark, message, Some(AFTER_A_SECRET.to_owned()));
    }

    pub fn unknown(&mut self, what: &str, name: &str, mark: Mark, known: Vec<&'static str>) {
        if self.out.problems.is_full() {
            return self.out.problems.count_error();
        }
        if secret_key(name) {
            return self.secret_key(name, mark);
        }
        if self.suspect(name, mark, None) {
            return;
        }
        let hint = match (advice::key(name, &known), nearest(name, known.iter().copied())) {
            (Some(hint), _) => hint,
            (None, Some(meant)) => format!("did you mean `{meant}`?"),
            (None, None) => format!("known here: {}", known.join(", ")),
        };
        self.report(mark, format!("unknown {what} {}", quoted(name, self.guids)), Some(hint));
    }

    pub fn twice(&mut self, name: &str, mark: Mark, first: Mark) {
        let message = format!("{} stands twice", quoted(name, self.guids));
        self.report_with(mark, message, Some("keep one of the two".to_owned()), Some((first, "first here")));
    }

    pub fn report(&mut self, mark: Mark, message: String, hint: Option<String>) {
        self.report_with(mark, message, hint, None);
    }

    pub fn report_with(&mut self, mark: Mark, message: String, hint: Option<String>, also: Option<(Mark, &str)>) {
        if self.out.problems.is_full() {
            return self.out.problems.count_error();
        }
        let mut problem = self.source.problem(mark, message, self.guids);
        problem.hint = hint;
        problem.also = also.map(|(mark, what)| (self.source.place(mark), what.to_owned()));
        self.out.problems.push(problem);
    }
}

/// The core schema's tag for what a text is.
fn tag_of(core: Core) -> &'static str {
    match core {
        Core::Null => "null",
        Core::Flag => "bool",
        Core::Decimal | Core::OtherBase => "int",
        Core::Float => "float",
        Core::Text => "str",
    }
}
