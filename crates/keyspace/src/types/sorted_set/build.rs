//! A sorted set of the parts that a snapshot holds.

use std::cmp::Ordering;

use super::{LAYOUT_LISTPACK, LAYOUT_SKIPLIST, Repr, Scored, SortedSet, large::Large, score, small::Small};
use crate::{collection::Builder, rules::Rules, small_bytes::SmallBytes, value::Value};

pub(super) struct SortedSetBuilder {
    rules: Rules,
    /// In order.
    all: Vec<Scored>,
    /// A member whose score is still to come.
    member: Option<SmallBytes>,
}

impl SortedSetBuilder {
    pub(super) fn new(rules: &Rules) -> Self {
        Self { rules: *rules, all: Vec::new(), member: None }
    }
}

impl Builder for SortedSetBuilder {
    fn push(&mut self, field: &[u8]) -> bool {
        let Some(member) = self.member.take() else {
            self.member = Some(SmallBytes::new(field));
            return true;
        };
        let Some(score) = score::decode_strictly(field) else { return false };
        let follows =
            self.all.last().is_none_or(|last| last.order(score, member.as_bytes()) == Ordering::Less);
        self.all.push(Scored { score, member });
        follows
    }

    fn finish(self: Box<Self>, layout: u8) -> Option<Value> {
        if self.all.is_empty() || self.member.is_some() {
            return None;
        }
        let repr = match layout {
            LAYOUT_LISTPACK => Repr::Small(small(&self.all)?),
            LAYOUT_SKIPLIST => Repr::Large(Box::new(Large::from_hostile(&self.rules, self.all)?)),
            _ => return None,
        };
        Some(SortedSet(repr).into())
    }
}

/// `None` if a member is there twice, or something cannot be packed.
fn small(all: &[Scored]) -> Option<Small> {
    let is_negative_zero = |scored: &Scored| scored.score == 0.0 && scored.score.is_sign_negative();
    let mut small = Small::default();
    for scored in all {
        if is_negative_zero(scored) || !small.push_checked(scored.member.as_bytes(), scored.score) {
            return None;
        }
    }
    small.all_differ().then_some(small)
}
