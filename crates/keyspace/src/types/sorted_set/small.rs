//! A small sorted set: member and score in turn, in order, in one allocation.

use std::{cmp::Ordering, ops::Range};

use super::{
    compare,
    score::{self, ScoreBytes},
};
use crate::packed::{self, Packed};

#[derive(Clone, Debug, Default)]
pub(super) struct Small(Packed);

impl Small {
    pub(super) fn len(&self) -> usize {
        self.0.len() / 2
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// All members with their scores, in order.
    pub(super) fn pairs(&self) -> PackedPairs<'_> {
        PackedPairs(self.0.iter())
    }

    /// The member at a rank, with its score.
    pub(super) fn get(&self, rank: usize) -> Option<(&[u8], f64)> {
        self.pairs().nth(rank)
    }

    /// The rank and the score of a member.
    pub(super) fn find(&self, member: &[u8]) -> Option<(usize, f64)> {
        let mut strings = self.0.iter();
        let mut rank = 0;
        while let (Some(candidate), Some(score)) = (strings.next(), strings.next()) {
            if candidate == member {
                return Some((rank, score::decode(score)));
            }
            rank += 1;
        }
        None
    }

    /// Adds a member behind all others.
    pub(super) fn push(&mut self, member: &[u8], score: f64) {
        self.0.push(member);
        self.0.push(packed_score(score).as_bytes());
    }

    /// The same; false if it is too long for any that was packed by us.
    pub(super) fn push_checked(&mut self, member: &[u8], score: f64) -> bool {
        self.0.push_checked(member) && self.0.push_checked(packed_score(score).as_bytes())
    }

    /// Whether no member is there twice.
    pub(super) fn all_differ(&self) -> bool {
        self.0.all_differ(2)
    }

    /// Gives a member a score; `found` is where [`Self::find`] has found it.
    pub(super) fn insert(&mut self, found: Option<(usize, f64)>, member: &[u8], score: f64) {
        let is_before = |pair: &(&[u8], f64)| compare((pair.1, pair.0), (score, member)) == Ordering::Less;
        let mut rank = self.pairs().take_while(is_before).count();
        if let Some((old_rank, old_score)) = found {
            // It may stand in front of its new place itself.
            rank -= usize::from(compare((old_score, member), (score, member)) == Ordering::Less);
            if rank == old_rank {
                self.0.replace(2 * rank + 1, packed_score(score).as_bytes());
                return;
            }
            self.remove(old_rank..old_rank + 1);
        }
        self.put(rank, member, score);
    }

    /// Removes the members at these ranks.
    pub(super) fn remove(&mut self, ranks: Range<usize>) {
        self.0.remove(2 * ranks.start, 2 * ranks.len());
    }

    fn put(&mut self, rank: usize, member: &[u8], score: f64) {
        self.0.insert(2 * rank, &[member, packed_score(score).as_bytes()]);
    }
}

/// Redis keeps integers here, which have no -0.
fn packed_score(score: f64) -> ScoreBytes {
    score::encode(score + 0.0)
}

/// See [`Small::pairs`].
#[derive(Clone)]
pub(crate) struct PackedPairs<'a>(packed::Iter<'a>);

impl<'a> Iterator for PackedPairs<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, score::decode(self.0.next()?)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.0.len() / 2;
        (len, Some(len))
    }
}

impl ExactSizeIterator for PackedPairs<'_> {}
