//! Lists of strings.
//!
//! A short one is packed into one allocation. One that has outgrown that is made of chunks and stays so: see [`long`].
//! Which of the two it is, and where chunks begin and end, depends on the list's history, and nothing that a client can
//! see depends on it (R11).

mod chunk;
mod edit;
mod long;
mod range;

use std::fmt;

use long::Long;
pub use range::Range;
use range::Repr as RangeRepr;

use crate::{number::parse_i64, packed::Packed};

/// Most elements of a short list: what finding one may have to walk over.
const SHORT_ELEMENTS_MAX: usize = 64;

/// Most bytes of a short list, about: what a change may have to move, or to copy after a snapshot.
const SHORT_BYTES_MAX: usize = 512;

const LAYOUT_LISTPACK: u8 = 0;
const LAYOUT_QUICKLIST: u8 = 1;

/// One of the two ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Before the first element: LPUSH, LPOP.
    Front,
    /// Behind the last element: RPUSH, RPOP.
    Back,
}

/// A list value: 16 bytes, so that a short list takes no allocation but that of its elements.
#[derive(Clone, Default)]
pub struct List(Repr);

#[derive(Clone)]
enum Repr {
    /// `OBJECT ENCODING` says `listpack`.
    Short(Packed),
    Long(Box<Long>),
}

impl Default for Repr {
    fn default() -> Self {
        Self::Short(Packed::new())
    }
}

/// How large a list may get before `OBJECT ENCODING` says `quicklist`: the parameter
/// `list-max-listpack-size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListpackLimit {
    bytes: usize,
    elements: usize,
    parameter: i64,
}

impl ListpackLimit {
    /// Reads the parameter: a positive number limits the elements (and the bytes to 8 KiB), -1 to -5 the
    /// bytes to 4, 8, 16, 32, 64 KiB.
    #[must_use]
    pub const fn new(list_max_listpack_size: i64) -> Self {
        let (bytes, elements) = match list_max_listpack_size {
            0 => (8 << 10, 1),
            1.. => (8 << 10, list_max_listpack_size as usize),
            -4..=-1 => ((2 << 10) << -list_max_listpack_size, usize::MAX),
            _ => (64 << 10, usize::MAX),
        };
        Self { bytes, elements, parameter: list_max_listpack_size }
    }

    /// The parameter as it was given.
    pub(crate) const fn parameter(self) -> i64 {
        self.parameter
    }
}

impl Default for ListpackLimit {
    /// Redis's default of -2: 8 KiB.
    fn default() -> Self {
        Self::new(-2)
    }
}

impl List {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Short(packed) => packed.len(),
            Repr::Long(long) => long.len,
        }
    }

    /// Whether the list has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an element at an end.
    pub fn push(&mut self, end: End, element: &[u8]) {
        match (self.short_with_room(element), end) {
            (Some(packed), End::Front) => packed.insert(0, &[element]),
            (Some(packed), End::Back) => packed.push(element),
            (None, _) => self.long_mut().push(end, element),
        }
    }

    /// Adds an element behind the last.
    pub fn push_back(&mut self, element: &[u8]) {
        self.push(End::Back, element);
    }

    /// The element at an end.
    #[must_use]
    pub fn peek(&self, end: End) -> Option<&[u8]> {
        match (&self.0, end) {
            (Repr::Short(packed), End::Front) => packed.iter().next(),
            (Repr::Short(packed), End::Back) => packed.iter().next_back(),
            (Repr::Long(long), _) => long.peek(end),
        }
    }

    /// Removes the element at an end; false if there is none.
    pub fn remove(&mut self, end: End) -> bool {
        match &mut self.0 {
            Repr::Short(packed) => {
                let Some(last) = packed.len().checked_sub(1) else { return false };
                packed.remove(if end == End::Front { 0 } else { last }, 1);
                true
            }
            Repr::Long(long) => long.remove(end),
        }
    }

    /// The element at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        match &self.0 {
            Repr::Short(packed) => packed.iter().nth(index),
            Repr::Long(long) => long.get(index),
        }
    }

    /// Up to `count` elements from index `start` on; reversible.
    #[must_use]
    pub fn range(&self, start: usize, count: usize) -> Range<'_> {
        Range(match &self.0 {
            Repr::Short(packed) => RangeRepr::Short(packed.range(start, count)),
            Repr::Long(long) => RangeRepr::Long(long.range(start, count)),
        })
    }

    /// Elements from `start` on, first to last.
    #[must_use]
    pub fn iter_from(&self, start: usize) -> Range<'_> {
        self.range(start, usize::MAX)
    }

    /// Replaces the element at `index`. False if there is none.
    pub fn set(&mut self, index: usize, element: &[u8]) -> bool {
        if index >= self.len() {
            return false;
        }
        match self.short_with_room(element) {
            Some(packed) => packed.replace(index, element),
            None => self.long_mut().set(index, element),
        }
        true
    }

    /// Adds an element before the one at `index`, or at the end if there is none.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        let index = index.min(self.len());
        match self.short_with_room(element) {
            Some(packed) => packed.insert(index, &[element]),
            None => self.long_mut().insert(index, element),
        }
    }

    /// Drops everything but `count` elements from `start` on.
    pub fn keep(&mut self, start: usize, count: usize) {
        match &mut self.0 {
            Repr::Short(packed) => {
                let start = start.min(packed.len());
                let end = start + count.min(packed.len() - start);
                packed.remove(end, packed.len() - end);
                packed.remove(0, start);
            }
            Repr::Long(long) => long.keep(start, count),
        }
    }

    /// Removes the elements at these indices, which ascend; all of them equal `element`.
    pub fn remove_equal(&mut self, element: &[u8], indices: &[usize]) {
        match &mut self.0 {
            Repr::Short(packed) => indices.iter().rev().for_each(|&index| packed.remove(index, 1)),
            Repr::Long(long) => long.remove_equal(element, indices),
        }
    }

    /// Decides the encoding of a list that is about to get `elements` at once.
    ///
    /// As in Redis, the decision counts their bytes before they are packed, so that many small ones may
    /// exceed the limit until the next push.
    pub fn encode_for_growth(&mut self, limit: ListpackLimit, elements: &[&[u8]]) {
        let bytes = self.listpack_total_bytes() + elements.iter().map(|element| element.len()).sum::<usize>();
        if bytes > limit.bytes || self.len() + elements.len() > limit.elements {
            self.mark_as_quicklist();
        }
    }

    /// Decides the encoding of a list that has lost elements: only one below half of the limit goes back to a
    /// listpack.
    pub fn encode_after_shrinking(&mut self, limit: ListpackLimit) {
        if self.shrinks(limit) {
            self.long_mut().quicklist = false;
        }
    }

    /// Whether [`List::encode_after_shrinking`] would change the encoding.
    #[must_use]
    pub fn shrinks(&self, limit: ListpackLimit) -> bool {
        let fits = self.listpack_total_bytes() <= limit.bytes / 2 && self.len() <= limit.elements / 2;
        self.is_quicklist() && fits
    }

    fn listpack_total_bytes(&self) -> usize {
        /// The total, the count, and the end mark.
        const HEADER_AND_END_BYTES: usize = 7;
        let elements = match &self.0 {
            Repr::Short(packed) => packed.iter().map(listpack_entry_bytes).sum(),
            Repr::Long(long) => long.listpack_bytes,
        };
        HEADER_AND_END_BYTES + elements
    }

    /// How many listpacks of this limit the elements fill, and their bytes: both follow from the contents.
    pub(crate) fn listpacks(&self, limit: ListpackLimit) -> (usize, usize) {
        let bytes = self.listpack_total_bytes();
        (bytes.div_ceil(limit.bytes).max(self.len().div_ceil(limit.elements)), bytes)
    }

    fn is_quicklist(&self) -> bool {
        matches!(&self.0, Repr::Long(long) if long.quicklist)
    }

    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        if self.is_quicklist() { "quicklist" } else { "listpack" }
    }

    /// What the encoding depends on beside the elements: a snapshot and a digest must hold it too (R11).
    #[must_use]
    pub fn layout(&self) -> u8 {
        if self.is_quicklist() { LAYOUT_QUICKLIST } else { LAYOUT_LISTPACK }
    }

    /// Called once all elements of a restored list are pushed. False if `layout` is none.
    #[must_use]
    pub fn restore_layout(&mut self, layout: u8) -> bool {
        if layout == LAYOUT_QUICKLIST {
            self.mark_as_quicklist();
        }
        matches!(layout, LAYOUT_LISTPACK | LAYOUT_QUICKLIST)
    }

    /// `OBJECT ENCODING` says `quicklist`, whatever the size.
    pub(crate) fn mark_as_quicklist(&mut self) {
        self.long_mut().quicklist = true;
    }

    /// Frees at least one and about `elements_max` elements of a list that is going away; returns how many
    /// are gone, at most `elements_max`. 0 if the rest goes at once.
    ///
    /// What a clone shares goes a segment at a time, which costs nothing.
    pub fn release(&mut self, elements_max: usize) -> usize {
        match &mut self.0 {
            Repr::Short(_) => 0,
            Repr::Long(long) => long.release(elements_max),
        }
    }

    /// Bytes allocated for the elements, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Repr::Short(packed) => packed.memory_bytes(),
            Repr::Long(long) => long.memory_bytes(),
        }
    }

    /// The elements, if there is room for one more among them.
    fn short_with_room(&mut self, element: &[u8]) -> Option<&mut Packed> {
        let Repr::Short(packed) = &mut self.0 else { return None };
        let has_room =
            packed.len() < SHORT_ELEMENTS_MAX && packed.memory_bytes() + element.len() <= SHORT_BYTES_MAX;
        has_room.then_some(packed)
    }

    fn long_mut(&mut self) -> &mut Long {
        if let Repr::Short(packed) = &self.0 {
            let mut long = Long::default();
            packed.iter().for_each(|element| long.push(End::Back, element));
            self.0 = Repr::Long(Box::new(long));
        }
        match &mut self.0 {
            Repr::Long(long) => long,
            Repr::Short(_) => unreachable!("it has just been made long"),
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter_from(0).map(|element| element.escape_ascii().to_string())).finish()
    }
}

/// What an element takes in Redis's listpack: head, data, and the length for walking backwards.
fn listpack_entry_bytes(element: &[u8]) -> usize {
    let encoded = match parse_i64(element) {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-0x8000..=0x7fff) => 3,
        Some(-0x80_0000..=0x7f_ffff) => 4,
        Some(-0x8000_0000..=0x7fff_ffff) => 5,
        Some(_) => 9,
        None => match element.len() {
            len @ ..64 => 1 + len,
            len @ 64..4096 => 2 + len,
            len => 5 + len,
        },
    };
    let backwards = match encoded {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    encoded + backwards
}

#[cfg(test)]
mod tests;
