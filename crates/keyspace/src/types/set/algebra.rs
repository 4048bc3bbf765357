//! Intersections, unions and differences of sets.
//!
//! How the result is kept, and in which order, follows from the steps that Redis takes: it shows them.

use super::{Member, Set, View};
use crate::rules::Rules;

/// What is in all of the sets, of which there is at least one: gives each member to `take`, which says whether to go on.
pub(crate) fn intersection<'a>(
    rules: &Rules,
    sets: &mut [&'a Set],
    mut take: impl FnMut(Member<'a>) -> bool,
) {
    sets.sort_by_key(|set| set.len());
    let [first, others @ ..] = sets else { return };
    for member in first.iter() {
        let in_all = others.iter().all(|set| std::ptr::eq(*set, *first) || set.has(rules, member));
        if in_all && !take(member) {
            return;
        }
    }
}

impl Set {
    /// The intersection of at least one set, as SINTERSTORE stores it.
    pub(crate) fn intersection(rules: &Rules, sets: &mut [&Self]) -> Self {
        let smallest = sets.iter().min_by_key(|set| set.len());
        let of_ints = smallest.is_some_and(|set| matches!(set.view(), View::Ints(_)));
        let mut result = if of_ints { Self::default() } else { Self::packed() };
        intersection(rules, sets, |member| {
            result.put(rules, member);
            true
        });
        result.try_make_ints(rules);
        result
    }
}

/// What is in any of the sets.
pub(crate) fn union(rules: &Rules, sets: &[&Set]) -> Set {
    let mut result = Set::default();
    for member in sets.iter().flat_map(|set| set.iter()) {
        result.put(rules, member);
    }
    result
}

/// What is in the first set and in none of the others; `None` is a set that does not exist.
pub(crate) fn difference(rules: &Rules, sets: &[Option<&Set>]) -> Set {
    let Some((Some(first), others)) = sets.split_first() else { return Set::default() };
    let mut others: Vec<&Set> = others.iter().copied().flatten().collect();
    if others.iter().any(|other| std::ptr::eq(*other, *first)) {
        return Set::default();
    }
    let looking_up = first.len() * (others.len() + 1) / 2;
    let going_through = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    let mut result = Set::default();
    if looking_up <= going_through {
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        for member in first.iter() {
            if !others.iter().any(|other| other.has(rules, member)) {
                result.put(rules, member);
            }
        }
        return result;
    }
    for member in first.iter() {
        result.put(rules, member);
    }
    for member in others.iter().flat_map(|other| other.iter()) {
        if result.take(rules, member) && result.is_empty() {
            break;
        }
    }
    result
}
