//! What union, intersection and difference read: sorted sets, and sets, whose members all have the score 1.

use std::borrow::Cow;

use crate::{
    error::CommandError,
    rules::Rules,
    types::{
        set::{Member, Set},
        sorted_set::SortedSet,
    },
    value::Value,
};

/// What one of the keys holds.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Missing,
    Set(&'a Set),
    SortedSet(&'a SortedSet),
}

/// The score of every member of a set.
const SCORE_OF_A_SET: f64 = 1.0;

impl<'a> Source<'a> {
    pub(super) fn new(value: Option<&'a Value>) -> Result<Self, CommandError> {
        match value {
            None => Ok(Self::Missing),
            Some(Value::Set(set)) => Ok(Self::Set(set)),
            Some(Value::SortedSet(set)) => Ok(Self::SortedSet(set)),
            Some(_) => Err(CommandError::WRONG_TYPE),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Set(set) => set.len(),
            Self::SortedSet(set) => set.len(),
        }
    }

    pub(super) fn score(&self, rules: &Rules, member: &[u8]) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Set(set) => set.contains(rules, member).then_some(SCORE_OF_A_SET),
            Self::SortedSet(set) => set.score(rules, member),
        }
    }

    /// All members with their scores.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (Cow<'a, [u8]>, f64)> + 'a> {
        match *self {
            Self::Missing => Box::new(std::iter::empty()),
            Self::Set(set) => Box::new(set.iter().map(|member| (text(member), SCORE_OF_A_SET))),
            Self::SortedSet(set) => {
                Box::new(set.iter().map(|(member, score)| (Cow::Borrowed(member), score)))
            }
        }
    }
}

/// The bytes of a set's member.
pub(in crate::command) fn text(member: Member<'_>) -> Cow<'_, [u8]> {
    match member {
        Member::Int(int) => Cow::Owned(int.to_string().into_bytes()),
        Member::Bytes(bytes) => Cow::Borrowed(bytes),
        Member::Hashed(entry) => Cow::Borrowed(entry.key()),
    }
}
