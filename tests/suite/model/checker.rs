//! The checker: visits every state that a model can come to, breadth first, and keeps the shortest way to each.
//!
//! What crates.io has for it brings a web server along, and judges along single runs whether anything is ever settled.
//! Here that is asked of every state: is there a way from it, by one replica alone, wherever the others stand still and
//! with no more crashes, to where all is settled? States are kept whole, not as fingerprints, so that none is mistaken
//! for another.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Who steps where nobody of the program does: servers, readers, time.
pub const WORLD: u8 = u8::MAX;

/// One step, as a trace tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub who: u8,
    pub what: &'static str,
    pub sort: Sort,
}

/// Whether a step may be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// It comes, sooner or later.
    Fair,
    /// It may never come: a crash, or a change of mind.
    Perhaps,
    /// From here on nothing is heard of whoever steps, which keeps all that it holds.
    Stands,
}

/// What is checked.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;

    fn start(&self) -> Self::State;

    /// Every step that is possible in `state`, and where it leads.
    fn steps(&self, state: &Self::State, take: &mut dyn FnMut(Step, Self::State));

    /// Which promise is broken in `state`.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;

    /// All is done, and as it should be.
    fn is_settled(&self, state: &Self::State) -> bool;

    /// Each of them must be able to settle everything by itself, wherever the others stand still.
    fn soloists(&self) -> u8;
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    pub states: usize,
    pub steps: usize,
    /// Of the longest of the shortest ways.
    pub depth: usize,
}

/// A promise that does not hold, and the shortest way there.
#[derive(Debug)]
pub struct Trouble {
    pub what: String,
    pub way: Vec<String>,
}

impl Trouble {
    pub fn text(&self) -> String {
        format!("{}\n  {}", self.what, self.way.join("\n  "))
    }
}

/// A state's number: its place in the order of discovery.
type Place = u32;

struct Search<'m, M: Model> {
    model: &'m M,
    states: Vec<M::State>,
    numbers: HashMap<M::State, Place, BuildHasherDefault<Quick>>,
    /// From where each state was first come to, and how.
    from: Vec<(Place, Step)>,
    edges: Vec<(Place, Step, Place)>,
}

/// Visits all states of `model`.
///
/// Errors: the first promise that is broken, by the shortest way; or a state from which one replica alone cannot settle.
pub fn check<M: Model>(model: &M) -> Result<Checked, Trouble> {
    let mut search =
        Search { model, states: Vec::new(), numbers: HashMap::default(), from: Vec::new(), edges: Vec::new() };
    let begin = Step { who: WORLD, what: "begin", sort: Sort::Fair };
    search.reach(0, begin, model.start());
    let (mut next, mut depth, mut end_of_level) = (0, 0, 1);
    while next < search.states.len() {
        if next == end_of_level {
            (depth, end_of_level) = (depth + 1, search.states.len());
        }
        let state = search.states[next].clone();
        let here = place(next);
        if let Some(what) = model.broken(&state) {
            return Err(search.trouble(here, what.to_owned()));
        }
        model.steps(&state, &mut |step, to| {
            let to = search.reach(here, step, to);
            search.edges.push((here, step, to));
        });
        next += 1;
    }
    for who in 0..model.soloists() {
        search.settles(who)?;
    }
    Ok(Checked { states: search.states.len(), steps: search.edges.len(), depth })
}

impl<M: Model> Search<'_, M> {
    /// The number of `state`, which is new or not.
    fn reach(&mut self, from: Place, step: Step, state: M::State) -> Place {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = place(self.states.len());
        self.numbers.insert(state.clone(), number);
        self.states.push(state);
        self.from.push((from, step));
        number
    }

    /// From everywhere `who` comes to a settled state, by what may be counted on, while all others stand still.
    fn settles(&self, who: u8) -> Result<(), Trouble> {
        let mut settles: Vec<bool> = self.states.iter().map(|state| self.model.is_settled(state)).collect();
        // Ways back are short: a few sweeps, from the last found to the first, come to the end of all of them.
        loop {
            let mut is_new = false;
            for (from, step, to) in self.edges.iter().rev() {
                let counts = match step.sort {
                    Sort::Fair => step.who == who || step.who == WORLD,
                    Sort::Stands => step.who != who,
                    Sort::Perhaps => false,
                };
                if counts && settles[*to as usize] && !settles[*from as usize] {
                    settles[*from as usize] = true;
                    is_new = true;
                }
            }
            if !is_new {
                break;
            }
        }
        match settles.iter().position(|settles| !settles) {
            None => Ok(()),
            Some(stuck) => Err(self.trouble(place(stuck), format!("replica {who} alone never settles this"))),
        }
    }

    fn trouble(&self, at: Place, what: String) -> Trouble {
        let mut way = vec![format!("{:?}", self.states[at as usize])];
        let mut here = at;
        while here != 0 {
            let (from, step) = self.from[here as usize];
            way.push(if step.who == WORLD { step.what.to_owned() } else { format!("{}: {}", step.who, step.what) });
            here = from;
        }
        way.reverse();
        Trouble { what, way }
    }
}

fn place(number: usize) -> Place {
    Place::try_from(number).expect("fewer states than would fit into memory")
}

/// A hash of few instructions: the tests run without optimisation, and nobody chooses the keys.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing, folded so that the upper bits reach the lower ones.
        let mixed = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
