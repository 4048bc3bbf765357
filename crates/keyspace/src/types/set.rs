//! Sets of strings.
//!
//! A set of integers is a sorted array, another small one is packed and stays in the order of its history, and one that
//! has grown above the thresholds is ordered by hashes, and stays so: as in Redis. Which of the three it is, is part of
//! the state: OBJECT ENCODING shows it.

mod algebra;
mod builder;
mod ints;

use std::borrow::Cow;

pub(crate) use self::algebra::{difference, intersection, union};
use self::ints::Ints;
use crate::{
    collection::{Builder, Collection, Fields},
    number::{I64_TEXT_BYTES_MAX, parse_i64},
    packed::{self, Packed},
    rules::Rules,
    tree::Range,
    types::hashed::{Entry, Hashed},
};

const LAYOUT_INTS: u8 = 0;
const LAYOUT_PACKED: u8 = 1;
const LAYOUT_HASHED: u8 = 2;

/// Redis packs no more than this into one listpack, whatever the thresholds.
const PACKED_BYTES_MAX: usize = 1 << 30;

/// Redis has no more integers than this in one array, whatever the threshold.
const INTS_MAX: usize = 1 << 30;

/// When this many times what stays is not more than what goes, a set is made anew of what stays.
const REBUILD_FACTOR: usize = 5;

/// See the module: 16 bytes, so that a small set takes no allocation but that of its members.
#[derive(Clone, Debug)]
pub struct Set(Kept);

#[derive(Clone, Debug)]
enum Kept {
    /// The bytes of [`Ints`] or of [`Packed`]; the first one tells them apart.
    Small(Box<[u8]>),
    Hashed(Box<Hashed>),
}

/// A set, to be changed.
enum Repr {
    Ints(Ints),
    Packed(Packed),
    Hashed(Box<Hashed>),
}

/// A set, to be read.
enum View<'a> {
    Ints(ints::View<'a>),
    Packed(packed::Iter<'a>),
    Hashed(&'a Hashed),
}

impl From<Repr> for Set {
    fn from(repr: Repr) -> Self {
        Self(match repr {
            Repr::Ints(ints) => Kept::Small(ints.into_bytes()),
            Repr::Packed(packed) => Kept::Small(packed.into_bytes()),
            Repr::Hashed(hashed) => Kept::Hashed(hashed),
        })
    }
}

/// A member, as the set has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Member<'a> {
    /// An integer's canonical text.
    Int(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Bytes whose hash is known.
    Hashed(&'a Entry),
}

impl<'a> Member<'a> {
    /// Its bytes; an integer is written into `scratch`.
    pub(crate) fn bytes<'b>(self, scratch: &'b mut [u8; I64_TEXT_BYTES_MAX]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(int) => {
                let mut buffer = itoa::Buffer::new();
                let text = buffer.format(int).as_bytes();
                scratch[..text.len()].copy_from_slice(text);
                &scratch[..text.len()]
            }
            Self::Bytes(bytes) => bytes,
            Self::Hashed(entry) => entry.key(),
        }
    }

    /// The integer whose canonical text it is.
    fn as_i64(self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(int),
            Self::Bytes(bytes) => parse_i64(bytes),
            Self::Hashed(entry) => parse_i64(entry.key()),
        }
    }

    fn hash(self, rules: &Rules, bytes: &[u8]) -> u64 {
        match self {
            Self::Int(_) | Self::Bytes(_) => rules.hash(bytes),
            Self::Hashed(entry) => entry.hash(),
        }
    }
}

impl Default for Set {
    fn default() -> Self {
        Repr::Ints(Ints::default()).into()
    }
}

impl Set {
    /// An empty set, about to get `members` of which `first` is the first: how it is kept is decided by their number, as
    /// in Redis, even if some of them repeat.
    pub(crate) fn for_members(rules: &Rules, first: &[u8], members: usize) -> Self {
        if parse_i64(first).is_some() && members <= rules.set_ints_max {
            Self::default()
        } else if members <= rules.set_entries_max {
            Self::packed()
        } else {
            Repr::Hashed(Box::default()).into()
        }
    }

    fn packed() -> Self {
        Repr::Packed(Packed::new()).into()
    }

    fn view(&self) -> View<'_> {
        match &self.0 {
            Kept::Small(bytes) => {
                ints::View::of(bytes).map_or_else(|| View::Packed(packed::Iter::of(bytes)), View::Ints)
            }
            Kept::Hashed(hashed) => View::Hashed(hashed),
        }
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut Repr) -> R) -> R {
        let mut repr = match &mut self.0 {
            Kept::Small(bytes) => {
                let is_ints = ints::View::of(bytes).is_some();
                let bytes = std::mem::take(bytes);
                if is_ints {
                    Repr::Ints(Ints::from_bytes(bytes))
                } else {
                    Repr::Packed(Packed::from_bytes(bytes))
                }
            }
            Kept::Hashed(_) => match std::mem::replace(&mut self.0, Kept::Small(Box::default())) {
                Kept::Hashed(hashed) => Repr::Hashed(hashed),
                Kept::Small(_) => unreachable!("it has just been seen to be hashed"),
            },
        };
        let result = change(&mut repr);
        *self = repr.into();
        result
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.view() {
            View::Ints(ints) => ints.len(),
            View::Packed(strings) => strings.len(),
            View::Hashed(hashed) => hashed.len(),
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
        match self.view() {
            View::Ints(_) => "intset",
            View::Packed(_) => "listpack",
            View::Hashed(_) => "hashtable",
        }
    }

    /// Bytes allocated, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        /// The allocation.
        const OVERHEAD_BYTES: usize = 8;
        match &self.0 {
            Kept::Small(bytes) => OVERHEAD_BYTES + bytes.len(),
            Kept::Hashed(hashed) => hashed.memory_bytes(),
        }
    }

    /// Decides how the set is kept before so many members are added, even if some of them are there already.
    pub(crate) fn prepare_for(&mut self, rules: &Rules, members: usize) {
        let too_many = match self.view() {
            View::Ints(_) => members > rules.set_ints_max,
            View::Packed(_) => members > rules.set_entries_max,
            View::Hashed(_) => false,
        };
        if too_many {
            self.make_hashed(rules);
        }
    }

    /// Whether it has this member.
    pub(crate) fn contains(&self, rules: &Rules, member: &[u8]) -> bool {
        self.has(rules, Member::Bytes(member))
    }

    fn has(&self, rules: &Rules, member: Member<'_>) -> bool {
        let mut scratch = [0; _];
        match self.view() {
            View::Ints(ints) => member.as_i64().is_some_and(|int| ints.position(int).is_ok()),
            View::Packed(mut strings) => {
                let bytes = member.bytes(&mut scratch);
                strings.any(|string| string == bytes)
            }
            View::Hashed(hashed) => {
                let bytes = member.bytes(&mut scratch);
                hashed.get(member.hash(rules, bytes), bytes).is_some()
            }
        }
    }

    /// Adds a member. False if it is there already.
    pub(crate) fn add(&mut self, rules: &Rules, member: &[u8]) -> bool {
        self.put(rules, Member::Bytes(member))
    }

    fn put(&mut self, rules: &Rules, member: Member<'_>) -> bool {
        self.change(|repr| repr.put(rules, member))
    }

    /// Removes a member. False if it is not there.
    pub(crate) fn remove(&mut self, rules: &Rules, member: &[u8]) -> bool {
        self.take(rules, Member::Bytes(member))
    }

    fn take(&mut self, rules: &Rules, member: Member<'_>) -> bool {
        self.change(|repr| repr.take(rules, member))
    }

    /// All members.
    pub(crate) fn iter(&self) -> Iter<'_> {
        match self.view() {
            View::Ints(ints) => Iter::Ints(ints, 0..ints.len()),
            View::Packed(strings) => Iter::Packed(strings),
            View::Hashed(hashed) => Iter::Hashed(hashed.iter_from(0)),
        }
    }

    /// The members at these positions, which ascend.
    pub(crate) fn at<'a>(&'a self, positions: &'a [usize]) -> Box<dyn Iterator<Item = Member<'a>> + 'a> {
        match self.view() {
            View::Ints(ints) => {
                Box::new(positions.iter().map(move |&position| Member::Int(ints.get(position))))
            }
            View::Packed(mut strings) => {
                let mut at = 0;
                Box::new(positions.iter().filter_map(move |&position| {
                    let string = strings.nth(position - at);
                    at = position + 1;
                    string.map(Member::Bytes)
                }))
            }
            View::Hashed(hashed) => {
                let entries = positions.iter().filter_map(|&position| hashed.at(position));
                Box::new(entries.map(Member::Hashed))
            }
        }
    }

    /// Removes the members at these positions, which ascend and are not all.
    ///
    /// As in Redis, a set that loses most of its members is made anew of those that stay, and may get small again.
    pub(crate) fn remove_at(&mut self, rules: &Rules, positions: &[usize]) {
        let stay = self.len() - positions.len();
        if stay * REBUILD_FACTOR <= positions.len() {
            let mut gone = positions.iter().peekable();
            let rest =
                self.iter().enumerate().filter(|(i, _)| gone.next_if(|&&position| position == *i).is_none());
            let mut set = if matches!(self.view(), View::Ints(_)) { Self::default() } else { Self::packed() };
            for (_, member) in rest {
                set.put(rules, member);
            }
            *self = set;
            return;
        }
        let positions = positions.iter().rev();
        self.change(|repr| match repr {
            Repr::Ints(ints) => positions.for_each(|&position| ints.remove(position)),
            Repr::Packed(packed) => positions.for_each(|&position| packed.remove(position, 1)),
            Repr::Hashed(hashed) => positions.for_each(|&position| hashed.remove_at(position)),
        });
    }

    /// What a large set is made of; a small one is scanned at once.
    pub(crate) fn as_hashed(&self) -> Option<&Hashed> {
        match &self.0 {
            Kept::Small(_) => None,
            Kept::Hashed(hashed) => Some(hashed),
        }
    }

    fn make_hashed(&mut self, rules: &Rules) {
        self.change(|repr| repr.make_hashed(rules));
    }

    /// Makes it a set of integers, if all members are such and they are not too many.
    fn try_make_ints(&mut self, rules: &Rules) {
        if matches!(self.view(), View::Ints(_)) || self.len() > rules.set_ints_max.min(INTS_MAX) {
            return;
        }
        let ints: Option<Vec<i64>> = self.iter().map(Member::as_i64).collect();
        if let Some(mut ints) = ints {
            ints.sort_unstable();
            *self = Repr::Ints(Ints::from_sorted(&ints)).into();
        }
    }

    /// What makes a set of the parts that [`Collection`] gives.
    pub(crate) fn builder(rules: &Rules) -> Box<dyn Builder> {
        Box::new(builder::SetBuilder::new(rules))
    }
}

impl Repr {
    fn iter(&self) -> Iter<'_> {
        match self {
            Self::Ints(ints) => Iter::Ints(ints.view(), 0..ints.view().len()),
            Self::Packed(packed) => Iter::Packed(packed.iter()),
            Self::Hashed(hashed) => Iter::Hashed(hashed.iter_from(0)),
        }
    }

    fn put(&mut self, rules: &Rules, member: Member<'_>) -> bool {
        let mut scratch = [0; _];
        match self {
            Self::Ints(ints) => {
                if let Some(int) = member.as_i64() {
                    let added = ints.insert(int);
                    if added && ints.view().len() > rules.set_ints_max.min(INTS_MAX) {
                        self.make_hashed(rules);
                    }
                    return added;
                }
                let bytes = member.bytes(&mut scratch);
                let (len, text_len) = (ints.view().len(), ints.view().longest_text_len());
                let fits = len < rules.set_entries_max
                    && bytes.len().max(text_len) <= rules.set_value_max
                    && len * (text_len + 1) + bytes.len() <= PACKED_BYTES_MAX;
                if fits {
                    self.make_packed();
                } else {
                    self.make_hashed(rules);
                }
                self.put(rules, member)
            }
            Self::Packed(packed) => {
                let bytes = member.bytes(&mut scratch);
                if packed.find(bytes, 0, 1).is_some() {
                    return false;
                }
                let fits = packed.len() < rules.set_entries_max
                    && bytes.len() <= rules.set_value_max
                    && packed.memory_bytes() + bytes.len() <= PACKED_BYTES_MAX;
                if fits {
                    packed.push(bytes);
                    return true;
                }
                self.make_hashed(rules);
                self.put(rules, member)
            }
            Self::Hashed(hashed) => {
                let bytes = member.bytes(&mut scratch);
                hashed.insert(member.hash(rules, bytes), bytes, b"")
            }
        }
    }

    fn take(&mut self, rules: &Rules, member: Member<'_>) -> bool {
        let mut scratch = [0; _];
        match self {
            Self::Ints(ints) => {
                let found = member.as_i64().and_then(|int| ints.view().position(int).ok());
                found.inspect(|&position| ints.remove(position)).is_some()
            }
            Self::Packed(packed) => {
                let found = packed.find(member.bytes(&mut scratch), 0, 1);
                found.inspect(|&position| packed.remove(position, 1)).is_some()
            }
            Self::Hashed(hashed) => {
                let bytes = member.bytes(&mut scratch);
                hashed.remove(member.hash(rules, bytes), bytes)
            }
        }
    }

    fn make_packed(&mut self) {
        let mut packed = Packed::new();
        for member in self.iter() {
            packed.push(member.bytes(&mut [0; _]));
        }
        *self = Self::Packed(packed);
    }

    fn make_hashed(&mut self, rules: &Rules) {
        let entry = |member: Member<'_>| {
            let mut scratch = [0; _];
            let bytes = member.bytes(&mut scratch);
            Entry::new(rules.hash(bytes), bytes, b"")
        };
        let entries = self.iter().map(entry).collect();
        *self = Self::Hashed(Box::new(Hashed::new(entries)));
    }
}

/// See [`Set::iter`].
#[derive(Clone)]
pub(crate) enum Iter<'a> {
    /// Of a set of integers.
    Ints(ints::View<'a>, std::ops::Range<usize>),
    /// Of a small set.
    Packed(packed::Iter<'a>),
    /// Of a large one.
    Hashed(Range<'a, Entry>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        match self {
            Self::Ints(ints, range) => range.next().map(|position| Member::Int(ints.get(position))),
            Self::Packed(strings) => strings.next().map(Member::Bytes),
            Self::Hashed(entries) => entries.next().map(Member::Hashed),
        }
    }
}

impl Collection for Set {
    fn layout(&self) -> u8 {
        match self.view() {
            View::Ints(_) => LAYOUT_INTS,
            View::Packed(_) => LAYOUT_PACKED,
            View::Hashed(_) => LAYOUT_HASHED,
        }
    }

    fn field_count(&self) -> usize {
        self.len()
    }

    fn fields_from(&self, start: usize) -> Fields<'_> {
        match self.view() {
            View::Ints(ints) => {
                let text = move |position| Cow::Owned(ints.get(position).to_string().into_bytes());
                Box::new((start..ints.len()).map(text))
            }
            View::Packed(strings) => Box::new(strings.skip(start).map(Cow::Borrowed)),
            View::Hashed(hashed) => Box::new(hashed.iter_from(start).map(|entry| Cow::Borrowed(entry.key()))),
        }
    }

    fn pieces(&self) -> usize {
        match &self.0 {
            Kept::Small(_) => 1,
            Kept::Hashed(hashed) => hashed.pieces(),
        }
    }

    fn release(&mut self, max: usize) -> usize {
        match &mut self.0 {
            Kept::Small(_) => 0,
            Kept::Hashed(hashed) => hashed.release(max),
        }
    }
}

#[cfg(test)]
mod tests;
