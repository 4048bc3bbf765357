//! A run of neighbouring elements.

use std::sync::Arc;

use super::End;

/// Most elements packed into one chunk: what finding one by its index may have to walk over.
const PACKED_ELEMENTS_MAX: usize = 128;
/// Most bytes packed into one chunk: what a change may have to move, or to copy after a snapshot.
const PACKED_BYTES_MAX: usize = 8 << 10;
/// Longest element that is packed, in bytes.
const PACKED_ELEMENT_BYTES_MAX: usize = 4 << 10;

/// One or more elements; a clone shares them.
#[derive(Clone)]
pub(super) enum Chunk {
    Packed(Arc<Packed>),
    /// One element too long to be packed.
    Large(Arc<[u8]>),
}

/// Elements one behind the other, each with its length before and behind it.
///
/// A length below 128 is one byte; others are two, of which the outer one is marked and holds the high bits:
/// both are read from outside inwards.
#[derive(Clone)]
pub(super) struct Packed {
    /// Elements fill it from `head` to its end. What is before is room for growing at the front.
    bytes: Vec<u8>,
    head: usize,
    len: usize,
}

impl Chunk {
    pub(super) fn new(element: &[u8]) -> Self {
        if element.len() > PACKED_ELEMENT_BYTES_MAX {
            return Self::Large(element.into());
        }
        let mut packed = Packed { bytes: Vec::with_capacity(packed_bytes(element)), head: 0, len: 0 };
        packed.push(End::Back, element);
        Self::Packed(Arc::new(packed))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.len,
            Self::Large(_) => 1,
        }
    }

    /// False if the chunk has no room.
    pub(super) fn push(&mut self, end: End, element: &[u8]) -> bool {
        match self {
            Self::Packed(packed) if packed.has_room(element) => {
                Arc::make_mut(packed).push(end, element);
                true
            }
            _ => false,
        }
    }

    /// Gives spare memory back; for a chunk that is not at an end of the list any more.
    pub(super) fn seal(&mut self) {
        if let Self::Packed(packed) = self
            && let Some(packed) = Arc::get_mut(packed)
        {
            // A copy frees the rest with any allocator; shrinking leaves an allocation where it is as long as half of it
            // is used.
            if packed.head > 0 || packed.bytes.capacity() > packed.bytes.len() {
                packed.bytes = packed.bytes[packed.head..].to_vec();
                packed.head = 0;
            }
        }
    }

    pub(super) fn peek(&self, end: End) -> &[u8] {
        let found = match end {
            End::Front => self.next(self.start()),
            End::Back => self.previous(self.end()),
        };
        found.expect("no chunk is empty").0
    }

    /// Removes an element that is not the last one.
    pub(super) fn remove(&mut self, end: End) {
        match self {
            Self::Packed(packed) => Arc::make_mut(packed).remove(end),
            Self::Large(_) => unreachable!("a large element is the last one of its chunk"),
        }
    }

    /// The position before the first element. Positions are valid until the next change.
    pub(super) fn start(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.head,
            Self::Large(_) => 0,
        }
    }

    /// The position behind the last element.
    pub(super) fn end(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.bytes.len(),
            Self::Large(_) => 1,
        }
    }

    /// The element behind `position`, and the position behind it.
    pub(super) fn next(&self, position: usize) -> Option<(&[u8], usize)> {
        if position == self.end() {
            return None;
        }
        Some(match self {
            Self::Packed(packed) => packed.next(position),
            Self::Large(element) => (element, 1),
        })
    }

    /// The element before `position`, and the position before it.
    pub(super) fn previous(&self, position: usize) -> Option<(&[u8], usize)> {
        if position == self.start() {
            return None;
        }
        Some(match self {
            Self::Packed(packed) => packed.previous(position),
            Self::Large(element) => (element, 0),
        })
    }

    /// All elements in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut position = self.start();
        std::iter::from_fn(move || {
            let (element, next) = self.next(position)?;
            position = next;
            Some(element)
        })
    }

    /// Replaces the element at `index` by one of the same length.
    pub(super) fn overwrite(&mut self, index: usize, element: &[u8]) {
        let end = self.position(index + 1);
        match self {
            Self::Packed(packed) => {
                let start = end - encode_length(element.len()).1 - element.len();
                Arc::make_mut(packed).bytes[start..start + element.len()].copy_from_slice(element);
            }
            Self::Large(large) => *large = element.into(),
        }
    }

    /// Whether it has room for as much again.
    pub(super) fn is_small(&self) -> bool {
        match self {
            Self::Packed(packed) => {
                packed.len <= PACKED_ELEMENTS_MAX / 4
                    && packed.bytes.len() - packed.head <= PACKED_BYTES_MAX / 4
            }
            Self::Large(_) => false,
        }
    }

    /// The position before the element at `index`, which may be the number of elements.
    pub(super) fn position(&self, index: usize) -> usize {
        let len = self.len();
        if index <= len / 2 {
            (0..index).fold(self.start(), |at, _| self.next(at).expect("the index is within the chunk").1)
        } else {
            (index..len).fold(self.end(), |at, _| self.previous(at).expect("the index is within the chunk").1)
        }
    }
}

impl Packed {
    fn has_room(&self, element: &[u8]) -> bool {
        element.len() <= PACKED_ELEMENT_BYTES_MAX
            && self.len < PACKED_ELEMENTS_MAX
            && self.bytes.len() - self.head + packed_bytes(element) <= PACKED_BYTES_MAX
    }

    fn push(&mut self, end: End, element: &[u8]) {
        match end {
            End::Front => self.push_front(element),
            End::Back => self.push_back(element),
        }
        self.len += 1;
    }

    fn push_back(&mut self, element: &[u8]) {
        let needed = packed_bytes(element);
        let used = self.bytes.len() - self.head;
        // A queue moves through its buffer: rather than growing it, move back once the move pays for as many
        // pushes.
        if self.bytes.len() + needed > self.bytes.capacity() && self.head > used {
            self.compact();
        }
        let (length, width) = encode_length(element.len());
        self.bytes.extend_from_slice(&length[..width]);
        self.bytes.extend_from_slice(element);
        self.bytes.extend(length[..width].iter().rev());
    }

    fn push_front(&mut self, element: &[u8]) {
        let needed = packed_bytes(element);
        if self.head < needed {
            self.make_front_room(needed);
        }
        self.head -= needed;
        let (length, width) = encode_length(element.len());
        let place = &mut self.bytes[self.head..][..needed];
        place[..width].copy_from_slice(&length[..width]);
        place[width..needed - width].copy_from_slice(element);
        place[needed - width..].copy_from_slice(&length[..width]);
        place[needed - width..].reverse();
    }

    /// Moves the elements so that there is room for `needed` bytes before them, and half as much as they take
    /// beyond.
    fn make_front_room(&mut self, needed: usize) {
        let used = self.bytes.len() - self.head;
        let head = needed + used / 2;
        let mut bytes = Vec::with_capacity(head + used);
        bytes.resize(head, 0);
        bytes.extend_from_slice(&self.bytes[self.head..]);
        (self.bytes, self.head) = (bytes, head);
    }

    /// Bytes reserved.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn compact(&mut self) {
        self.bytes.drain(..self.head);
        self.head = 0;
    }

    fn remove(&mut self, end: End) {
        match end {
            End::Front => self.head = self.next(self.head).1,
            End::Back => {
                let position = self.previous(self.bytes.len()).1;
                self.bytes.truncate(position);
            }
        }
        self.len -= 1;
    }

    fn next(&self, position: usize) -> (&[u8], usize) {
        let (first, second) = (self.bytes[position], self.bytes[position + 1]);
        let (len, width) = decode_length(first, second);
        let start = position + width;
        (&self.bytes[start..start + len], start + len + width)
    }

    fn previous(&self, position: usize) -> (&[u8], usize) {
        let (last, before) = (self.bytes[position - 1], self.bytes[position - 2]);
        let (len, width) = decode_length(last, before);
        let end = position - width;
        (&self.bytes[end - len..end], end - len - width)
    }
}

/// The length's bytes, outer one first, and how many they are.
fn encode_length(len: usize) -> ([u8; 2], usize) {
    debug_assert!(len <= PACKED_ELEMENT_BYTES_MAX, "longer elements are not packed");
    if len < 0x80 { ([len as u8, 0], 1) } else { ([0x80 | (len >> 8) as u8, len as u8], 2) }
}

/// The length, and how many bytes it took. An empty element still has a second byte: the length behind it.
fn decode_length(outer: u8, inner: u8) -> (usize, usize) {
    if outer < 0x80 {
        (usize::from(outer), 1)
    } else {
        (usize::from(outer & 0x7f) << 8 | usize::from(inner), 2)
    }
}

fn packed_bytes(element: &[u8]) -> usize {
    element.len() + 2 * encode_length(element.len()).1
}
