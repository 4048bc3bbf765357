//! Changes within a long list: each rebuilds the chunks that it touches.

use std::sync::Arc;

use super::{
    End,
    chunk::Chunk,
    listpack_entry_bytes,
    long::{Long, SEGMENT_CHUNKS_MAX, Segment, at_end, at_end_mut, remove_at_end},
    range::locate,
};

/// Where an element is.
#[derive(Clone, Copy)]
struct Place {
    segment: usize,
    chunk: usize,
    /// Within the chunk.
    index: usize,
}

impl Long {
    /// Replaces the element at `index`, which there must be.
    pub(super) fn set(&mut self, index: usize, element: &[u8]) {
        let old = self.get(index).expect("the index is within the list");
        let is_same_length = old.len() == element.len();
        let (old_bytes, old_listpack_bytes) = (old.len(), listpack_entry_bytes(old));
        self.element_bytes = self.element_bytes - old_bytes + element.len();
        self.listpack_bytes = self.listpack_bytes - old_listpack_bytes + listpack_entry_bytes(element);
        let place = self.place(index);
        if is_same_length {
            let segment = Arc::make_mut(&mut self.segments[place.segment]);
            segment.chunks[place.chunk].overwrite(place.index, element);
            return;
        }
        let chunk = &self.segments[place.segment].chunks[place.chunk];
        let elements = chunk.iter().enumerate().map(|(i, old)| if i == place.index { element } else { old });
        let chunks = pack(&elements.collect::<Vec<_>>());
        self.replace_chunk(place, chunks);
    }

    /// Adds an element before the one at `index`, which may be the number of elements.
    pub(super) fn insert(&mut self, index: usize, element: &[u8]) {
        if index >= self.len || index == 0 {
            return self.push(if index == 0 { End::Front } else { End::Back }, element);
        }
        let place = self.place(index);
        let chunk = &self.segments[place.segment].chunks[place.chunk];
        let mut elements: Vec<_> = chunk.iter().collect();
        elements.insert(place.index, element);
        let chunks = pack(&elements);
        self.replace_chunk(place, chunks);
        self.len += 1;
        self.element_bytes += element.len();
        self.listpack_bytes += listpack_entry_bytes(element);
    }

    /// Drops everything but `count` elements from `start` on.
    pub(super) fn keep(&mut self, start: usize, count: usize) {
        let start = start.min(self.len);
        let count = count.min(self.len - start);
        let dropped = self.len - count;
        // What takes fewer steps: adding up what goes, or what stays.
        let (bytes, listpack_bytes) = if dropped <= count {
            let (front, back) = (self.sums(0, start), self.sums(start + count, dropped - start));
            (self.element_bytes - front.0 - back.0, self.listpack_bytes - front.1 - back.1)
        } else {
            self.sums(start, count)
        };
        self.cut(End::Front, start);
        self.cut(End::Back, dropped - start);
        (self.len, self.element_bytes, self.listpack_bytes) = (count, bytes, listpack_bytes);
    }

    /// Removes the elements at these indices, which ascend; all of them equal `element`.
    pub(super) fn remove_equal(&mut self, element: &[u8], indices: &[usize]) {
        self.element_bytes -= indices.len() * element.len();
        self.listpack_bytes -= indices.len() * listpack_entry_bytes(element);
        let mut left = indices;
        let mut end = self.len;
        // From behind: what was not looked at yet keeps its place.
        for segment in (0..self.segments.len()).rev() {
            let mut chunk_end = end;
            end -= self.segments[segment].len;
            if left.last().is_none_or(|last| *last < end) {
                continue;
            }
            for chunk in (0..self.segments[segment].chunks.len()).rev() {
                let begin = chunk_end - self.segments[segment].chunks[chunk].len();
                let (before, within) = left.split_at(left.partition_point(|index| *index < begin));
                if !within.is_empty() {
                    self.thin_out(Place { segment, chunk, index: 0 }, begin, within);
                }
                (left, chunk_end) = (before, begin);
            }
            if self.segments[segment].chunks.is_empty() {
                self.segments.remove(segment);
            }
        }
        self.len -= indices.len();
    }

    /// Removes elements from a chunk, which begins at index `begin`. An empty segment stays.
    fn thin_out(&mut self, place: Place, begin: usize, indices: &[usize]) {
        let segment = Arc::make_mut(&mut self.segments[place.segment]);
        let mut gone = indices.iter().map(|index| index - begin).peekable();
        let old = &segment.chunks[place.chunk];
        let kept = old.iter().enumerate().filter(|(i, _)| gone.next_if_eq(i).is_none());
        let kept: Vec<_> = kept.map(|(_, element)| element).collect();
        let chunks = pack(&kept);
        segment.len -= indices.len();
        match chunks.into_iter().next() {
            Some(chunk) => segment.chunks[place.chunk] = chunk,
            None => drop(segment.chunks.remove(place.chunk)),
        }
        segment.merge_with_next(place.chunk);
    }

    /// The lengths of elements added up, and what they would take in a listpack.
    fn sums(&self, start: usize, count: usize) -> (usize, usize) {
        self.range(start, count).fold((0, 0), |(bytes, listpack_bytes), element| {
            (bytes + element.len(), listpack_bytes + listpack_entry_bytes(element))
        })
    }

    fn place(&self, index: usize) -> Place {
        let (segment, index) = locate(self.segments.len(), self.len, index, |at| self.segments[at].len);
        let Segment { chunks, len } = &*self.segments[segment];
        let (chunk, index) = locate(chunks.len(), *len, index, |at| chunks[at].len());
        Place { segment, chunk, index }
    }

    /// Puts chunks in the place of one.
    fn replace_chunk(&mut self, place: Place, chunks: Vec<Chunk>) {
        let segment = Arc::make_mut(&mut self.segments[place.segment]);
        segment.len -= segment.chunks[place.chunk].len();
        segment.len += chunks.iter().map(Chunk::len).sum::<usize>();
        segment.chunks.remove(place.chunk);
        for (i, chunk) in chunks.into_iter().enumerate() {
            segment.chunks.insert(place.chunk + i, chunk);
        }
        if segment.chunks.len() > SEGMENT_CHUNKS_MAX {
            let back = segment.chunks.split_off(SEGMENT_CHUNKS_MAX / 2);
            let len = back.iter().map(Chunk::len).sum();
            segment.len -= len;
            self.segments.insert(place.segment + 1, Arc::new(Segment { chunks: back, len }));
        }
    }

    /// Drops `count` elements at an end, and nothing of what the list knows of them.
    fn cut(&mut self, end: End, mut count: usize) {
        while count > 0
            && let Some(segment) = at_end_mut(&mut self.segments, end)
        {
            if segment.len <= count {
                count -= segment.len;
                remove_at_end(&mut self.segments, end);
            } else {
                Arc::make_mut(segment).cut(end, count);
                return;
            }
        }
    }
}

impl Segment {
    /// Drops some elements at an end, but not all.
    fn cut(&mut self, end: End, mut count: usize) {
        self.len -= count;
        while count > 0
            && let Some(chunk) = at_end(&self.chunks, end)
        {
            let len = chunk.len();
            if len > count {
                let elements: Vec<_> = chunk.iter().collect();
                let kept = match end {
                    End::Front => &elements[count..],
                    End::Back => &elements[..len - count],
                };
                let packed = pack(kept).into_iter().next().expect("something is kept");
                *at_end_mut(&mut self.chunks, end).expect("it was just there") = packed;
                return;
            }
            count -= len;
            remove_at_end(&mut self.chunks, end);
        }
    }

    /// Unites a chunk with the one behind it if both are small.
    fn merge_with_next(&mut self, at: usize) {
        let (Some(chunk), Some(next)) = (self.chunks.get(at), self.chunks.get(at + 1)) else { return };
        if chunk.is_small() && next.is_small() {
            let elements: Vec<_> = chunk.iter().chain(next.iter()).collect();
            let mut chunks = pack(&elements);
            if chunks.len() == 1 {
                self.chunks.remove(at + 1);
                self.chunks[at] = chunks.remove(0);
            }
        }
    }
}

/// Chunks of these elements: one, or about equal ones, so that there is room for more at every place.
fn pack(elements: &[&[u8]]) -> Vec<Chunk> {
    let mut chunks = fill(elements);
    if chunks.len() > 1 {
        let (front, back) = elements.split_at(elements.len() / 2);
        chunks = fill(front);
        chunks.extend(fill(back));
    }
    chunks
}

fn fill(elements: &[&[u8]]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for element in elements {
        if !chunks.last_mut().is_some_and(|chunk| chunk.push(End::Back, element)) {
            chunks.push(Chunk::new(element));
        }
    }
    chunks.iter_mut().for_each(Chunk::seal);
    chunks
}
