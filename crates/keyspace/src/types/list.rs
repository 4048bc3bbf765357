//! Lists of strings.
//!
//! A list is a deque of segments, a segment a deque of chunks, a chunk up to 128 packed elements. Three fixed
//! levels make both ends constant time, an index a walk over counts, and a clone for a snapshot a walk over
//! segments: 65536 elements and more for each count that is raised. Whoever changes the list afterwards
//! copies one segment's pointers and one chunk.
//!
//! Where chunks begin and end depends on the list's history, and nothing that a client can see depends on it
//! (R11).

mod chunk;
mod edit;
mod range;

use std::{collections::VecDeque, fmt, sync::Arc};

use chunk::Chunk;
pub use range::Range;

use crate::number::parse_i64;

/// Most chunks in a segment.
const SEGMENT_CHUNKS_MAX: usize = 512;

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

/// A list value.
#[derive(Clone, Default)]
pub struct List {
    /// None is empty.
    segments: VecDeque<Arc<Segment>>,
    len: usize,
    /// Sum of the elements' lengths.
    element_bytes: usize,
    /// Sum of what each element would take in a listpack.
    listpack_bytes: usize,
    /// Whether `OBJECT ENCODING` says `quicklist`. It depends on how the list got to its size.
    quicklist: bool,
}

/// Neighbouring chunks, with the number of elements in them.
#[derive(Clone, Default)]
struct Segment {
    /// None is empty.
    chunks: VecDeque<Chunk>,
    len: usize,
}

/// How large a list may get before `OBJECT ENCODING` says `quicklist`: the parameter
/// `list-max-listpack-size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListpackLimit {
    bytes: usize,
    elements: usize,
}

impl ListpackLimit {
    /// Reads the parameter: a positive number limits the elements (and the bytes to 8 KiB), -1 to -5 the
    /// bytes to 4, 8, 16, 32, 64 KiB.
    #[must_use]
    pub const fn new(list_max_listpack_size: i64) -> Self {
        match list_max_listpack_size {
            0 => Self { bytes: 8 << 10, elements: 1 },
            1.. => Self { bytes: 8 << 10, elements: list_max_listpack_size as usize },
            -4..=-1 => Self { bytes: (2 << 10) << -list_max_listpack_size, elements: usize::MAX },
            _ => Self { bytes: 64 << 10, elements: usize::MAX },
        }
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
        self.len
    }

    /// Whether the list has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an element at an end.
    pub fn push(&mut self, end: End, element: &[u8]) {
        let pushed = at_end_mut(&mut self.segments, end)
            .is_some_and(|segment| Arc::make_mut(segment).push(end, element));
        if !pushed {
            let segment = Arc::new(Segment::new(element));
            add_at_end(&mut self.segments, end, segment);
        }
        self.len += 1;
        self.element_bytes += element.len();
        self.listpack_bytes += listpack_entry_bytes(element);
    }

    /// Adds an element behind the last.
    pub fn push_back(&mut self, element: &[u8]) {
        self.push(End::Back, element);
    }

    /// The element at an end.
    #[must_use]
    pub fn peek(&self, end: End) -> Option<&[u8]> {
        at_end(&self.segments, end).map(|segment| segment.peek(end))
    }

    /// Removes the element at an end; false if there is none.
    pub fn remove(&mut self, end: End) -> bool {
        let Some(segment) = at_end_mut(&mut self.segments, end) else {
            return false;
        };
        let element = segment.peek(end);
        self.len -= 1;
        self.element_bytes -= element.len();
        self.listpack_bytes -= listpack_entry_bytes(element);
        if segment.len == 1 {
            remove_at_end(&mut self.segments, end);
        } else {
            Arc::make_mut(segment).remove(end);
        }
        true
    }

    /// The element at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index < self.len { self.range(index, 1).next() } else { None }
    }

    /// Up to `count` elements from index `start` on; reversible.
    #[must_use]
    pub fn range(&self, start: usize, count: usize) -> Range<'_> {
        Range::new(self, start, count)
    }

    /// Elements from `start` on, first to last.
    #[must_use]
    pub fn iter_from(&self, start: usize) -> Range<'_> {
        self.range(start, usize::MAX)
    }

    /// Decides the encoding of a list that is about to get `elements` at once.
    ///
    /// As in Redis, the decision counts their bytes before they are packed, so that many small ones may
    /// exceed the limit until the next push.
    pub fn encode_for_growth(&mut self, limit: ListpackLimit, elements: &[&[u8]]) {
        let bytes = self.listpack_total_bytes() + elements.iter().map(|element| element.len()).sum::<usize>();
        self.quicklist |= bytes > limit.bytes || self.len + elements.len() > limit.elements;
    }

    /// Decides the encoding of a list that has lost elements: only one below half of the limit goes back to a
    /// listpack.
    pub fn encode_after_shrinking(&mut self, limit: ListpackLimit) {
        self.quicklist &= !self.shrinks(limit);
    }

    /// Whether [`List::encode_after_shrinking`] would change the encoding.
    #[must_use]
    pub fn shrinks(&self, limit: ListpackLimit) -> bool {
        let fits = self.listpack_total_bytes() <= limit.bytes / 2 && self.len <= limit.elements / 2;
        self.quicklist && fits
    }

    fn listpack_total_bytes(&self) -> usize {
        /// The total, the count, and the end mark.
        const HEADER_AND_END_BYTES: usize = 7;
        HEADER_AND_END_BYTES + self.listpack_bytes
    }

    /// The name that `OBJECT ENCODING` answers.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        if self.quicklist { "quicklist" } else { "listpack" }
    }

    /// What the encoding depends on beside the elements: a snapshot and a digest must hold it too (R11).
    #[must_use]
    pub fn layout(&self) -> u8 {
        if self.quicklist { LAYOUT_QUICKLIST } else { LAYOUT_LISTPACK }
    }

    /// Called once all elements of a restored list are pushed. False if `layout` is none.
    #[must_use]
    pub fn restore_layout(&mut self, layout: u8) -> bool {
        self.quicklist = layout == LAYOUT_QUICKLIST;
        matches!(layout, LAYOUT_LISTPACK | LAYOUT_QUICKLIST)
    }

    /// `OBJECT ENCODING` says `quicklist`, whatever the size.
    pub(crate) fn mark_as_quicklist(&mut self) {
        self.quicklist = true;
    }

    /// Frees at least one and about `elements_max` elements of a list that is going away; returns how many
    /// are gone, at most `elements_max`.
    ///
    /// What a clone shares goes a segment at a time, which costs nothing.
    pub fn release(&mut self, elements_max: usize) -> usize {
        let mut gone = 0;
        while gone < elements_max
            && let Some(last) = self.segments.back_mut()
        {
            let released = match Arc::get_mut(last) {
                Some(segment) if segment.chunks.len() > 1 => segment.drop_chunk(),
                _ => self.segments.pop_back().map_or(0, |segment| segment.len),
            };
            self.len -= released;
            gone += released;
        }
        gone.min(elements_max)
    }

    /// Bytes allocated for the elements, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        /// The usual length of an element, twice.
        const ELEMENT_OVERHEAD_BYTES: usize = 2;
        /// The counts of the `Arc`, the fields, the pointer to it, and two allocations.
        const CHUNK_OVERHEAD_BYTES: usize = 16 + size_of::<chunk::Packed>() + size_of::<Chunk>() + 16;
        const SEGMENT_OVERHEAD_BYTES: usize = 16 + size_of::<Segment>() + 8 + 16;
        let chunks: usize = self.segments.iter().map(|segment| segment.chunks.len()).sum();
        size_of::<Self>()
            + self.element_bytes
            + self.len * ELEMENT_OVERHEAD_BYTES
            + chunks * CHUNK_OVERHEAD_BYTES
            + self.segments.len() * SEGMENT_OVERHEAD_BYTES
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter_from(0).map(|element| element.escape_ascii().to_string())).finish()
    }
}

impl Segment {
    fn new(element: &[u8]) -> Self {
        let mut chunks = VecDeque::with_capacity(1);
        chunks.push_back(Chunk::new(element));
        Self { chunks, len: 1 }
    }

    /// False if the segment is full.
    fn push(&mut self, end: End, element: &[u8]) -> bool {
        let full = self.chunks.len() == SEGMENT_CHUNKS_MAX;
        let chunk = at_end_mut(&mut self.chunks, end).expect("no segment is empty");
        if !chunk.push(end, element) {
            if full {
                return false;
            }
            chunk.seal();
            add_at_end(&mut self.chunks, end, Chunk::new(element));
        }
        self.len += 1;
        true
    }

    fn peek(&self, end: End) -> &[u8] {
        at_end(&self.chunks, end).expect("no segment is empty").peek(end)
    }

    /// Removes an element that is not the last one.
    fn remove(&mut self, end: End) {
        let chunk = at_end_mut(&mut self.chunks, end).expect("no segment is empty");
        if chunk.len() == 1 {
            remove_at_end(&mut self.chunks, end);
        } else {
            chunk.remove(end);
        }
        self.len -= 1;
    }

    /// Drops the last chunk and tells how many elements it had.
    fn drop_chunk(&mut self) -> usize {
        let released = self.chunks.pop_back().map_or(0, |chunk| chunk.len());
        self.len -= released;
        released
    }
}

fn at_end<T>(deque: &VecDeque<T>, end: End) -> Option<&T> {
    match end {
        End::Front => deque.front(),
        End::Back => deque.back(),
    }
}

fn at_end_mut<T>(deque: &mut VecDeque<T>, end: End) -> Option<&mut T> {
    match end {
        End::Front => deque.front_mut(),
        End::Back => deque.back_mut(),
    }
}

fn add_at_end<T>(deque: &mut VecDeque<T>, end: End, item: T) {
    match end {
        End::Front => deque.push_front(item),
        End::Back => deque.push_back(item),
    }
}

fn remove_at_end<T>(deque: &mut VecDeque<T>, end: End) {
    match end {
        End::Front => deque.pop_front(),
        End::Back => deque.pop_back(),
    };
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
