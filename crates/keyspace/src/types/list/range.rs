//! Walking over a part of a list, in either direction.

use super::{
    chunk::Chunk,
    long::{Long, Segment},
};
use crate::packed;

/// Elements of a list within bounds of indices; from [`super::List::range`].
#[derive(Clone)]
pub struct Range<'a>(pub(super) Repr<'a>);

#[derive(Clone)]
pub(super) enum Repr<'a> {
    Short(packed::Iter<'a>),
    Long(LongRange<'a>),
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Repr::Short(strings) => strings.next(),
            Repr::Long(range) => range.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Repr::Short(strings) => strings.size_hint(),
            Repr::Long(range) => range.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Repr::Short(strings) => strings.next_back(),
            Repr::Long(range) => range.next_back(),
        }
    }
}

impl ExactSizeIterator for Range<'_> {}

/// Elements of a long list within bounds of indices.
#[derive(Clone)]
pub(super) struct LongRange<'a> {
    list: &'a Long,
    /// Before the first element that is left.
    front: Cursor,
    /// Behind the last element that is left.
    back: Cursor,
    remaining: usize,
}

/// A place between two elements.
#[derive(Clone, Copy, Default)]
struct Cursor {
    segment: usize,
    chunk: usize,
    position: usize,
}

impl<'a> LongRange<'a> {
    pub(super) fn new(list: &'a Long, start: usize, count: usize) -> Self {
        let remaining = count.min(list.len.saturating_sub(start));
        if remaining == 0 {
            return Self { list, front: Cursor::default(), back: Cursor::default(), remaining };
        }
        let (front, back) = (Cursor::before(list, start), Cursor::before(list, start + remaining));
        Self { list, front, back, remaining }
    }
}

impl<'a> Iterator for LongRange<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.remaining = self.remaining.checked_sub(1)?;
        loop {
            if let Some((element, position)) = self.front.chunk(self.list).next(self.front.position) {
                self.front.position = position;
                return Some(element);
            }
            self.front.enter_next_chunk(self.list);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl DoubleEndedIterator for LongRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        loop {
            if let Some((element, position)) = self.back.chunk(self.list).previous(self.back.position) {
                self.back.position = position;
                return Some(element);
            }
            self.back.enter_previous_chunk(self.list);
        }
    }
}

impl Cursor {
    /// The place before the element at `index`, which may be the number of elements.
    fn before(list: &Long, index: usize) -> Self {
        let (segment, index) = locate(list.segments.len(), list.len, index, |at| list.segments[at].len);
        let Segment { chunks, len } = &*list.segments[segment];
        let (chunk, index) = locate(chunks.len(), *len, index, |at| chunks[at].len());
        Self { segment, chunk, position: chunks[chunk].position(index) }
    }

    fn chunk(self, list: &Long) -> &Chunk {
        &list.segments[self.segment].chunks[self.chunk]
    }

    fn enter_next_chunk(&mut self, list: &Long) {
        if self.chunk + 1 < list.segments[self.segment].chunks.len() {
            self.chunk += 1;
        } else {
            (self.segment, self.chunk) = (self.segment + 1, 0);
        }
        self.position = self.chunk(list).start();
    }

    fn enter_previous_chunk(&mut self, list: &Long) {
        if self.chunk == 0 {
            self.segment -= 1;
            self.chunk = list.segments[self.segment].chunks.len();
        }
        self.chunk -= 1;
        self.position = self.chunk(list).end();
    }
}

/// Which of `parts` parts holds the element at `index`, and its index there; the nearer end is walked from.
///
/// `len` is the sum of the parts' lengths. The index behind the last element is found in the last part.
pub(super) fn locate(
    parts: usize,
    len: usize,
    index: usize,
    part_len: impl Fn(usize) -> usize,
) -> (usize, usize) {
    if index <= len / 2 {
        let mut rest = index;
        for part in 0..parts {
            match part_len(part) {
                part_len if rest >= part_len && part + 1 < parts => rest -= part_len,
                _ => return (part, rest),
            }
        }
    } else {
        let mut start = len;
        for part in (0..parts).rev() {
            start -= part_len(part);
            if index >= start {
                return (part, index - start);
            }
        }
    }
    unreachable!("the index is within the list")
}
