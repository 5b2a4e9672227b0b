//! A million resources of one kind in little memory: what each wants as a few packed bytes, file by file, and an index
//! over all of them in the order of their keys.
//!
//! As typed values in a map a million sessions take a quarter of a gigabyte; so they take less than a hundred megabytes,
//! and a row of the database is compared with them without a copy of either. A file that has not changed keeps its page.

use std::fmt;
use std::sync::Arc;

use super::{Declared, Resource};
use crate::yaml::{Item, Place, Problem};

/// A kind whose wishes can be packed.
///
/// Guarantees: equal wishes pack to equal bytes; what is unpacked equals what was packed.
pub trait Compact: Resource<Key: Copy> {
    /// Appends the wish to `bytes`.
    fn pack(&self, bytes: &mut Vec<u8>);

    /// Appends what a checked item of a file wishes, without a copy of it in between.
    ///
    /// Errors: what the item's fields contradict in each other; then nothing is appended.
    fn pack_item(item: &Item<'_>, bytes: &mut Vec<u8>) -> Result<Self::Key, Vec<Problem>>;

    fn unpack(bytes: &[u8]) -> Self;
}

/// What one file declares of a kind, in the order of its lines.
pub struct Page<R: Compact> {
    lines: Vec<Line<R::Key>>,
    bytes: Vec<u8>,
}

/// One resource of a page: its bytes end where those of the next begin.
struct Line<K> {
    key: K,
    start: u32,
    line: u32,
    column: u32,
    protect: bool,
}

impl<R: Compact> Default for Page<R> {
    fn default() -> Self {
        Self { lines: Vec::new(), bytes: Vec::new() }
    }
}

impl<R: Compact> Page<R> {
    /// Takes what an item of the file declares.
    ///
    /// Errors: what the item's fields contradict in each other.
    pub fn take(&mut self, item: &Item<'_>) -> Result<(), Vec<Problem>> {
        let Place { file: _, line, column } = item.place();
        // A file has at most as many bytes as 32 bits count, and packing makes nothing longer.
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let key = R::pack_item(item, &mut self.bytes)?;
        self.lines.push(Line { key, start, line, column, protect: item.protect() });
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.bytes.clear();
    }

    /// Gives back the memory that nothing was put in.
    pub fn shrink(&mut self) {
        self.lines.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    /// How much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.lines)
    }

    /// The keys, with what is wanted of each and whether it is protected: equal texts, equal wishes.
    pub fn wishes(&self) -> impl Iterator<Item = (R::Key, &[u8], bool)> {
        self.lines.iter().enumerate().map(|(number, line)| (line.key, self.packed(number), line.protect))
    }

    fn packed(&self, number: usize) -> &[u8] {
        let start = self.lines.get(number).map_or(0, |line| line.start as usize);
        let end = self.lines.get(number + 1).map_or(self.bytes.len(), |next| next.start as usize);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// Where a resource stands: the number of its page, and its number there. Its key stands there alone: a million of them
/// once more would be 8 MB.
#[derive(Clone, Copy)]
struct Spot {
    page: u32,
    line: u32,
}

type Pages<R> = Vec<(Arc<str>, Arc<Page<R>>)>;

/// All pages together, by key.
pub struct Roll<R: Compact> {
    pages: Pages<R>,
    index: Vec<Spot>,
}

impl<R: Compact> Default for Roll<R> {
    fn default() -> Self {
        Self { pages: Vec::new(), index: Vec::new() }
    }
}

impl<R: Compact> Roll<R> {
    /// Puts the pages in order, each with the name of its file.
    pub fn gather(pages: Pages<R>) -> Self {
        let count = pages.iter().map(|(_, page)| page.lines.len()).sum();
        let mut index = Vec::with_capacity(count);
        for (number, (_, page)) in (0..).zip(&pages) {
            index.extend((0..).zip(&page.lines).map(|(line, _)| Spot { page: number, line }));
        }
        // Files are mostly in order already, which this sort makes use of; it keeps the order of equal keys.
        index.sort_by_key(|spot| line(&pages, *spot).map(|line| line.key));
        Self { pages, index }
    }

    fn key_at(&self, spot: Spot) -> Option<R::Key> {
        line(&self.pages, spot).map(|line| line.key)
    }

    fn search(&self, key: &R::Key) -> Result<usize, usize> {
        self.index.binary_search_by(|spot| self.key_at(*spot).as_ref().cmp(&Some(key)))
    }

    /// The keys that stand more than once, each once.
    pub fn clashes(&self) -> impl Iterator<Item = R::Key> {
        let same = self.index.chunk_by(|one, next| self.key_at(*one) == self.key_at(*next));
        same.filter(|same| same.len() > 1).filter_map(|same| self.key_at(*same.first()?))
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn contains_key(&self, key: &R::Key) -> bool {
        self.number(key).is_some()
    }

    /// The number of a key, counted in the order of the keys.
    pub fn number(&self, key: &R::Key) -> Option<usize> {
        self.search(key).ok()
    }

    /// The number of the first key that comes after this one, which need not be there itself.
    pub fn number_behind(&self, key: &R::Key) -> usize {
        self.search(key).map_or_else(|place| place, |number| number + 1)
    }

    /// As [`Roll::number`]; quick where keys are asked for in their order. `hint` is to be kept from one call to the
    /// next, and is 0 at the first.
    pub fn number_after(&self, key: &R::Key, hint: &mut usize) -> Option<usize> {
        if self.key(*hint).is_some_and(|next| next == *key) {
            *hint += 1;
            return Some(*hint - 1);
        }
        match self.search(key) {
            Ok(number) => {
                *hint = number + 1;
                Some(number)
            }
            Err(place) => {
                *hint = place;
                None
            }
        }
    }

    /// The key with that number.
    pub fn key(&self, number: usize) -> Option<R::Key> {
        self.key_at(*self.index.get(number)?)
    }

    /// What is wanted of the resource with that number, packed.
    pub fn packed(&self, number: usize) -> &[u8] {
        let wish = self.index.get(number).and_then(|spot| {
            let (_, page) = self.pages.get(spot.page as usize)?;
            Some(page.packed(spot.line as usize))
        });
        wish.unwrap_or_default()
    }

    /// The resource with that number.
    pub fn declared(&self, number: usize) -> Option<(R::Key, Declared<R>)> {
        let spot = self.index.get(number)?;
        let (file, page) = self.pages.get(spot.page as usize)?;
        let line = line(&self.pages, *spot)?;
        let place = Place { file: Arc::clone(file), line: line.line, column: line.column };
        let value = R::unpack(page.packed(spot.line as usize));
        Some((line.key, Declared { value, place, protect: line.protect }))
    }

    pub fn get(&self, key: &R::Key) -> Option<Declared<R>> {
        self.declared(self.number(key)?).map(|(_, declared)| declared)
    }
}

fn line<R: Compact>(pages: &Pages<R>, spot: Spot) -> Option<&Line<R::Key>> {
    pages.get(spot.page as usize)?.1.lines.get(spot.line as usize)
}

impl<R: Compact> Clone for Roll<R> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), index: self.index.clone() }
    }
}

impl<R: Compact> fmt::Debug for Roll<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {}", self.len(), R::KIND.plural)
    }
}

/// A yes or no for each number below a length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Marks {
    words: Vec<u64>,
    length: usize,
}

impl Marks {
    /// `length` times no.
    pub fn none(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(64)], length }
    }

    /// `length` times yes.
    pub fn all(length: usize) -> Self {
        let mut marks = Self { words: vec![u64::MAX; length.div_ceil(64)], length };
        if let (Some(last), rest @ 1..) = (marks.words.last_mut(), length % 64) {
            *last = (1 << rest) - 1;
        }
        marks
    }

    /// Beyond the length it is no.
    pub fn has(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Does nothing beyond the length.
    pub fn set(&mut self, number: usize, yes: bool) {
        let Some(word) = self.words.get_mut(number / 64).filter(|_| number < self.length) else { return };
        match yes {
            true => *word |= 1 << (number % 64),
            false => *word &= !(1 << (number % 64)),
        }
    }

    /// How often it is yes.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The numbers below `length` that are no, or all where nothing is known of them.
    pub fn unset(&self, length: usize) -> impl Iterator<Item = usize> {
        (0..length.div_ceil(64)).flat_map(move |at| {
            let mut left = !self.words.get(at).copied().unwrap_or(0);
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                let number = at * 64 + bit;
                (bit < 64 && number < length).then_some(number)
            })
        })
    }

    /// The numbers that are yes, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(at * 64 + bit)
            })
        })
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::session::{Session, SessionId};
    use crate::yaml::{self, Section};

    /// As the reader of files makes it.
    #[derive(Default)]
    struct Taken(Page<Session>);

    impl yaml::Sheet for Taken {
        fn insert(&mut self, _: &'static Section, item: &Item<'_>) -> Vec<Problem> {
            self.0.take(item).err().unwrap_or_default()
        }

        fn clear(&mut self) {
            self.0.clear();
        }
    }

    fn page(ids: &[i64]) -> Arc<Page<Session>> {
        static SECTIONS: [Section; 1] = [Session::SECTION];
        let one = |id: &i64| format!("- {{id: {id}, title: Session {id}, protect: {}}}\n", id % 2 == 0);
        let text = format!("sessions:\n{}", ids.iter().map(one).collect::<String>());
        let mut taken = Taken::default();
        assert!(yaml::read("a.yaml".into(), text.as_bytes(), 1 << 20, &SECTIONS, &mut taken).is_empty());
        Arc::new(taken.0)
    }

    #[test]
    fn every_resource_is_found_where_it_stands() {
        let roll = Roll::gather(vec![("b.yaml".into(), page(&[7, 3, 10])), ("c.yaml".into(), page(&[1, 8]))]);
        let keys: Vec<i64> = (0..roll.len()).filter_map(|number| roll.key(number)).map(|id| id.0).collect();
        assert_eq!(keys, [1, 3, 7, 8, 10]);
        let eight = roll.get(&SessionId(8)).unwrap();
        assert_eq!((eight.place.to_string().as_str(), eight.protect), ("c.yaml:3:3", true));
        assert_eq!(eight.value.title.as_deref(), Some("Session 8"));
        assert!(roll.get(&SessionId(2)).is_none() && roll.declared(5).is_none() && roll.packed(5).is_empty());
        let mut hint = 0;
        for (id, number) in [(1, Some(0)), (2, None), (3, Some(1)), (10, Some(4)), (11, None), (7, Some(2))] {
            assert_eq!(roll.number_after(&SessionId(id), &mut hint), number, "{id}");
            assert_eq!(roll.number(&SessionId(id)), number, "{id}");
        }
        assert_eq!(roll.clashes().count(), 0);
    }

    #[test]
    fn what_stands_twice_clashes_once() {
        let roll = Roll::gather(vec![("b.yaml".into(), page(&[7, 3, 7])), ("c.yaml".into(), page(&[3, 7, 9]))]);
        assert_eq!(roll.clashes().collect::<Vec<_>>(), [SessionId(3), SessionId(7)]);
    }

    #[test]
    fn marks_count_what_is_set() {
        for length in [0, 1, 63, 64, 65, 200] {
            let (mut none, mut all) = (Marks::none(length), Marks::all(length));
            assert_eq!((none.count(), all.count()), (0, length));
            assert_eq!(none.unset(length).count(), length);
            assert_eq!(all.unset(length).count(), 0);
            assert_eq!(all.iter().collect::<Vec<_>>(), (0..length).collect::<Vec<_>>());
            none.set(length, true);
            all.set(length / 2, false);
            none.set(length / 2, true);
            assert!(!none.has(length) && !all.has(length / 2));
            assert_eq!(all.unset(length).collect::<Vec<_>>(), none.iter().collect::<Vec<_>>());
        }
        assert_eq!(Marks::default().unset(3).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
