//! One bit for each of many resources, by their number.

use std::fmt;

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

    /// Where both say yes.
    pub fn and(&self, other: &Marks) -> Marks {
        let words = self.words.iter().zip(&other.words).map(|(one, other)| one & other).collect();
        Marks { words, length: self.length.min(other.length) }
    }

    /// Where this says yes and the other does not.
    pub fn and_not(&self, other: &Marks) -> Marks {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        Marks { words: self.words.iter().zip(others).map(|(one, other)| one & !other).collect(), length: self.length }
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
            assert_eq!(all.and(&none).count(), 0);
            assert_eq!((all.and_not(&none), none.and_not(&Marks::default())), (all.clone(), none.clone()));
        }
        assert_eq!(Marks::default().unset(3).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
