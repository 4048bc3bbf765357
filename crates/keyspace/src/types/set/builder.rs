//! A set from the bytes of a snapshot, which may be hostile.

use quorate_planted::{Bug, is_planted};

use super::{LAYOUT_HASHED, LAYOUT_INTS, LAYOUT_PACKED, Repr, Set, ints::Ints};
use crate::{
    collection::Builder,
    number::parse_i64,
    packed::Packed,
    rules::Rules,
    types::hashed::{Entry, Hashed},
    value::Value,
};

/// See the module.
pub(super) struct SetBuilder {
    rules: Rules,
    members: Packed,
}

impl SetBuilder {
    pub(super) fn new(rules: &Rules) -> Self {
        Self { rules: *rules, members: Packed::new() }
    }
}

impl Builder for SetBuilder {
    fn push(&mut self, member: &[u8]) -> bool {
        self.members.push_checked(member)
    }

    fn finish(self: Box<Self>, layout: u8) -> Option<Value> {
        let Self { rules, members } = *self;
        if members.is_empty() {
            return None;
        }
        let repr = match layout {
            LAYOUT_INTS => {
                let ints: Vec<i64> = members.iter().map(parse_i64).collect::<Option<_>>()?;
                if !ints.is_sorted_by(|a, b| a < b) {
                    return None;
                }
                Repr::Ints(Ints::from_sorted(&ints))
            }
            LAYOUT_PACKED if !members.all_differ(1) => return None,
            LAYOUT_PACKED if is_planted(Bug::OrderByHistory) => Repr::Packed(backwards(&members)),
            LAYOUT_PACKED => Repr::Packed(members),
            LAYOUT_HASHED => {
                let entry = |member| Entry::new(rules.hash(member), member, b"");
                Repr::Hashed(Box::new(Hashed::from_ordered(members.iter().map(entry).collect())?))
            }
            _ => return None,
        };
        Some(Set::from(repr).into())
    }
}

/// A planted bug: the same members in another order.
fn backwards(members: &Packed) -> Packed {
    let mut other = Packed::new();
    members.iter().rev().for_each(|member| other.push(member));
    other
}
