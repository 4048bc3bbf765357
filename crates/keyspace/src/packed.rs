//! A few short byte strings, one behind the other in one allocation.
//!
//! Small sets, hashes and sorted sets are kept so, as in Redis: looking at all of them costs less than following
//! pointers, and there is next to no overhead. They stay in the order in which they were put in, which is part of the
//! state, as a snapshot keeps it (R11).

use std::{fmt, ops::Range};

use smallvec::SmallVec;

/// The strings. Each has its length in front, and their number stands in front of all: one byte below 128, else five.
/// Nothing is allocated beyond them, since small values are many; growing costs no more than going through them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    /// No strings.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Those that [`Self::into_bytes`] gave.
    pub(crate) fn from_bytes(bytes: Box<[u8]>) -> Self {
        Self(bytes)
    }

    /// The allocation itself: its first byte is [`FIRST_BYTE_MAX`] at most, and empty it is if there are no strings.
    pub(crate) fn into_bytes(self) -> Box<[u8]> {
        self.0
    }

    /// Number of strings.
    pub(crate) fn len(&self) -> usize {
        self.head().0
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes allocated, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        /// The allocation.
        const OVERHEAD_BYTES: usize = 8;
        self.0.len() + OVERHEAD_BYTES
    }

    /// All strings in order.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter::of(&self.0)
    }

    /// Up to `count` strings from index `start` on.
    pub(crate) fn range(&self, start: usize, count: usize) -> Iter<'_> {
        let mut strings = self.iter();
        for _ in 0..start.min(strings.len()) {
            strings.next();
        }
        strings.left = strings.left.min(count);
        strings
    }

    /// The index of the first string that equals `wanted`, looking at every `step`-th one from `first` on.
    pub(crate) fn find(&self, wanted: &[u8], first: usize, step: usize) -> Option<usize> {
        let mut strings = self.iter().enumerate().skip(first).step_by(step);
        strings.find(|(_, string)| *string == wanted).map(|(i, _)| i)
    }

    /// Whether no two of every `step`-th string are equal.
    pub(crate) fn all_differ(&self, step: usize) -> bool {
        let mut strings: SmallVec<[&[u8]; 64]> = self.iter().step_by(step).collect();
        strings.sort_unstable();
        strings.is_sorted_by(|a, b| a < b)
    }

    /// Adds a string at the end.
    pub(crate) fn push(&mut self, string: &[u8]) {
        let end = self.0.len();
        self.put(end..end, 0, &[string]);
    }

    /// As [`Self::push`]; false if the string is too long, or the strings too many, for any that was packed by us.
    pub(crate) fn push_checked(&mut self, string: &[u8]) -> bool {
        let fits = u32::try_from(string.len()).is_ok() && self.len() < u32::MAX as usize;
        if fits {
            self.push(string);
        }
        fits
    }

    /// Puts strings in front of that at `index`, which may be the end.
    pub(crate) fn insert(&mut self, index: usize, strings: &[&[u8]]) {
        let (at, _) = self.place(index, 0);
        self.put(at..at, 0, strings);
    }

    /// Puts another string in the place of that at `index`.
    pub(crate) fn replace(&mut self, index: usize, string: &[u8]) {
        let (begin, end) = self.place(index, 1);
        self.put(begin..end, 1, &[string]);
    }

    /// Takes out `count` strings from `index` on.
    pub(crate) fn remove(&mut self, index: usize, count: usize) {
        let (begin, end) = self.place(index, count);
        self.put(begin..end, count, &[]);
    }

    /// The number of strings, and how many bytes tell it.
    fn head(&self) -> (usize, usize) {
        head(&self.0)
    }

    /// Puts strings in the place of `count` others, whose bytes are at `range`.
    fn put(&mut self, range: Range<usize>, count: usize, strings: &[&[u8]]) {
        let (old_count, old_head_len) = self.head();
        let new_count = old_count - count + strings.len();
        if new_count == 0 {
            *self = Self::default();
            return;
        }
        let (head, head_len) = encode_len(new_count);
        let put_len: usize = strings.iter().map(|string| encode_len(string.len()).1 + string.len()).sum();
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        if bytes.is_empty() {
            bytes.reserve_exact(head_len + put_len);
        }
        if head_len != old_head_len {
            bytes.splice(..old_head_len, head[..head_len].iter().copied());
        }
        bytes[..head_len].copy_from_slice(&head[..head_len]);
        let begin = range.start - old_head_len + head_len;
        let end = begin + range.len();
        move_tail(&mut bytes, end, begin + put_len);
        let mut at = begin;
        for string in strings {
            let (head, head_len) = encode_len(string.len());
            bytes[at..at + head_len].copy_from_slice(&head[..head_len]);
            bytes[at + head_len..][..string.len()].copy_from_slice(string);
            at += head_len + string.len();
        }
        self.0 = bytes.into_boxed_slice();
    }

    /// Where `count` strings from `index` on begin and end.
    fn place(&self, index: usize, count: usize) -> (usize, usize) {
        assert!(index + count <= self.len(), "{count} strings from {index} of {}", self.len());
        let mut strings = self.iter();
        for _ in 0..index {
            strings.next();
        }
        let begin = self.0.len() - strings.rest.len();
        for _ in 0..count {
            strings.next();
        }
        (begin, self.0.len() - strings.rest.len())
    }
}

/// The highest first byte: see [`Packed::into_bytes`].
pub(crate) const FIRST_BYTE_MAX: u8 = 0x80;

fn head(bytes: &[u8]) -> (usize, usize) {
    if bytes.is_empty() { (0, 0) } else { decode_len(bytes) }
}

/// Brings what begins at `from` to `to`, and the length to what it needs then.
fn move_tail(bytes: &mut Vec<u8>, from: usize, to: usize) {
    let len = bytes.len();
    if to > from {
        bytes.reserve_exact(to - from);
        bytes.resize(len + to - from, 0);
    }
    bytes.copy_within(from..len, to);
    bytes.truncate(len - from + to);
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|string| string.escape_ascii().to_string())).finish()
    }
}

/// See [`Packed::iter`].
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    /// Begins with the next string; may end behind the last one.
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iter<'a> {
    /// The strings of [`Packed::into_bytes`].
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let (left, head_len) = head(bytes);
        Self { rest: &bytes[head_len..], left }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (len, head_len) = decode_len(self.rest);
        let (string, rest) = self.rest[head_len..].split_at(len);
        self.rest = rest;
        Some(string)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The last one is found by going through all.
impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let last = self.clone().nth(self.left.checked_sub(1)?)?;
        self.left -= 1;
        Some(last)
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// A length at the beginning of these bytes, and how many of them it takes.
fn decode_len(bytes: &[u8]) -> (usize, usize) {
    match bytes[0] {
        len @ ..0x80 => (usize::from(len), 1),
        _ => {
            let len: [u8; 4] = bytes[1..5].try_into().expect("four bytes");
            (u32::from_le_bytes(len) as usize, 5)
        }
    }
}

/// What stands in front of a string of this length, and how much of it counts.
fn encode_len(len: usize) -> ([u8; 5], usize) {
    if len < 0x80 {
        return ([len as u8, 0, 0, 0, 0], 1);
    }
    let [a, b, c, d] = u32::try_from(len).expect("packed strings are short").to_le_bytes();
    ([FIRST_BYTE_MAX, a, b, c, d], 5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, Vec<u8>),
        Replace(usize, Vec<u8>),
        Remove(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let string = || {
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..10),
                prop::collection::vec(any::<u8>(), 120..300)
            ]
        };
        let step = prop_oneof![
            3 => (any::<usize>(), string()).prop_map(|(i, s)| Step::Insert(i, s)),
            1 => (any::<usize>(), string()).prop_map(|(i, s)| Step::Replace(i, s)),
            1 => (any::<usize>(), 0_usize..3).prop_map(|(i, n)| Step::Remove(i, n)),
        ];
        prop::collection::vec(step, 0..60)
    }

    #[test]
    fn there_may_be_many() {
        let strings: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        let mut packed = Packed::new();
        for pair in strings.chunks(2) {
            packed.insert(packed.len(), &[pair[0].as_bytes(), pair[1].as_bytes()]);
        }
        let all = || strings.iter().map(String::as_bytes);
        assert!(packed.len() == 300 && packed.iter().eq(all()));
        packed.remove(100, 172);
        assert_eq!(packed.len(), 128);
        packed.remove(0, 1);
        assert!(packed.len() == 127 && packed.iter().eq(all().take(100).chain(all().skip(272)).skip(1)));
        packed.insert(0, &[b"first"]);
        assert!(packed.len() == 128 && packed.iter().next() == Some(b"first"));
        packed.remove(0, 128);
        assert!(packed.is_empty() && packed == Packed::new());
    }

    proptest! {
        #[test]
        fn it_is_a_sequence_of_strings(steps in steps()) {
            let mut model: Vec<Vec<u8>> = Vec::new();
            let mut packed = Packed::new();
            for step in steps {
                match step {
                    Step::Insert(i, string) => {
                        let i = i % (model.len() + 1);
                        packed.insert(i, &[&string]);
                        model.insert(i, string);
                    }
                    Step::Replace(i, string) if !model.is_empty() => {
                        let i = i % model.len();
                        packed.replace(i, &string);
                        model[i] = string;
                    }
                    Step::Replace(..) => {}
                    Step::Remove(i, n) => {
                        let i = i % (model.len() + 1);
                        let n = n.min(model.len() - i);
                        packed.remove(i, n);
                        model.drain(i..i + n);
                    }
                }
            }
            prop_assert_eq!(packed.len(), model.len());
            prop_assert!(packed.iter().eq(model.iter().map(Vec::as_slice)));
            prop_assert!(packed.iter().rev().eq(model.iter().rev().map(Vec::as_slice)));
            for (i, string) in model.iter().enumerate() {
                prop_assert!(packed.range(i, 3).eq(model.iter().skip(i).take(3).map(Vec::as_slice)));
                prop_assert_eq!(packed.iter().nth(i), Some(&string[..]));
                prop_assert!(packed.find(string, 0, 1) <= Some(i));
            }
        }
    }
}
