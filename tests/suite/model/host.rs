//! A host and its GUIDs: several appliers, of whom one holds the lease, commands by hand, and one reader.
//!
//! What the program does is in `mint::perform` (a GUID into the hand-off, under a name of its own), `host::rows::record`
//! (the row, where it is still as the plan saw it), `Applier::round` (first the one, then the other, under the fencing
//! number), and `World::claim_where` with `hand_over` (the reader). Whoever has the lease may lose it at any time: when
//! that happens is the matter of the model of the lease. To be paused is to take no step for as long as one likes.

use super::checker::{Model, Sort, Step, WORLD};

/// How it is done, or broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    AsItIs,
    /// No transaction asks for the fencing number.
    Unfenced,
    /// It is asked for, in a transaction before the one that writes.
    CheckedOutside,
    /// The row first, the hand-off second.
    RecordedFirst,
    /// The row is written whatever it has become.
    Unexpected,
}

/// `APPLIERS` daemons and `COMMANDS` of a person, each of which makes one GUID.
pub struct Hosts<const APPLIERS: usize, const COMMANDS: usize> {
    pub rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<const A: usize, const C: usize> {
    row: Option<Row>,
    /// Active rows of the session.
    active: u8,
    /// A bit for each GUID in the hand-off. What neither the row nor anybody's hand knows is left out: it opens nothing.
    shelf: u8,
    /// The number in the file.
    wanted: u8,
    /// The reader has the row locked, and this GUID in its hands.
    reader: Option<u8>,
    appliers: [Applier; A],
    commands: [Hand; C],
    fault: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    /// The file's number last applied; 0: made by hand.
    rotation: u8,
    guid: u8,
    is_claimed: bool,
    gone: Gone,
}

/// Why the handoff has an unclaimed GUID no longer, as `Whereabouts` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gone {
    No,
    /// By the end of its life.
    Expired,
    /// Before that: with a reader that crashed, or with the store.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Applier {
    lead: Lead,
    hand: Hand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lead {
    No,
    Yes,
    /// Somebody has taken over, and it does not know.
    Stale,
}

/// What is under way. `fresh`: the generation is the one that the plan saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hand {
    Empty,
    Adjusts {
        fresh: bool,
    },
    Mints {
        rotation: u8,
        inserts: bool,
        fresh: bool,
    },
    HandedOff {
        rotation: u8,
        inserts: bool,
        fresh: bool,
        guid: u8,
    },
    /// The lease was held a moment ago.
    Checked {
        rotation: u8,
        inserts: bool,
        fresh: bool,
        guid: u8,
    },
    /// Recorded, and not handed off yet.
    Recorded {
        guid: u8,
    },
    /// A command's GUID, for whoever typed it.
    Own {
        guid: u8,
    },
    /// A command that has come to its end.
    Over,
}

impl Hand {
    fn guid(&mut self) -> Option<&mut u8> {
        match self {
            Hand::HandedOff { guid, .. }
            | Hand::Checked { guid, .. }
            | Hand::Recorded { guid }
            | Hand::Own { guid } => Some(guid),
            Hand::Empty | Hand::Adjusts { .. } | Hand::Mints { .. } | Hand::Over => None,
        }
    }

    fn outdate(&mut self) {
        if let Hand::Adjusts { fresh }
        | Hand::Mints { fresh, .. }
        | Hand::HandedOff { fresh, .. }
        | Hand::Checked { fresh, .. } = self
        {
            *fresh = false;
        }
    }
}

impl<const A: usize, const C: usize> State<A, C> {
    fn hands(&mut self) -> impl Iterator<Item = &mut Hand> {
        self.appliers.iter_mut().map(|applier| &mut applier.hand).chain(&mut self.commands)
    }

    fn hand(&mut self, who: usize) -> &mut Hand {
        if who < A { &mut self.appliers[who].hand } else { &mut self.commands[who - A] }
    }

    /// A GUID that nobody has had.
    fn mint(&mut self) -> u8 {
        let mut used: Vec<u8> = self.hands().filter_map(|hand| hand.guid().copied()).collect();
        used.extend(self.row.map(|row| row.guid));
        (0..).find(|guid| !used.contains(guid)).unwrap_or_default()
    }

    /// Names GUIDs by who knows them, so that worlds that differ in names alone are one.
    fn named(mut self) -> Self {
        let shelf = self.shelf;
        let mut names: Vec<u8> = Vec::new();
        let mut name = |guid: &mut u8| {
            let place = names.iter().position(|known| known == guid).unwrap_or_else(|| {
                names.push(*guid);
                names.len() - 1
            });
            *guid = u8::try_from(place).expect("a few GUIDs");
        };
        self.row.iter_mut().for_each(|row| name(&mut row.guid));
        self.reader.iter_mut().for_each(&mut name);
        self.hands().filter_map(Hand::guid).for_each(name);
        self.shelf = (0..).zip(&names).map(|(new, old)| ((shelf >> old) & 1) << new).sum();
        self
    }

    fn has(&self, guid: u8) -> bool {
        (self.shelf >> guid) & 1 == 1
    }

    /// `Host::diff`: what the files want of the row. The number 0 is adopted, not rotated (`is_adopted`).
    fn plan(&self) -> Hand {
        match self.row {
            None => Hand::Mints { rotation: self.wanted, inserts: true, fresh: true },
            Some(row) if row.rotation == 0 && self.wanted == 1 && row.gone == Gone::No => Hand::Adjusts { fresh: true },
            Some(row) if row.rotation < self.wanted => {
                Hand::Mints { rotation: self.wanted, inserts: false, fresh: true }
            }
            Some(row) if row.gone == Gone::Lost => Hand::Mints { rotation: row.rotation, inserts: false, fresh: true },
            Some(_) => Hand::Empty,
        }
    }
}

impl<const A: usize, const C: usize> Hosts<A, C> {
    /// `Applier::round`, the first half: a name of its own in the hand-off for each try.
    fn perform(&self, state: &State<A, C>, who: usize) -> Option<State<A, C>> {
        let mut next = state.clone();
        match *next.hand(who) {
            Hand::Mints { rotation, inserts, fresh } => {
                let guid = next.mint();
                next.shelf &= !(1 << guid);
                if self.rule != Rule::RecordedFirst {
                    next.shelf |= 1 << guid;
                }
                *next.hand(who) = Hand::HandedOff { rotation, inserts, fresh, guid };
            }
            Hand::HandedOff { rotation, inserts, fresh, guid } if self.rule == Rule::CheckedOutside && who < A => {
                let held = state.appliers[who].lead == Lead::Yes;
                *next.hand(who) = if held { Hand::Checked { rotation, inserts, fresh, guid } } else { Hand::Empty };
            }
            Hand::Recorded { guid } => {
                next.shelf |= 1 << guid;
                *next.hand(who) = if who < A { Hand::Empty } else { Hand::Own { guid } };
            }
            _ => return None,
        }
        Some(next)
    }

    /// The second half: one transaction, which waits for whoever has the row locked.
    fn record(&self, state: &State<A, C>, who: usize) -> Option<State<A, C>> {
        let mut next = state.clone();
        let hand = *next.hand(who);
        let waits = self.rule == Rule::CheckedOutside && who < A;
        if state.reader.is_some() {
            return None;
        }
        let (is_mint, fresh) = match hand {
            Hand::Adjusts { fresh } => (false, fresh),
            Hand::HandedOff { fresh, .. } if !waits => (true, fresh),
            Hand::Checked { fresh, .. } => (true, fresh),
            _ => return None,
        };
        let is_replaced = who < A && state.appliers[who].lead == Lead::Stale;
        *next.hand(who) = Hand::Empty;
        if is_replaced && !(self.rule == Rule::Unfenced || matches!(hand, Hand::Checked { .. })) {
            next.appliers[who].lead = Lead::No;
            return Some(next);
        }
        if !(fresh || (is_mint && self.rule == Rule::Unexpected)) {
            // Somebody else was first: it is planned again.
            return Some(next);
        }
        if is_replaced {
            next.fault = Some("an applier that was replaced has written");
        }
        if let Hand::HandedOff { rotation, inserts, guid, .. } | Hand::Checked { rotation, inserts, guid, .. } = hand {
            next.active = if inserts { state.active + 1 } else { state.active };
            next.row = Some(Row { rotation, guid, is_claimed: false, gone: Gone::No });
            next.hands().for_each(Hand::outdate);
            *next.hand(who) = match (self.rule, who < A) {
                (Rule::RecordedFirst, _) => Hand::Recorded { guid },
                (_, true) => Hand::Empty,
                (_, false) => Hand::Own { guid },
            };
        } else if let Some(row) = &mut next.row {
            row.rotation = state.wanted;
            // The number is part of what an adjustment expects; a new GUID asks for the generation alone.
            next.hands().filter(|hand| matches!(hand, Hand::Adjusts { .. })).for_each(Hand::outdate);
        }
        Some(next)
    }

    fn applier(&self, state: &State<A, C>, who: usize, take: &mut dyn FnMut(Step, State<A, C>)) {
        let step = |what, sort| Step { who: name(who), what, sort };
        let Applier { lead, hand } = state.appliers[who];
        let mut next = state.clone();
        if lead == Lead::No {
            let others = next.appliers.iter_mut().filter(|other| other.lead == Lead::Yes);
            others.for_each(|other| other.lead = Lead::Stale);
            next.appliers[who].lead = Lead::Yes;
            return take(step("takes the lease", Sort::Fair), next);
        }
        if hand == Hand::Empty {
            next.appliers[who].hand = state.plan();
            take(step("looks and plans", Sort::Fair), next);
        }
        let mut next = state.clone();
        next.appliers[who] = Applier { lead: Lead::No, hand: Hand::Empty };
        take(step("crashes", Sort::Perhaps), next);
    }

    /// `World::by_hand`: without the lease, by the row's expectation alone; then `claim_own`.
    fn command(&self, state: &State<A, C>, who: usize, take: &mut dyn FnMut(Step, State<A, C>)) {
        let step = |what, sort| Step { who: name(who), what, sort };
        let mut next = state.clone();
        match state.commands[who - A] {
            Hand::Empty => {
                let rotation = state.row.map_or(0, |row| row.rotation);
                *next.hand(who) = Hand::Mints { rotation, inserts: state.row.is_none(), fresh: true };
                take(step("is typed, looks and plans", Sort::Perhaps), next);
            }
            Hand::Own { guid } if state.reader.is_none() => {
                if let Some(row) = next.row.as_mut().filter(|row| row.guid == guid) {
                    row.is_claimed |= state.has(guid);
                }
                next.shelf &= !(1 << guid);
                *next.hand(who) = Hand::Over;
                take(step("claims its own", Sort::Perhaps), next);
            }
            _ => {}
        }
        if !matches!(state.commands[who - A], Hand::Empty | Hand::Over) {
            let mut next = state.clone();
            *next.hand(who) = Hand::Over;
            take(step("crashes", Sort::Perhaps), next);
        }
    }

    /// `claim_where`: the claim is written, which locks the row; then the GUID is taken; then the claim is committed.
    fn reader(state: &State<A, C>, take: &mut dyn FnMut(Step, State<A, C>)) {
        let perhaps = |what| Step { who: WORLD, what, sort: Sort::Perhaps };
        let Some(row) = state.row else { return };
        let mut next = state.clone();
        match state.reader {
            None if !row.is_claimed && state.has(row.guid) => {
                (next.reader, next.shelf) = (Some(row.guid), state.shelf & !(1 << row.guid));
                take(perhaps("the reader takes the GUID"), next);
                let mut next = state.clone();
                (next.row, next.shelf) = (Some(Row { gone: Gone::Expired, ..row }), state.shelf & !(1 << row.guid));
                take(perhaps("the GUID's life in the hand-off is over"), next);
                let mut next = state.clone();
                (next.row, next.shelf) = (Some(Row { gone: Gone::Lost, ..row }), state.shelf & !(1 << row.guid));
                take(perhaps("the hand-off loses the GUID before its time"), next);
            }
            None => {}
            Some(_) => {
                (next.reader, next.row) = (None, Some(Row { is_claimed: true, ..row }));
                take(Step { who: WORLD, what: "the reader records its claim", sort: Sort::Fair }, next);
                let mut next = state.clone();
                (next.reader, next.row) = (None, Some(Row { gone: Gone::Lost, ..row }));
                take(perhaps("the reader crashes"), next);
            }
        }
    }
}

fn name(who: usize) -> u8 {
    u8::try_from(who).expect("a few of them")
}

impl<const A: usize, const C: usize> Model for Hosts<A, C> {
    type State = State<A, C>;

    fn start(&self) -> State<A, C> {
        let appliers = [Applier { lead: Lead::No, hand: Hand::Empty }; A];
        let commands = [Hand::Empty; C];
        State { row: None, active: 0, shelf: 0, wanted: 1, reader: None, appliers, commands, fault: None }
    }

    fn steps(&self, state: &State<A, C>, take: &mut dyn FnMut(Step, State<A, C>)) {
        let take = &mut |step, next: State<A, C>| take(step, next.named());
        for who in 0..A + C {
            let sort = if who < A { Sort::Fair } else { Sort::Perhaps };
            let step = |what| Step { who: name(who), what, sort };
            self.perform(state, who).into_iter().for_each(|next| take(step("performs"), next));
            self.record(state, who).into_iter().for_each(|next| take(step("records"), next));
            if who < A { self.applier(state, who, take) } else { self.command(state, who, take) }
        }
        Self::reader(state, take);
        if state.wanted == 1 {
            take(
                Step { who: WORLD, what: "the file asks for another", sort: Sort::Perhaps },
                State { wanted: 2, ..state.clone() },
            );
        }
    }

    fn broken(&self, state: &State<A, C>) -> Option<&'static str> {
        if let Some(Row { rotation: _, guid, is_claimed, gone }) = state.row {
            let can_be_had = is_claimed || gone != Gone::No || state.has(guid) || state.reader == Some(guid);
            if !can_be_had {
                return Some("a GUID is valid that nobody can have, and nobody is told");
            }
        }
        state.fault.or((state.active > 1).then_some("two active GUIDs for one session"))
    }

    /// The file's number is applied; its GUID was claimed, or waits, or is told to be lost.
    fn is_settled(&self, state: &State<A, C>) -> bool {
        state.row.is_some_and(|row| row.rotation == state.wanted) && state.active == 1 && state.reader.is_none()
    }

    fn soloists(&self) -> u8 {
        name(A)
    }
}
