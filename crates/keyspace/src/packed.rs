//! A few short byte strings, one behind the other in one allocation.
//!
//! Small sets, hashes and sorted sets are kept so, as in Redis: looking at all of them costs less than following
//! pointers, and there is next to no overhead. They stay in the order in which they were put in, which is part of the
//! state, as a snapshot keeps it (R11).

use std::fmt;

use smallvec::SmallVec;

/// The strings. Each has its length in front: one byte below 128, else five.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    len: u32,
}

impl Packed {
    /// No strings.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Number of strings.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        /// The allocation.
        const OVERHEAD_BYTES: usize = 8;
        self.bytes.capacity() + OVERHEAD_BYTES
    }

    /// All strings in order.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.bytes, left: self.len() }
    }

    /// The string at `index`; takes time in proportion to it.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        self.iter().nth(index)
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
        let at = self.bytes.len();
        self.insert_at(at, string);
    }

    /// As [`Self::push`]; false if the string is too long, or the strings too many, for any that was packed by us.
    pub(crate) fn push_checked(&mut self, string: &[u8]) -> bool {
        let fits = u32::try_from(string.len()).is_ok() && self.len < u32::MAX;
        if fits {
            self.push(string);
        }
        fits
    }

    /// Puts a string in front of that at `index`, which may be the end.
    pub(crate) fn insert(&mut self, index: usize, string: &[u8]) {
        let at = self.offset(index);
        self.insert_at(at, string);
    }

    /// Puts another string in the place of that at `index`.
    pub(crate) fn replace(&mut self, index: usize, string: &[u8]) {
        let (begin, end) = (self.offset(index), self.offset(index + 1));
        let (head, head_len) = encode_len(string.len());
        let whole = head[..head_len].iter().chain(string).copied();
        self.bytes.splice(begin..end, whole);
    }

    /// Takes out `count` strings from `index` on.
    pub(crate) fn remove(&mut self, index: usize, count: usize) {
        let (begin, end) = (self.offset(index), self.offset(index + count));
        self.bytes.drain(begin..end);
        self.len -= count as u32;
        if self.bytes.capacity() > 64 + 2 * self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
    }

    fn insert_at(&mut self, at: usize, string: &[u8]) {
        let (head, head_len) = encode_len(string.len());
        // Small values are many: doubling would waste a third of their memory.
        let needed = head_len + string.len();
        if self.bytes.capacity() - self.bytes.len() < needed {
            self.bytes.reserve_exact(needed + self.bytes.len() / 8);
        }
        if at == self.bytes.len() {
            self.bytes.extend_from_slice(&head[..head_len]);
            self.bytes.extend_from_slice(string);
        } else {
            self.bytes.splice(at..at, head[..head_len].iter().chain(string).copied());
        }
        self.len += 1;
    }

    /// Where the string at `index` begins; the end for the length.
    fn offset(&self, index: usize) -> usize {
        assert!(index <= self.len(), "index {index} of {}", self.len);
        let mut strings = self.iter();
        for _ in 0..index {
            strings.next();
        }
        self.bytes.len() - strings.rest.len()
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|string| string.escape_ascii().to_string())).finish()
    }
}

/// See [`Packed::iter`].
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&first, _) = self.rest.split_first()?;
        let (len, head_len) = if first < 0x80 {
            (usize::from(first), 1)
        } else {
            let len: [u8; 4] = self.rest[1..5].try_into().expect("four bytes");
            (u32::from_le_bytes(len) as usize, 5)
        };
        let (string, rest) = self.rest[head_len..].split_at(len);
        self.rest = rest;
        self.left -= 1;
        Some(string)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// What stands in front of a string of this length, and how much of it counts.
fn encode_len(len: usize) -> ([u8; 5], usize) {
    if len < 0x80 {
        return ([len as u8, 0, 0, 0, 0], 1);
    }
    let [a, b, c, d] = u32::try_from(len).expect("packed strings are short").to_le_bytes();
    ([0x80, a, b, c, d], 5)
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

    proptest! {
        #[test]
        fn it_is_a_sequence_of_strings(steps in steps()) {
            let mut model: Vec<Vec<u8>> = Vec::new();
            let mut packed = Packed::new();
            for step in steps {
                match step {
                    Step::Insert(i, string) => {
                        let i = i % (model.len() + 1);
                        packed.insert(i, &string);
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
            for (i, string) in model.iter().enumerate() {
                prop_assert_eq!(packed.get(i), Some(&string[..]));
                prop_assert!(packed.find(string, 0, 1) <= Some(i));
            }
        }
    }
}
