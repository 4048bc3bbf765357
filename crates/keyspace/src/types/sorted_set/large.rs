//! A large sorted set: a tree that knows ranks, and one that knows members.

use std::{cmp::Ordering, ops::Range};

use super::Scored;
use crate::{
    rules::Rules,
    small_bytes::SmallBytes,
    tree::{Seek, Tree},
};

/// Both trees have the same members; clones of a member share its bytes.
#[derive(Clone, Debug)]
pub(super) struct Large {
    /// By (score, member).
    by_rank: Tree<Scored>,
    /// By (hash, member).
    by_member: Tree<Hashed>,
    /// Allocated by the members.
    heap_bytes: usize,
}

#[derive(Clone, Debug)]
struct Hashed {
    hash: u64,
    score: f64,
    member: SmallBytes,
}

impl Hashed {
    fn compare(&self, hash: u64, member: &[u8]) -> Ordering {
        self.hash.cmp(&hash).then_with(|| self.member.as_bytes().cmp(member))
    }
}

/// A member that is looked for.
struct Sought<'a> {
    hash: u64,
    member: &'a [u8],
}

impl<'a> Sought<'a> {
    fn new(rules: &Rules, member: &'a [u8]) -> Self {
        Self { hash: rules.hash(member), member }
    }
}

impl Seek<Hashed> for Sought<'_> {
    fn order(&self, entry: &Hashed) -> Ordering {
        entry.compare(self.hash, self.member)
    }

    fn number(entry: &Hashed) -> u64 {
        entry.hash
    }

    fn wanted(&self) -> u64 {
        self.hash
    }
}

/// A member with a score, by which it is looked for.
struct Ranked<'a> {
    score: f64,
    member: &'a [u8],
}

/// Scores are spread in any way.
impl Seek<Scored> for Ranked<'_> {
    fn order(&self, scored: &Scored) -> Ordering {
        scored.order(self.score, self.member)
    }

    fn number(_: &Scored) -> u64 {
        0
    }

    fn wanted(&self) -> u64 {
        0
    }
}

impl Large {
    /// Of members in order, no two of which are the same.
    pub(super) fn from_ordered(rules: &Rules, all: Vec<Scored>) -> Self {
        Self::from_hostile(rules, all).expect("every member is there once")
    }

    /// Of members in order; `None` if one is there twice.
    pub(super) fn from_hostile(rules: &Rules, all: Vec<Scored>) -> Option<Self> {
        let mut members: Vec<Hashed> = all.iter().map(|scored| Hashed::new(rules, scored)).collect();
        members.sort_unstable_by(|a, b| a.compare(b.hash, b.member.as_bytes()));
        if !members.is_sorted_by(|a, b| a.compare(b.hash, b.member.as_bytes()) == Ordering::Less) {
            return None;
        }
        let heap_bytes = all.iter().map(|scored| scored.member.heap_bytes()).sum();
        let (by_rank, by_member) = (Tree::from_ordered(all), Tree::from_ordered(members));
        Some(Self { by_rank, by_member, heap_bytes })
    }

    pub(super) fn by_rank(&self) -> &Tree<Scored> {
        &self.by_rank
    }

    pub(super) fn len(&self) -> usize {
        self.by_rank.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        /// In both trees, whose leaves have next to no room to spare.
        const MEMBER_BYTES: usize = (size_of::<Scored>() + size_of::<Hashed>()) * 9 / 8;
        size_of::<Self>() + self.len() * MEMBER_BYTES + self.heap_bytes
    }

    pub(super) fn score(&self, rules: &Rules, member: &[u8]) -> Option<f64> {
        self.by_member.find(&Sought::new(rules, member)).map(|entry| entry.score)
    }

    pub(super) fn rank(&self, rules: &Rules, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(rules, member)?;
        Some((self.rank_of(score, member), score))
    }

    pub(super) fn get(&self, rank: usize) -> Option<(&[u8], f64)> {
        self.by_rank.get(rank).map(Scored::pair)
    }

    pub(super) fn position(&self, is_before: impl Fn(&[u8], f64) -> bool) -> usize {
        self.by_rank.position(|scored| is_before(scored.member.as_bytes(), scored.score))
    }

    pub(super) fn iter_from_hash(&self, hash: u64) -> impl Iterator<Item = (u64, (&[u8], f64))> {
        let begin = self.by_member.position(|entry| entry.hash < hash);
        let entries = self.by_member.range(begin..self.len());
        entries.map(|entry| (entry.hash, (entry.member.as_bytes(), entry.score)))
    }

    /// Gives a member the score that `decide` makes of its old one, if it makes one.
    pub(super) fn update(
        &mut self,
        rules: &Rules,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        let sought = Sought::new(rules, member);
        let old_score = self.by_member.find(&sought).map(|entry| entry.score);
        let Some(score) = decide(old_score) else { return };
        if let Some(old_score) = old_score {
            self.by_member.update_at(&sought, |entry| entry.score = score);
            self.move_to(old_score, score, member);
            return;
        }
        let bytes = SmallBytes::new(member);
        self.heap_bytes += bytes.heap_bytes();
        self.by_rank.insert_at(&Ranked { score, member }, Scored { score, member: bytes.clone() });
        self.by_member.insert_at(&sought, Hashed { hash: sought.hash, score, member: bytes });
    }

    /// Removes a member. False if it is not there.
    pub(super) fn remove(&mut self, rules: &Rules, member: &[u8]) -> bool {
        let Some(score) = self.score(rules, member) else { return false };
        self.by_rank.remove_at(&Ranked { score, member });
        self.remove_member(rules, member);
        true
    }

    /// Removes the members at these ranks.
    pub(super) fn remove_range(&mut self, rules: &Rules, ranks: Range<usize>) {
        for _ in ranks.clone() {
            let scored = self.by_rank.remove(ranks.start).expect("a rank that exists");
            self.remove_member(rules, scored.member.as_bytes());
        }
    }

    pub(super) fn pieces(&self) -> usize {
        1 + self.by_rank.len() + self.by_member.len()
    }

    pub(super) fn release(&mut self, max: usize) -> usize {
        match self.by_member.release(max) {
            0 => self.by_rank.release(max),
            released => released,
        }
    }

    fn remove_member(&mut self, rules: &Rules, member: &[u8]) {
        let removed = self.by_member.remove_at(&Sought::new(rules, member));
        assert_eq!(removed.member.as_bytes(), member, "both trees have the same members");
        self.heap_bytes -= removed.member.heap_bytes();
    }

    /// How many stand before this place.
    fn rank_of(&self, score: f64, member: &[u8]) -> usize {
        self.by_rank.position(|scored| scored.order(score, member) == Ordering::Less)
    }

    /// Brings a member to the rank of its new score. Mostly that is the one it has.
    fn move_to(&mut self, old_score: f64, score: f64, member: &[u8]) {
        let rank = self.rank_of(old_score, member);
        let neighbour = |rank: usize| self.by_rank.get(rank).map(|scored| scored.order(score, member));
        let follows = rank == 0 || neighbour(rank - 1) == Some(Ordering::Less);
        let precedes = neighbour(rank + 1).is_none_or(|order| order == Ordering::Greater);
        if follows && precedes {
            self.by_rank.update(rank, |scored| scored.score = score);
            return;
        }
        let moved = self.by_rank.remove(rank).expect("both trees have the same members");
        debug_assert_eq!(moved.order(old_score, member), Ordering::Equal);
        let rank = self.rank_of(score, member);
        self.by_rank.insert(rank, Scored { score, ..moved });
    }
}

impl Hashed {
    fn new(rules: &Rules, scored: &Scored) -> Self {
        let hash = rules.hash(scored.member.as_bytes());
        Self { hash, score: scored.score, member: scored.member.clone() }
    }
}
