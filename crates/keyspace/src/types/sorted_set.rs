//! Strings in the order of their scores.
//!
//! A small one is packed: member and score in turn, in order. A large one is two trees: in the order of (score, member),
//! which knows ranks, and in the order of (hash, member), which finds the score of a member. The hash is keyed by the
//! cluster's secret. So the order of scans and random picks follow from the contents alone (R11).
//!
//! Scores are never NaN. -0 and 0 are equal in order; a packed score has no -0, as in Redis.

mod build;
mod large;
mod pairs;
mod score;
mod small;

use std::{borrow::Cow, cmp::Ordering, ops::Range};

pub(crate) use self::pairs::Pairs;
use self::{build::SortedSetBuilder, large::Large, small::Small};
use crate::{
    collection::{Builder, Collection, Fields},
    rules::Rules,
    small_bytes::SmallBytes,
};

const LAYOUT_LISTPACK: u8 = 0;
const LAYOUT_SKIPLIST: u8 = 1;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct SortedSet(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Small(Small),
    Large(Box<Large>),
}

impl Default for Repr {
    fn default() -> Self {
        Self::Small(Small::default())
    }
}

/// A member with its score.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    /// Never NaN.
    pub(crate) score: f64,
    /// See above.
    pub(crate) member: SmallBytes,
}

impl Scored {
    fn order(&self, score: f64, member: &[u8]) -> Ordering {
        compare((self.score, self.member.as_bytes()), (score, member))
    }
}

/// The order of a sorted set.
pub(crate) fn compare(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(b.1))
}

impl SortedSet {
    /// One that is about to get `count` members, the first of which has this length: those decide how it begins.
    #[must_use]
    pub(crate) fn for_members(rules: &Rules, count: usize, first_len: usize) -> Self {
        let mut set = Self::default();
        if first_len > rules.zset_value_max {
            set.make_large(rules);
        }
        set.expect(rules, count);
        set
    }

    /// Of these, no two of which have the same member.
    pub(crate) fn of(rules: &Rules, mut all: Vec<Scored>) -> Self {
        all.sort_unstable_by(|a, b| a.order(b.score, b.member.as_bytes()));
        let fits = |scored: &Scored| scored.member.as_bytes().len() <= rules.zset_value_max;
        if all.len() <= rules.zset_entries_max && all.iter().all(fits) {
            let mut small = Small::default();
            all.iter().for_each(|scored| small.push(scored.member.as_bytes(), scored.score));
            return Self(Repr::Small(small));
        }
        Self(Repr::Large(Box::new(Large::from_ordered(rules, all))))
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Small(small) => small.len(),
            Repr::Large(large) => large.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        if self.is_packed() { "listpack" } else { "skiplist" }
    }

    /// Whether it is kept as a small one.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.0, Repr::Small(_))
    }

    /// Bytes allocated, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Repr::Small(small) => small.memory_bytes(),
            Repr::Large(large) => large.memory_bytes(),
        }
    }

    /// The score of a member.
    pub(crate) fn score(&self, rules: &Rules, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Repr::Small(small) => small.find(member).map(|(_, score)| score),
            Repr::Large(large) => large.score(rules, member),
        }
    }

    /// The rank of a member, counted from 0, and its score.
    pub(crate) fn rank(&self, rules: &Rules, member: &[u8]) -> Option<(usize, f64)> {
        match &self.0 {
            Repr::Small(small) => small.find(member),
            Repr::Large(large) => large.rank(rules, member),
        }
    }

    /// The member of this rank.
    pub(crate) fn get(&self, rank: usize) -> Option<(&[u8], f64)> {
        match &self.0 {
            Repr::Small(small) => small.get(rank),
            Repr::Large(large) => large.get(rank),
        }
    }

    /// The number of members at the beginning for which `is_before` holds. It must hold for no member behind one for
    /// which it does not.
    pub(crate) fn position(&self, is_before: impl Fn(&[u8], f64) -> bool) -> usize {
        match &self.0 {
            Repr::Small(small) => {
                small.pairs().take_while(|(member, score)| is_before(member, *score)).count()
            }
            Repr::Large(large) => large.position(is_before),
        }
    }

    /// The members of these ranks; the last one first if `reverse`.
    ///
    /// # Panics
    /// If the range ends beyond the end.
    pub(crate) fn range(&self, ranks: Range<usize>, reverse: bool) -> Pairs<'_> {
        match &self.0 {
            Repr::Small(small) => Pairs::of_small(small, ranks, reverse),
            Repr::Large(large) => Pairs::of_large(large, ranks, reverse),
        }
    }

    /// All members in order.
    pub(crate) fn iter(&self) -> Pairs<'_> {
        self.range(0..self.len(), false)
    }

    /// The members of a large one from a hash on, in the order of hashes, with them. Of a small one: nothing.
    pub(crate) fn iter_from_hash(&self, hash: u64) -> impl Iterator<Item = (u64, (&[u8], f64))> {
        let large = match &self.0 {
            Repr::Small(_) => None,
            Repr::Large(large) => Some(large.iter_from_hash(hash)),
        };
        large.into_iter().flatten()
    }

    /// Prepares for `count` members that are about to come, whether they are there already or not: more than a small one
    /// may have make it a large one, as in Redis.
    pub(crate) fn expect(&mut self, rules: &Rules, count: usize) {
        if count > rules.zset_entries_max {
            self.make_large(rules);
        }
    }

    /// Gives a member the score that `decide` makes of its old one, if it makes one. A score must not be NaN.
    pub(crate) fn update(
        &mut self,
        rules: &Rules,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        if let Repr::Small(small) = &mut self.0 {
            let found = small.find(member);
            let Some(score) = decide(found.map(|(_, score)| score)) else { return };
            let has_room = small.len() < rules.zset_entries_max && member.len() <= rules.zset_value_max;
            if found.is_some() || has_room {
                small.insert(found, member, score);
            } else {
                self.make_large(rules).update(rules, member, |_| Some(score));
            }
        } else {
            self.make_large(rules).update(rules, member, decide);
        }
    }

    /// Removes a member. False if it is not there.
    pub(crate) fn remove(&mut self, rules: &Rules, member: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Small(small) => {
                let found = small.find(member);
                found.inspect(|(rank, _)| small.remove(*rank..rank + 1)).is_some()
            }
            Repr::Large(large) => large.remove(rules, member),
        }
    }

    /// Removes the members of these ranks.
    pub(crate) fn remove_range(&mut self, rules: &Rules, ranks: Range<usize>) {
        match &mut self.0 {
            Repr::Small(small) => small.remove(ranks),
            Repr::Large(large) => large.remove_range(rules, ranks),
        }
    }

    fn make_large(&mut self, rules: &Rules) -> &mut Large {
        if let Repr::Small(small) = &self.0 {
            let scored = |(member, score)| Scored { score, member: SmallBytes::new(member) };
            let large = Large::from_ordered(rules, small.pairs().map(scored).collect());
            self.0 = Repr::Large(Box::new(large));
        }
        match &mut self.0 {
            Repr::Large(large) => large,
            Repr::Small(_) => unreachable!("it has just been made large"),
        }
    }

    /// What makes one of the parts that [`Collection`] gives.
    pub(crate) fn builder(rules: &Rules) -> Box<dyn Builder> {
        Box::new(SortedSetBuilder::new(rules))
    }
}

/// Member and score in turn, in order.
impl Collection for SortedSet {
    fn layout(&self) -> u8 {
        if self.is_packed() { LAYOUT_LISTPACK } else { LAYOUT_SKIPLIST }
    }

    fn field_count(&self) -> usize {
        2 * self.len()
    }

    fn fields_from(&self, start: usize) -> Fields<'_> {
        let pairs = self.range(start / 2..self.len(), false);
        let fields = pairs.flat_map(|(member, score)| {
            [Cow::Borrowed(member), Cow::Owned(score::encode(score).as_bytes().to_vec())]
        });
        Box::new(fields.skip(start % 2))
    }

    fn pieces(&self) -> usize {
        match &self.0 {
            Repr::Small(_) => 1,
            Repr::Large(large) => large.pieces(),
        }
    }

    fn release(&mut self, max: usize) -> usize {
        match &mut self.0 {
            Repr::Small(_) => 0,
            Repr::Large(large) => large.release(max),
        }
    }
}

#[cfg(test)]
mod tests;
