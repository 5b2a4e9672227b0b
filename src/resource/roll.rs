//! A million resources of one kind in little memory: what each wants as a few packed bytes, file by file, and an index
//! over all of them in the order of their keys.
//!
//! As typed values in a map a million sessions take a quarter of a gigabyte; so they take less than a hundred megabytes,
//! and a row of the database is compared with them without a copy of either. A file that has not changed keeps its page.

mod marks;

use std::fmt;
use std::sync::Arc;

use super::{Declared, Resource};
use crate::yaml::{Item, Place, Problem};
pub use marks::Marks;

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
    protect: Option<bool>,
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

    /// The keys, with what is wanted of each and what its line says of protection: equal texts, equal wishes.
    pub fn wishes(&self) -> impl Iterator<Item = (R::Key, &[u8], Option<bool>)> {
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
    /// Those with the line `protect: true`, by their numbers.
    protects: Marks,
    /// Those with the line `protect: false`.
    lifts: Marks,
}

impl<R: Compact> Default for Roll<R> {
    fn default() -> Self {
        Self { pages: Vec::new(), index: Vec::new(), protects: Marks::default(), lifts: Marks::default() }
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
        let (mut protects, mut lifts) = (Marks::none(count), Marks::none(count));
        for (number, spot) in index.iter().enumerate() {
            match line(&pages, *spot).and_then(|line| line.protect) {
                Some(true) => protects.set(number, true),
                Some(false) => lifts.set(number, true),
                None => {}
            }
        }
        Self { pages, index, protects, lifts }
    }

    /// Those with the line `protect: true`, by their numbers.
    pub fn protects(&self) -> &Marks {
        &self.protects
    }

    /// Those with the line `protect: false`.
    pub fn lifts(&self) -> &Marks {
        &self.lifts
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

    /// Whether its file protects the resource with that number.
    pub fn is_protected(&self, number: usize) -> bool {
        self.index.get(number).and_then(|spot| line(&self.pages, *spot)).is_some_and(|line| line.protect == Some(true))
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
        let Self { pages, index, protects, lifts } = self;
        let (protects, lifts) = (protects.clone(), lifts.clone());
        Self { pages: pages.clone(), index: index.clone(), protects, lifts }
    }
}

impl<R: Compact> fmt::Debug for Roll<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {}", self.len(), R::KIND.plural)
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

        fn wrong(&mut self, _: &'static Section, _: &Item<'_>) {}

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
        assert_eq!((eight.place.to_string().as_str(), eight.protect), ("c.yaml:3:3", Some(true)));
        assert_eq!(eight.value.title.as_deref(), Some("Session 8"));
        assert!(roll.get(&SessionId(2)).is_none() && roll.declared(5).is_none() && roll.packed(5).is_empty());
        let mut hint = 0;
        for (id, number) in [(1, Some(0)), (2, None), (3, Some(1)), (10, Some(4)), (11, None), (7, Some(2))] {
            assert_eq!(roll.number_after(&SessionId(id), &mut hint), number, "{id}");
            assert_eq!(roll.number(&SessionId(id)), number, "{id}");
        }
        assert_eq!(roll.clashes().count(), 0);
        let keys =
            |marks: &Marks| marks.iter().filter_map(|number| roll.key(number)).map(|id| id.0).collect::<Vec<_>>();
        assert_eq!((keys(roll.protects()), keys(roll.lifts())), (vec![8, 10], vec![1, 3, 7]));
    }

    #[test]
    fn what_stands_twice_clashes_once() {
        let roll = Roll::gather(vec![("b.yaml".into(), page(&[7, 3, 7])), ("c.yaml".into(), page(&[3, 7, 9]))]);
        assert_eq!(roll.clashes().collect::<Vec<_>>(), [SessionId(3), SessionId(7)]);
    }
}
