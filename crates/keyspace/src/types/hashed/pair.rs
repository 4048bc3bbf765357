//! A key and a value in one piece.

use std::{fmt, sync::Arc};

/// Most bytes of both together that need no allocation.
const INLINE_LEN_MAX: usize = 21;

/// Up to so many bytes clones have their own, which saves the counts; more than these are shared, as copying them with a
/// whole leaf of the tree would take too long.
const OWN_LEN_MAX: usize = 256;

/// A key and a value: 24 bytes, and an allocation if they have more than 21 together.
#[derive(Clone)]
pub(crate) struct Pair(Repr);

#[derive(Clone)]
enum Repr {
    Inline { key_len: u8, len: u8, bytes: [u8; INLINE_LEN_MAX] },
    Own { key_len: u32, bytes: Box<[u8]> },
    Shared { key_len: u32, bytes: Arc<[u8]> },
}

impl Pair {
    /// Copies both.
    pub(crate) fn new(key: &[u8], value: &[u8]) -> Self {
        let len = key.len() + value.len();
        if len <= INLINE_LEN_MAX {
            let mut bytes = [0; INLINE_LEN_MAX];
            bytes[..key.len()].copy_from_slice(key);
            bytes[key.len()..len].copy_from_slice(value);
            return Self(Repr::Inline { key_len: key.len() as u8, len: len as u8, bytes });
        }
        let key_len = u32::try_from(key.len()).expect("arguments have less than 4 GiB");
        let bytes = if value.is_empty() { key.to_vec() } else { [key, value].concat() };
        Self(if len <= OWN_LEN_MAX {
            Repr::Own { key_len, bytes: bytes.into() }
        } else {
            Repr::Shared { key_len, bytes: bytes.into() }
        })
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        let (bytes, key_len) = self.parts();
        &bytes[..key_len]
    }

    /// The value.
    pub(crate) fn value(&self) -> &[u8] {
        let (bytes, key_len) = self.parts();
        &bytes[key_len..]
    }

    /// Gives it another value: in place, if it is as long as the old one and nobody shares it.
    pub(crate) fn set_value(&mut self, value: &[u8]) {
        if self.value().len() == value.len()
            && let Some(old) = self.value_mut()
        {
            old.copy_from_slice(value);
        } else {
            *self = Self::new(self.key(), value);
        }
    }

    /// Bytes allocated.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// The two counts of an `Arc`.
        const COUNTS_BYTES: usize = 16;
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Own { bytes, .. } => bytes.len(),
            Repr::Shared { bytes, .. } => COUNTS_BYTES + bytes.len(),
        }
    }

    /// The bytes of both, and how many of them are the key's.
    fn parts(&self) -> (&[u8], usize) {
        match &self.0 {
            Repr::Inline { key_len, len, bytes } => (&bytes[..usize::from(*len)], usize::from(*key_len)),
            Repr::Own { key_len, bytes } => (bytes, *key_len as usize),
            Repr::Shared { key_len, bytes } => (bytes, *key_len as usize),
        }
    }

    fn value_mut(&mut self) -> Option<&mut [u8]> {
        match &mut self.0 {
            Repr::Inline { key_len, len, bytes } => {
                Some(&mut bytes[usize::from(*key_len)..usize::from(*len)])
            }
            Repr::Own { key_len, bytes } => Some(&mut bytes[*key_len as usize..]),
            Repr::Shared { key_len, bytes } => {
                Arc::get_mut(bytes).map(|bytes| &mut bytes[*key_len as usize..])
            }
        }
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key().escape_ascii(), self.value().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_come_back_and_change_alone() {
        for (key_len, value_len) in
            [(0, 0), (0, 21), (21, 0), (10, 11), (22, 0), (11, 11), (200, 56), (100, 157)]
        {
            let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
            let mut pair = Pair::new(&key, &value);
            let clone = pair.clone();
            for new_len in [value_len, 0, 5, 300] {
                let new = vec![b'n'; new_len];
                pair.set_value(&new);
                assert_eq!((pair.key(), pair.value()), (&key[..], &new[..]));
            }
            assert_eq!((clone.key(), clone.value()), (&key[..], &value[..]));
        }
    }
}
