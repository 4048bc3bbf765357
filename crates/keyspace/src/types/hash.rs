//! Maps from strings to strings.
//!
//! A small one is packed and stays in the order of its history, as in Redis; one that has grown above the thresholds is
//! ordered by hashes, and stays so. Which of the two it is, is part of the state: OBJECT ENCODING shows it.

use std::borrow::Cow;

use crate::{
    collection::{Builder, Collection, Fields},
    packed::{self, Packed},
    rules::Rules,
    tree::Range,
    types::hashed::{Entry, Hashed},
    value::Value,
};

const LAYOUT_PACKED: u8 = 0;
const LAYOUT_HASHED: u8 = 1;

/// Redis packs no more than this into one listpack, whatever the thresholds.
const PACKED_BYTES_MAX: usize = 1 << 30;

/// See the module: 16 bytes, so that a small hash takes no allocation but that of its strings.
#[derive(Clone, Debug, Default)]
pub struct Hash(Repr);

#[derive(Clone, Debug)]
enum Repr {
    /// Field, value, field, value, ...
    Packed(Packed),
    Hashed(Box<Hashed>),
}

impl Default for Repr {
    fn default() -> Self {
        Self::Packed(Packed::new())
    }
}

impl Hash {
    /// A hash without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Packed(packed) => packed.len() / 2,
            Repr::Hashed(hashed) => hashed.len(),
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
        match &self.0 {
            Repr::Packed(_) => "listpack",
            Repr::Hashed(_) => "hashtable",
        }
    }

    /// Bytes allocated, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Repr::Packed(packed) => packed.memory_bytes(),
            Repr::Hashed(hashed) => hashed.memory_bytes(),
        }
    }

    /// The value of a field.
    pub(crate) fn get(&self, rules: &Rules, field: &[u8]) -> Option<&[u8]> {
        match &self.0 {
            Repr::Packed(packed) => {
                Pairs(packed.iter()).find(|(name, _)| *name == field).map(|(_, value)| value)
            }
            Repr::Hashed(hashed) => hashed.get(rules.hash(field), field).map(Entry::value),
        }
    }

    /// Decides how the hash is kept before these fields and values, in turn, are put in.
    ///
    /// As in Redis, so many or so long arguments decide it at once, even if fields among them repeat.
    pub(crate) fn prepare_for(&mut self, rules: &Rules, fields_and_values: &[&[u8]]) {
        let Repr::Packed(packed) = &self.0 else { return };
        let bytes: usize = fields_and_values.iter().map(|string| string.len()).sum();
        let too_long = fields_and_values.iter().any(|string| string.len() > rules.hash_value_max);
        let too_many = fields_and_values.len() / 2 > rules.hash_entries_max;
        if too_many || too_long || packed.memory_bytes() + bytes > PACKED_BYTES_MAX {
            self.make_hashed(rules);
        }
    }

    /// Gives a field a value. True if the field is new.
    pub(crate) fn set(&mut self, rules: &Rules, field: &[u8], value: &[u8]) -> bool {
        if field.len().max(value.len()) > rules.hash_value_max {
            self.make_hashed(rules);
        }
        let packed = match &mut self.0 {
            Repr::Packed(packed) => packed,
            Repr::Hashed(hashed) => return hashed.insert(rules.hash(field), field, value),
        };
        if let Some(i) = packed.find(field, 0, 2) {
            packed.replace(i + 1, value);
            return false;
        }
        packed.push(field);
        packed.push(value);
        if packed.len() / 2 > rules.hash_entries_max {
            self.make_hashed(rules);
        }
        true
    }

    /// Removes a field. False if it is not there.
    pub(crate) fn remove(&mut self, rules: &Rules, field: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Packed(packed) => {
                let found = packed.find(field, 0, 2);
                found.inspect(|&i| packed.remove(i, 2)).is_some()
            }
            Repr::Hashed(hashed) => hashed.remove(rules.hash(field), field),
        }
    }

    /// All fields with their values.
    pub(crate) fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Repr::Packed(packed) => Iter::Packed(Pairs(packed.iter())),
            Repr::Hashed(hashed) => Iter::Hashed(hashed.iter_from(0)),
        }
    }

    /// The fields at these positions, which ascend, with their values.
    pub(crate) fn at<'a>(
        &'a self,
        positions: &'a [usize],
    ) -> Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a> {
        match &self.0 {
            Repr::Packed(packed) => {
                let mut pairs = Pairs(packed.iter());
                let mut at = 0;
                Box::new(positions.iter().filter_map(move |&position| {
                    let pair = pairs.nth(position - at);
                    at = position + 1;
                    pair
                }))
            }
            Repr::Hashed(hashed) => {
                Box::new(positions.iter().filter_map(|&position| hashed.at(position)).map(pair_of))
            }
        }
    }

    /// What a large hash is made of; a small one is scanned at once.
    pub(crate) fn as_hashed(&self) -> Option<&Hashed> {
        match &self.0 {
            Repr::Packed(_) => None,
            Repr::Hashed(hashed) => Some(hashed),
        }
    }

    fn make_hashed(&mut self, rules: &Rules) {
        if let Repr::Packed(packed) = &self.0 {
            let pairs = Pairs(packed.iter());
            let entries = pairs.map(|(field, value)| Entry::new(rules.hash(field), field, value)).collect();
            self.0 = Repr::Hashed(Box::new(Hashed::new(entries)));
        }
    }

    /// What makes a hash of the parts that [`Collection`] gives.
    pub(crate) fn builder(rules: &Rules) -> Box<dyn Builder> {
        Box::new(HashBuilder { rules: *rules, parts: Packed::new() })
    }
}

fn pair_of(entry: &Entry) -> (&[u8], &[u8]) {
    (entry.key(), entry.value())
}

/// See [`Hash::iter`].
#[derive(Clone)]
pub(crate) enum Iter<'a> {
    /// Of a small hash.
    Packed(Pairs<'a>),
    /// Of a large one.
    Hashed(Range<'a, Entry>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Packed(pairs) => pairs.next(),
            Self::Hashed(entries) => entries.next().map(pair_of),
        }
    }
}

/// The strings of a packed hash, two by two.
#[derive(Clone)]
pub(crate) struct Pairs<'a>(packed::Iter<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

impl Collection for Hash {
    fn layout(&self) -> u8 {
        match &self.0 {
            Repr::Packed(_) => LAYOUT_PACKED,
            Repr::Hashed(_) => LAYOUT_HASHED,
        }
    }

    fn field_count(&self) -> usize {
        self.len() * 2
    }

    fn fields_from(&self, start: usize) -> Fields<'_> {
        match &self.0 {
            Repr::Packed(packed) => Box::new(packed.iter().skip(start).map(Cow::Borrowed)),
            Repr::Hashed(hashed) => {
                let entries = hashed.iter_from(start / 2);
                let strings = entries.flat_map(|entry| [entry.key(), entry.value()]);
                Box::new(strings.skip(start % 2).map(Cow::Borrowed))
            }
        }
    }

    fn pieces(&self) -> usize {
        match &self.0 {
            Repr::Packed(_) => 1,
            Repr::Hashed(hashed) => hashed.pieces(),
        }
    }

    fn release(&mut self, max: usize) -> usize {
        match &mut self.0 {
            Repr::Packed(_) => 0,
            Repr::Hashed(hashed) => hashed.release(max),
        }
    }
}

struct HashBuilder {
    rules: Rules,
    /// Fields and values in turn.
    parts: Packed,
}

impl Builder for HashBuilder {
    fn push(&mut self, part: &[u8]) -> bool {
        self.parts.push_checked(part)
    }

    fn finish(self: Box<Self>, layout: u8) -> Option<Value> {
        let Self { rules, parts } = *self;
        if parts.is_empty() || !parts.len().is_multiple_of(2) {
            return None;
        }
        let hash = match layout {
            LAYOUT_PACKED if !parts.all_differ(2) => return None,
            LAYOUT_PACKED => Repr::Packed(parts),
            LAYOUT_HASHED => {
                let entry = |(field, value): (&[u8], &[u8])| Entry::new(rules.hash(field), field, value);
                let entries = Pairs(parts.iter()).map(entry).collect();
                Repr::Hashed(Box::new(Hashed::from_ordered(entries)?))
            }
            _ => return None,
        };
        Some(Hash(hash).into())
    }
}

#[cfg(test)]
mod tests;
