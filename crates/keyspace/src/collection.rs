//! What all values made of several parts have in common: how a snapshot writes them, and how they are freed.

use std::borrow::Cow;

use crate::{
    rules::Rules,
    types::{hash::Hash, list::List, set::Set, sorted_set::SortedSet, stream::Stream},
    value::Value,
};

/// The byte strings that a value consists of, in an order that follows from its contents (R11).
pub(crate) type Fields<'a> = Box<dyn Iterator<Item = Cow<'a, [u8]>> + 'a>;

/// A value that consists of byte strings: those of a list are its elements, those of a hash its fields and values in
/// turn. With its layout they say all there is to know of it.
pub(crate) trait Collection {
    /// How the value is kept, as far as anybody can see it or a later command depends on it.
    fn layout(&self) -> u8;

    /// Number of byte strings.
    fn field_count(&self) -> usize;

    /// Those from `start` on. Getting there takes at most logarithmic time, or a few microseconds.
    fn fields_from(&self, start: usize) -> Fields<'_>;

    /// Roughly how many allocations go when it goes.
    fn pieces(&self) -> usize;

    /// Frees about `max` of them and tells how many; 0 at the end.
    fn release(&mut self, max: usize) -> usize;
}

/// Makes a value of its byte strings, which may be hostile.
pub(crate) trait Builder: Send + Sync {
    /// Takes the next one. False if it cannot belong to such a value.
    fn push(&mut self, field: &[u8]) -> bool;

    /// The value, if it is one with this layout: never an empty one (apart from a stream).
    fn finish(self: Box<Self>, layout: u8) -> Option<Value>;
}

/// The bytes that say which type a value has, in a snapshot and its digest.
pub(crate) mod kind {
    /// A string; its bytes follow.
    pub(crate) const STRING: u8 = 0;
    /// A list, and so on: the byte strings follow, each as length and bytes.
    pub(crate) const LIST: u8 = 1;
    /// A set.
    pub(crate) const SET: u8 = 2;
    /// A hash.
    pub(crate) const HASH: u8 = 3;
    /// A sorted set.
    pub(crate) const SORTED_SET: u8 = 4;
    /// A stream.
    pub(crate) const STREAM: u8 = 5;
}

/// What makes a value of this kind; `None` for a string and for kinds that do not exist.
pub(crate) fn builder(kind: u8, rules: &Rules) -> Option<Box<dyn Builder>> {
    Some(match kind {
        kind::LIST => Box::new(List::new()),
        kind::SET => Set::builder(rules),
        kind::HASH => Hash::builder(rules),
        kind::SORTED_SET => SortedSet::builder(rules),
        kind::STREAM => Stream::builder(rules),
        _ => return None,
    })
}

impl Collection for List {
    fn layout(&self) -> u8 {
        Self::layout(self)
    }

    fn field_count(&self) -> usize {
        self.len()
    }

    fn fields_from(&self, start: usize) -> Fields<'_> {
        Box::new(self.iter_from(start).map(Cow::Borrowed))
    }

    fn pieces(&self) -> usize {
        1 + self.len()
    }

    fn release(&mut self, max: usize) -> usize {
        Self::release(self, max)
    }
}

impl Builder for List {
    fn push(&mut self, field: &[u8]) -> bool {
        self.push_back(field);
        true
    }

    fn finish(mut self: Box<Self>, layout: u8) -> Option<Value> {
        (!self.is_empty() && self.restore_layout(layout)).then_some(Value::List(*self))
    }
}
