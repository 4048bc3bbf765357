//! Going through a sorted set.

use std::{iter::Rev, ops::Range, vec};

use super::{
    Scored,
    large::Large,
    small::{PackedPairs, Small},
};
use crate::tree;

/// Members with their scores: see [`super::SortedSet::range`].
pub(crate) struct Pairs<'a>(Repr<'a>);

enum Repr<'a> {
    Packed(std::iter::Take<PackedPairs<'a>>),
    PackedReverse(Rev<vec::IntoIter<(&'a [u8], f64)>>),
    Tree(tree::Range<'a, Scored>),
    TreeReverse(Rev<tree::Range<'a, Scored>>),
}

impl<'a> Pairs<'a> {
    pub(super) fn of_small(small: &'a Small, ranks: Range<usize>, reverse: bool) -> Self {
        assert!(ranks.end <= small.len(), "ranks up to {} of {}", ranks.end, small.len());
        let mut pairs = small.pairs();
        if ranks.start > 0 {
            pairs.nth(ranks.start - 1);
        }
        let pairs = pairs.take(ranks.len());
        if reverse {
            return Self(Repr::PackedReverse(pairs.collect::<Vec<_>>().into_iter().rev()));
        }
        Self(Repr::Packed(pairs))
    }

    pub(super) fn of_large(large: &'a Large, ranks: Range<usize>, reverse: bool) -> Self {
        let range = large.by_rank().range(ranks);
        Self(if reverse { Repr::TreeReverse(range.rev()) } else { Repr::Tree(range) })
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Repr::Packed(pairs) => pairs.next(),
            Repr::PackedReverse(pairs) => pairs.next(),
            Repr::Tree(range) => range.next().map(Scored::pair),
            Repr::TreeReverse(range) => range.next().map(Scored::pair),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Repr::Packed(pairs) => pairs.size_hint(),
            Repr::PackedReverse(pairs) => pairs.size_hint(),
            Repr::Tree(range) => range.size_hint(),
            Repr::TreeReverse(range) => range.size_hint(),
        }
    }
}

impl ExactSizeIterator for Pairs<'_> {}

impl Scored {
    pub(super) fn pair(&self) -> (&[u8], f64) {
        (self.member.as_bytes(), self.score)
    }
}
