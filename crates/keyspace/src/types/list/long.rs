//! A long list: a deque of segments, a segment a deque of chunks, a chunk up to 128 packed elements.
//!
//! Three fixed levels make both ends constant time, an index a walk over counts, and a clone for a snapshot a walk over
//! segments: 65536 elements and more for each count that is raised. Whoever changes the list afterwards copies one
//! segment's pointers and one chunk.

use std::{collections::VecDeque, sync::Arc};

use super::{
    End,
    chunk::{self, Chunk},
    listpack_entry_bytes,
    range::LongRange,
};

/// Most chunks in a segment.
pub(super) const SEGMENT_CHUNKS_MAX: usize = 512;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Long {
    /// None is empty.
    pub(super) segments: VecDeque<Arc<Segment>>,
    pub(super) len: usize,
    /// Sum of the elements' lengths.
    pub(super) element_bytes: usize,
    /// Sum of what each element would take in a listpack.
    pub(super) listpack_bytes: usize,
    /// Whether `OBJECT ENCODING` says `quicklist`. It depends on how the list got to its size.
    pub(super) quicklist: bool,
}

/// Neighbouring chunks, with the number of elements in them.
#[derive(Clone, Default)]
pub(super) struct Segment {
    /// None is empty.
    pub(super) chunks: VecDeque<Chunk>,
    pub(super) len: usize,
}

impl Long {
    /// Adds an element at an end.
    pub(super) fn push(&mut self, end: End, element: &[u8]) {
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

    /// The element at an end.
    pub(super) fn peek(&self, end: End) -> Option<&[u8]> {
        at_end(&self.segments, end).map(|segment| segment.peek(end))
    }

    /// Removes the element at an end; false if there is none.
    pub(super) fn remove(&mut self, end: End) -> bool {
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
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        if index < self.len { self.range(index, 1).next() } else { None }
    }

    /// Up to `count` elements from index `start` on; reversible.
    pub(super) fn range(&self, start: usize, count: usize) -> LongRange<'_> {
        LongRange::new(self, start, count)
    }

    /// Frees at least one and about `elements_max` elements of a list that is going away; returns how many
    /// are gone, at most `elements_max`.
    ///
    /// What a clone shares goes a segment at a time, which costs nothing.
    pub(super) fn release(&mut self, elements_max: usize) -> usize {
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
    pub(super) fn memory_bytes(&self) -> usize {
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

pub(super) fn at_end<T>(deque: &VecDeque<T>, end: End) -> Option<&T> {
    match end {
        End::Front => deque.front(),
        End::Back => deque.back(),
    }
}

pub(super) fn at_end_mut<T>(deque: &mut VecDeque<T>, end: End) -> Option<&mut T> {
    match end {
        End::Front => deque.front_mut(),
        End::Back => deque.back_mut(),
    }
}

pub(super) fn add_at_end<T>(deque: &mut VecDeque<T>, end: End, item: T) {
    match end {
        End::Front => deque.push_front(item),
        End::Back => deque.push_back(item),
    }
}

pub(super) fn remove_at_end<T>(deque: &mut VecDeque<T>, end: End) {
    match end {
        End::Front => deque.pop_front(),
        End::Back => deque.pop_back(),
    };
}
